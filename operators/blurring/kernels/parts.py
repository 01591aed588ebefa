"""What kernels have in common: sizes, coordinates, checks and the sum of 1."""

from __future__ import annotations

import math

import numpy as np

from ...common.errors import BadInput
from ...common.settings import check, check_room
from .settings import Size


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


def sides(size: int | tuple[int, int] | None, *, default: int) -> tuple[int, int]:
    """Height and width in pixels; BadInput or BadType for anything else."""
    check("size", size, Size)
    wanted = default if size is None else size
    check_room("the kernel", *(wanted if isinstance(wanted, tuple | list) else (wanted, wanted)))
    height, width = (default, default) if size is None else (size, size) if not isinstance(size, tuple | list) else size
    return int(height), int(width)


def offsets(size: int | tuple[int, int] | None, *, default: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows (h x 1) and columns (1 x w) counted from the centre, size // 2."""
    height, width = sides(size, default=default)
    return np.arange(height)[:, None] - height // 2, np.arange(width)[None, :] - width // 2


def rotated(rows: np.ndarray, columns: np.ndarray, angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates along and across the direction `angle`; the vertical axis points up, against the rows."""
    c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    return c * columns - s * rows, s * columns + c * rows
