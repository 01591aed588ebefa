"""Area integrals: what a detector cell of finite width sees of a square pixel.

The shadow of a pixel is a trapezoid; a cell's weight is its mean over the cell. For a parallel beam this is exact: the
area of pixel and strip in common over the width of the strip. For a fan the corners are projected and the height is the
path through the pixel along its central ray (separable footprint, trapezoid: Long, Fessler, Balter 2010,
doi:10.1109/TMI.2010.2050898).
"""

from __future__ import annotations

import numpy as np

from .geometry import Grid, Views
from .joseph import Triplets


def area_weights(views: Views, grid: Grid) -> Triplets:
    """Ray numbers, pixel numbers and weights of the matrix of strip integrals; all one-dimensional."""
    x, y = grid.centres()
    corners = _shadows(views, x, y, grid.pixel)
    path = _path(views, x, y, grid.pixel, corners)
    (cells,) = views.cells
    first = np.floor(corners[0] + 0.5).astype(np.int64)
    reach = int((np.floor(corners[3] + 0.5).astype(np.int64) - first).max()) + 1
    pixels = np.broadcast_to(np.arange(grid.size), first.shape)
    offset = np.arange(len(views))[:, None] * cells
    triplets: list[Triplets] = []
    before = np.zeros_like(path)
    for k in range(reach):
        cell = first + k
        after = _cumulative(cell + 0.5, corners)
        weight = (after - before) * path
        before = after
        inside = (cell >= 0) & (cell < cells) & (weight > 0)
        triplets.append(((offset + cell)[inside], pixels[inside], weight[inside]))
    rays, columns, weights = (np.concatenate([part[i] for part in triplets]) for i in range(3))
    return rays, columns, weights


def position(views: Views, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where points of the plane fall on the detector, in cells (V x points), and their magnification."""
    axis = views.axes[:, -1, :2]
    width = np.linalg.norm(axis, axis=-1)[:, None]
    across = axis / width
    centre = (views.centre[:, :2] * across).sum(-1, keepdims=True)
    middle = (views.cells[-1] - 1) / 2
    s = across[:, :1] * x + across[:, 1:] * y
    if views.parallel:
        return (s - centre) / width + middle, np.ones_like(s)
    source = views.beam[:, :2]
    normal = np.stack([-across[:, 1], across[:, 0]], -1)
    from_source = (source * across).sum(-1, keepdims=True)
    depth = normal[:, :1] * x + normal[:, 1:] * y - (source * normal).sum(-1, keepdims=True)
    magnification = ((views.centre[:, :2] - source) * normal).sum(-1, keepdims=True) / depth
    return (from_source + (s - from_source) * magnification - centre) / width + middle, magnification


def _shadows(views: Views, x: np.ndarray, y: np.ndarray, pixel: float) -> np.ndarray:
    """Where the four corners of each pixel fall, in ascending order (4 x V x pixels): the nodes of its trapezoid."""
    half = pixel / 2
    corners = np.stack([position(views, x + a * half, y + b * half)[0] for a in (-1, 1) for b in (-1, 1)])
    corners.sort(axis=0)
    return corners


def _path(views: Views, x: np.ndarray, y: np.ndarray, pixel: float, corners: np.ndarray) -> np.ndarray:
    """The trapezoid's area, height in lengths and width in cells."""
    if views.parallel:
        width = np.linalg.norm(views.axes[:, -1], axis=-1)[:, None]
        return np.broadcast_to(pixel**2 / width, (len(views), x.size))
    ray = np.stack([x - views.beam[:, :1], y - views.beam[:, 1:2]], -1)
    longest = np.abs(ray).max(-1) / np.linalg.norm(ray, axis=-1)
    halfway = (corners[3] - corners[0] + corners[2] - corners[1]) / 2
    return np.asarray(pixel / longest * halfway)


def _cumulative(at: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """The part of a trapezoid of area 1 that lies left of `at`."""
    a, b, c, d = corners
    height = 2 / np.maximum(d - a + c - b, 1e-300)
    # Sides of no width (a pixel seen face on) have no area either; the guard only avoids 0 / 0.
    rise = np.clip(at - a, 0, b - a) ** 2 / np.maximum(2 * (b - a), 1e-12)
    flat = np.clip(at - b, 0, c - b)
    fall_width = np.maximum(d - c, 1e-12)
    beyond = np.clip(at - c, 0, d - c)
    fall = beyond - beyond**2 / (2 * fall_width)
    area: np.ndarray = height * (rise + flat + fall)
    return area
