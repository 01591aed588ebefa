"""What kernels have in common: sizes, coordinates, checks and the sum of 1."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...common.errors import BadInput

Size = int | tuple[int, int] | None


def unit_sum(kernel: np.ndarray) -> np.ndarray:
    """The kernel divided by its sum; BadInput where that is 0."""
    total, mass = float(kernel.sum()), float(np.abs(kernel).sum())
    if abs(total) <= 1e-12 * mass:
        raise BadInput(
            f"the kernel sums to {total:g}",
            wanted="a sum other than 0, by which it can be divided",
            do="Give normalise=False to use it as it is.",
        )
    unit: np.ndarray = kernel / total
    return unit


def sides(size: Any, *, default: int) -> tuple[int, int]:
    """Height and width in pixels; BadInput for anything else."""
    pair = (default, default) if size is None else (size, size) if isinstance(size, int) else tuple(size)
    if len(pair) != 2 or any(isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1 for n in pair):
        raise BadInput(f"size is {size!r}", wanted="a number of pixels, or (height, width)")
    return int(pair[0]), int(pair[1])


def offsets(size: Any, *, default: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows (h x 1) and columns (1 x w) counted from the centre, size // 2."""
    height, width = sides(size, default=default)
    return np.arange(height)[:, None] - height // 2, np.arange(width)[None, :] - width // 2


def rotated(rows: np.ndarray, columns: np.ndarray, angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates along and across the direction `angle`; the vertical axis points up, against the rows."""
    c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    return c * columns - s * rows, s * columns + c * rows
