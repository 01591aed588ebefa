"""Two-dimensional sampling patterns of a Cartesian grid: Poisson discs of varying density, lines through the centre."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..common.errors import BadInput
from ..common.randomness import generator

GOLDEN = math.pi * (math.sqrt(5) - 1) / 2  # radians between successive spokes through the centre (Winkelmann 2007)


@dataclass(frozen=True)
class Pattern:
    """plane: H x W; acceleration: R; calibration: side of the fully sampled square in the middle; seed; stream."""

    plane: tuple[int, int]
    acceleration: float
    calibration: int
    seed: tuple[int, ...]


def poisson(pattern: Pattern) -> np.ndarray:
    """Points no nearer to each other than a distance that grows with their distance from the centre.

    Distance 1 + slope r for a point r from the calibration square (1 at the middle of a side), within the inscribed
    ellipse; the slope is found by bisection so that one in R grid points is measured. Dart throwing: grid points are
    visited in random order and taken unless one before them lies too near (the maximal sample that Bridson 2007
    approximates).
    """
    height, width = pattern.plane
    wanted = height * width / pattern.acceleration
    order = generator(pattern.seed[0], "/".join(map(str, pattern.seed[1:])), 0, "mri-poisson").permutation(
        height * width
    )
    low, high, best = 0.0, 1.0, _darts(pattern, order, 0.0)
    if best.sum() <= wanted:
        return best
    while _darts(pattern, order, high).sum() > wanted:
        low, high = high, 2 * high
        if high > 4 * max(pattern.plane):
            raise BadInput(
                f"acceleration {pattern.acceleration} with {pattern.calibration}^2 calibration points is out of reach",
                do="Lower `calibration` or `acceleration`.",
            )
    for _ in range(10):
        slope = (low + high) / 2
        best = _darts(pattern, order, slope)
        if abs(best.sum() - wanted) <= 0.005 * wanted:
            break
        low, high = (slope, high) if best.sum() > wanted else (low, slope)
    return best


def _darts(pattern: Pattern, order: np.ndarray, slope: float) -> np.ndarray:
    """The calibration square and a maximal set of points with distances of at least 1 + slope r."""
    free = _radius(pattern.plane, 0) <= 1
    near = 1 + slope * _radius(pattern.plane, pattern.calibration)
    keep = np.zeros(pattern.plane, dtype=bool)
    rows, columns = np.unravel_index(order, pattern.plane)
    for i, j in zip(rows.tolist(), columns.tolist(), strict=True):
        if not free[i, j]:
            continue
        keep[i, j] = True
        disc = _disc(float(near[i, j]))
        reach = disc.shape[0] // 2
        top, left = max(i - reach, 0), max(j - reach, 0)
        part = free[top : i + reach + 1, left : j + reach + 1]
        part &= disc[
            top - i + reach : top - i + reach + part.shape[0], left - j + reach : left - j + reach + part.shape[1]
        ]
    keep |= _square(pattern.plane, pattern.calibration)
    return keep


def radial(pattern: Pattern) -> np.ndarray:
    """Grid points on straight lines through the centre, at the golden angle, as many lines as R allows at least."""
    height, width = pattern.plane
    wanted = height * width / pattern.acceleration
    keep = _square(pattern.plane, pattern.calibration)
    steps = 2 * max(height, width)
    along = np.linspace(-1, 1, 2 * steps + 1)
    for spoke in range(4 * (height + width)):
        if keep.sum() >= wanted:
            break
        angle = spoke * GOLDEN
        rows = np.rint(height // 2 + along * (height / 2) * math.sin(angle)).astype(int)
        columns = np.rint(width // 2 + along * (width / 2) * math.cos(angle)).astype(int)
        inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        keep[rows[inside], columns[inside]] = True
    return keep


def _radius(plane: tuple[int, int], calibration: int) -> np.ndarray:
    """Distance from the calibration square, 1 at the middle of each side."""
    axes = []
    for n in plane:
        beyond = np.maximum(np.abs(np.arange(n) - n // 2) - calibration / 2, 0)
        axes.append(beyond / max(beyond.max(), 1e-9))
    return np.hypot(axes[0][:, None], axes[1][None, :])


def _square(plane: tuple[int, int], side: int) -> np.ndarray:
    """True in the square of that side around the centre."""
    keep = np.zeros(plane, dtype=bool)
    rows, columns = (slice(max(0, n // 2 - side // 2), max(0, n // 2 - side // 2) + side) for n in plane)
    keep[rows, columns] = True
    return keep


@lru_cache(maxsize=4096)
def _quantised_disc(quarters: int) -> np.ndarray:
    radius = quarters / 16
    reach = math.ceil(radius) - 1
    axis = np.arange(-reach, reach + 1)
    return axis[:, None] ** 2 + axis[None, :] ** 2 >= radius**2


def _disc(radius: float) -> np.ndarray:
    """False at offsets nearer than the radius (to a sixteenth of a grid step)."""
    return _quantised_disc(max(16, round(16 * radius)))


PATTERNS: dict[str, Callable[[Pattern], np.ndarray]] = {"poisson": poisson, "radial": radial}
