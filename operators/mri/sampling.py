"""Which points of a Cartesian k-space are measured: a named family, or an array."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor

from ..common.errors import BadInput
from ..common.intake import binary
from ..common.randomness import check_seed
from ..common.settings import Range, check, checked
from ..core.base import Shape
from .lines import LINES, Lines, centre, magic_low
from .patterns import PATTERNS, Pattern
from .settings import Acceleration, Calibration, CenterFraction, Frames, Sampling, Seeds

CENTER_FRACTION = 0.32  # times 1 / R: 8 % at R = 4 and 4 % at R = 8, as in fastMRI


@checked
def sampling_mask(
    size: Shape,
    *,
    kind: Sampling = "random",
    acceleration: Acceleration = 4,
    center_fraction: CenterFraction = None,
    calibration: Calibration = None,
    seed: Seeds = 0,
) -> Tensor:
    """A mask of k-space with zero frequency in the middle: boolean, of as many axes as `size`, 1 long where constant.

    size: spatial axes, ... x H x W. Lines along the second-last axis: "random", "equispaced", "equispaced_fraction",
    "magic", "magic_fraction" (fastMRI; phase encoding along the last axis); patterns of the last two axes: "poisson"
    (variable density) and "radial" (lines through the centre); "full".
    """
    words = seed_words(seed)
    if kind == "full":
        keep = np.ones((1,), dtype=bool)
    elif kind in LINES:
        keep = _lines(int(size[-1]), kind, acceleration, center_fraction, words)
    else:
        plane = (int(size[-2]), int(size[-1]))
        keep = PATTERNS[kind](Pattern(plane, acceleration, _side(calibration, plane, acceleration), words))
    return torch.from_numpy(keep.reshape((1,) * (len(size) - keep.ndim) + keep.shape))


def given_mask(mask: Any, size: Shape, channels: int) -> Tensor:
    """A mask array as C' x spatial, C' 1 or the channels; BadInput for one that does not fit or measures nothing."""
    keep = binary(mask)
    if not keep.any():
        raise BadInput("the mask measures nothing", wanted="at least one point of k-space")
    while keep.ndim > len(size) + 1 and keep.shape[0] == 1:
        keep = keep[0]
    try:
        np.broadcast_to(keep, (channels, *size))
    except ValueError:
        raise BadInput(
            f"the mask has shape {keep.shape}", wanted=f"one that broadcasts to {(channels, *size)}"
        ) from None
    full = keep.reshape((1,) * (len(size) + 1 - keep.ndim) + keep.shape)
    # Lines are found again in a mask given as a picture: what is constant along an axis needs no transform there.
    for axis in range(full.ndim):
        first = np.take(full, [0], axis=axis)
        if full.shape[axis] > 1 and bool((full == first).all()):
            full = first
    return torch.from_numpy(np.ascontiguousarray(full))


def frame_masks(size: Shape, *, frames: Frames, count: int, seed: int | Sequence[int], **settings: Any) -> Tensor:
    """One mask for all frames (1 x spatial), or a fresh draw for each of them (count x spatial)."""
    if frames == "same":
        return sampling_mask(size, seed=seed, **settings)[None]
    return torch.stack([sampling_mask(size, seed=(*seed_words(seed), i), **settings) for i in range(count)])


def seed_words(seed: int | Sequence[int]) -> tuple[int, ...]:
    """The seed as 32-bit words, as numpy's legacy generator takes it: (seed,) for a small integer."""
    words: list[int] = []
    for part in (seed,) if isinstance(seed, int) else tuple(seed):
        value = check_seed(part)
        words += [value] if value < 2**32 else [value % 2**32, value // 2**32]
    return tuple(words)


def _lines(width: int, kind: str, acceleration: float, share: float | None, seed: tuple[int, ...]) -> np.ndarray:
    share = min(1.0, CENTER_FRACTION / acceleration) if share is None else share
    lines = Lines(width, acceleration, round(width * share), seed)
    low = magic_low(lines) if kind == "magic_fraction" else lines.low
    keep = LINES[kind](lines) | centre(width, low)
    if not keep.any():
        keep[width // 2] = True  # a narrow grid may draw no line at all
    return keep


def _side(calibration: int | None, plane: tuple[int, int], acceleration: float) -> int:
    if calibration is None:
        return min(24, max(1, int(math.sqrt(plane[0] * plane[1] / acceleration) / 3)))
    side: int = check("calibration", calibration, Annotated[int, Range(0, min(plane))])
    return side
