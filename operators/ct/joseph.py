"""Line integrals by Joseph's method: one interpolated sample where a ray crosses each row, column or slice.

P. M. Joseph 1982, doi:10.1109/TMI.1982.4307572. A ray marches along its dominant axis; the sample is linear in the
plane and bilinear in a volume, and counts with the length of the ray between two crossings.
"""

from __future__ import annotations

import itertools

import numpy as np

from .geometry import Grid, Views

Triplets = tuple[np.ndarray, np.ndarray, np.ndarray]


def line_weights(views: Views, grid: Grid) -> Triplets:
    """Ray numbers, pixel numbers and weights of the matrix of line integrals; all one-dimensional."""
    points, directions = views.rays()
    dimensions = len(grid.shape)
    start = grid.to_index(points.reshape(-1, dimensions))
    step = grid.to_steps(directions.reshape(-1, dimensions))
    dominant = np.abs(step).argmax(-1)
    parts = [_marched(np.flatnonzero(dominant == axis), axis, start, step, grid) for axis in range(dimensions)]
    rays, pixels, weights = (np.concatenate([part[i] for part in parts]) for i in range(3))
    return rays, pixels, weights


def _marched(rays: np.ndarray, axis: int, start: np.ndarray, step: np.ndarray, grid: Grid) -> Triplets:
    """The part of the rays whose dominant axis is `axis`."""
    speed = step[rays, axis][:, None]
    slabs = np.arange(grid.shape[axis])
    along = (slabs - start[rays, axis][:, None]) / speed
    others = [a for a in range(len(grid.shape)) if a != axis]
    crossing = [start[rays, a][:, None] + along * step[rays, a][:, None] for a in others]
    low = [np.floor(c).astype(np.int64) for c in crossing]
    strides = np.cumprod([1, *grid.shape[:0:-1]])[::-1]
    # A direction has unit length, so a crossing of one slab takes 1 / speed of it.
    length = np.broadcast_to(1 / np.abs(speed), along.shape)
    triplets: list[Triplets] = []
    for corner in itertools.product((0, 1), repeat=len(others)):
        pixel = np.broadcast_to(slabs * strides[axis], along.shape)
        weight, inside = length, np.ones(along.shape, bool)
        for a, bit, c, base in zip(others, corner, crossing, low, strict=True):
            index = base + bit
            weight = weight * (1 - np.abs(c - index))
            inside &= (index >= 0) & (index < grid.shape[a])
            pixel = pixel + index * strides[a]
        inside &= weight > 0
        triplets.append((np.broadcast_to(rays[:, None], along.shape)[inside], pixel[inside], weight[inside]))
    first, second, third = (np.concatenate([part[i] for part in triplets]) for i in range(3))
    return first, second, third
