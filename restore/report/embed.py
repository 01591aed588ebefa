"""Pixels as PNG inside the page: lossless, and no larger than they must be."""

from __future__ import annotations

import base64
import io
import math
from typing import Any

import numpy as np

MOST_PIXELS = 2_000_000  # of a display copy; the files beside the report keep every pixel


def shrink(pixels: np.ndarray, *, most: int = MOST_PIXELS) -> tuple[np.ndarray, int]:
    """H x W x 3 uint8 with at most `most` pixels, and the whole factor by which blocks of it were averaged."""
    from PIL import Image

    high, wide = pixels.shape[:2]
    factor = max(1, math.ceil(math.sqrt(high * wide / most)))
    if factor == 1:
        return pixels, 1
    return np.asarray(Image.fromarray(pixels).reduce(factor)), factor


def data_uri(pixels: np.ndarray) -> str:
    """H x W x 3 uint8 as a base64 PNG: grey with one channel, at most 256 colours with a palette, else RGB."""
    buffer = io.BytesIO()
    _smallest(pixels).save(buffer, format="PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _smallest(pixels: np.ndarray) -> Any:
    from PIL import Image

    red, green, blue = (pixels[..., i] for i in range(3))
    if np.array_equal(red, green) and np.array_equal(red, blue):
        return Image.fromarray(np.ascontiguousarray(red))
    packed = (red.astype(np.uint32) << 16) | (green.astype(np.uint32) << 8) | blue
    colours, index = np.unique(packed, return_inverse=True)
    if len(colours) > 256:
        return Image.fromarray(np.ascontiguousarray(pixels))
    picture = Image.fromarray(index.reshape(red.shape).astype(np.uint8))
    palette = np.stack([colours >> 16, (colours >> 8) & 255, colours & 255], axis=-1).astype(np.uint8)
    picture.putpalette(palette.tobytes())
    return picture
