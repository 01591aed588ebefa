"""The pixel-driven back-projector of FBP and FDK: each pixel reads the filtered views where its shadow falls.

Weights of a sparse matrix like those of the projectors, but of another map: samples, interpolated linearly, not
integrals. Its matrix is the transpose of M in y = M x.
"""

from __future__ import annotations

import numpy as np

from .footprint import position
from .geometry import Grid, Views
from .joseph import Triplets


def sampling_weights(views: Views, grid: Grid) -> Triplets:
    """Ray numbers, pixel numbers and weights: interpolation between two cells, times (R / U)^2 for a fan.

    R: distance of the source from the axis; U: of the source from the pixel, along the central ray.
    """
    x, y = grid.centres()
    at, magnification = position(views, x, y)
    if views.parallel:
        factor = np.ones_like(at)
    else:
        _, central = position(views, np.zeros(1), np.zeros(1))
        factor = (magnification / central) ** 2
    (cells,) = views.cells
    low = np.floor(at).astype(np.int64)
    pixels = np.broadcast_to(np.arange(grid.size), at.shape)
    offset = np.arange(len(views))[:, None] * cells
    triplets: list[Triplets] = []
    for cell in (low, low + 1):
        weight = (1 - np.abs(at - cell)) * factor
        inside = (cell >= 0) & (cell < cells) & (weight > 0)
        triplets.append(((offset + cell)[inside], pixels[inside], weight[inside]))
    rays, columns, weights = (np.concatenate([part[i] for part in triplets]) for i in range(3))
    return rays, columns, weights
