"""comparison.png: measurement, baseline, estimate and truth side by side."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from operators import BadInput

from .panels import looks

ORDER = ("measurement", "baseline", "estimate", "truth")
GAP_LEVEL = 255


def comparison(pictures: Mapping[str, Tensor], *, unit: str = "[0,1]") -> Tensor:
    """Measurement | baseline | estimate | truth, those that are there, with small white gaps.

    pictures: C x H x W each, as for `Page`; others are ignored. A picture of another height (the small measurement of
    super-resolution) is enlarged or reduced to the estimate's by repeating pixels. unit: of their values.

    Returns C x H x W in [0, 1], C = 1 where all of them are grey, else 3. BadInput where there is nothing to compare.
    """
    panels = {name: pictures[name] for name in ORDER if name in pictures}
    if not panels:
        raise BadInput("no picture to compare", wanted=f"one of {', '.join(ORDER)}")
    shown = looks(panels, unit=unit)
    high, wide = shown["estimate" if "estimate" in panels else next(iter(panels))].pixels.shape[:2]
    gap = np.full((high, max(2, wide // 64), 3), GAP_LEVEL, np.uint8)
    strip: list[np.ndarray] = []
    for part in shown.values():
        strip += [gap, _to_height(part.pixels, high)]
    joined = np.concatenate(strip[1:], axis=1)
    if (joined[..., :1] == joined).all():
        joined = joined[..., :1]
    return torch.from_numpy(joined.transpose(2, 0, 1).copy()).float() / 255


def _to_height(pixels: np.ndarray, high: int) -> np.ndarray:
    """H x W x 3 with the given height, by nearest neighbour, keeping its shape."""
    if pixels.shape[0] == high:
        return pixels
    wide = max(1, round(pixels.shape[1] * high / pixels.shape[0]))
    rows = np.arange(high) * pixels.shape[0] // high
    columns = np.arange(wide) * pixels.shape[1] // wide
    return pixels[rows][:, columns]
