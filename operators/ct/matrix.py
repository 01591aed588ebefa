"""A scan as a sparse matrix, folded by its symmetries, and its exact transpose."""

from __future__ import annotations

import math
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .geometry import Grid, Views
from .joseph import Triplets
from .symmetry import columns, fold, gather

Weights = Callable[[Views, Grid], Triplets]
WORK = 8_000_000  # entries of the arrays that one part of the matrix is made from
KEPT = 1_000_000_000  # bytes of matrices an operator keeps; beyond, a part is made anew each time it is needed


class ScanMatrix:
    """y = M x for pictures N x grid.shape -> N x V x cells, and its transpose; M from `weights`, made at first use.

    taps: entries per ray and slab, or per pixel and view, that `weights` makes at most: for the size of a part.
    Not a module: it holds nothing that the scan does not imply, and copies and pickles without its matrices.
    """

    def __init__(self, views: Views, grid: Grid, weights: Weights, *, taps: int) -> None:
        self.shape = (len(views), *views.cells)
        views = halved(views)
        self.views, self.grid, self.weights = views, grid, weights
        self.folding = fold(views, square=grid.shape[-1] == grid.shape[-2])
        cells = math.prod(views.cells)
        per_view = max(grid.size, cells * max(grid.shape)) * taps
        stored = len(self.folding.stored)
        parts = min(stored, max(1, math.ceil(stored * per_view / WORK)))
        self._parts = [numbers for numbers in np.array_split(self.folding.stored, parts) if len(numbers)]
        self._forget()

    def _forget(self) -> None:
        self._kept: dict[tuple[Any, ...], Tensor] = {}
        self._bytes = 0
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key not in ("_kept", "_bytes", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

    def forward(self, x: Tensor) -> Tensor:
        """x: N x grid.shape; returns N x V x cells."""
        elements = self.folding.elements
        positions = columns(x, elements)
        integrals = torch.cat([matrix @ positions for matrix in self._matrices(x, transposed=False)])
        table = integrals.reshape(len(self.folding.stored), math.prod(self.views.cells), len(elements), x.shape[0])
        slots = torch.from_numpy(self.folding.slot).to(x.device)
        y = table.permute(3, 0, 2, 1).flatten(1, 2).index_select(1, slots)
        return self._mirrored(y.reshape(x.shape[0], len(self.views), *self.views.cells)).reshape(-1, *self.shape)

    def transposed(self, y: Tensor) -> Tensor:
        """y: N x V x cells; returns N x grid.shape."""
        folding = self.folding
        y = y.reshape(-1, len(self.views), *self.views.cells)
        slots = torch.from_numpy(folding.slot).to(y.device)
        cells = math.prod(self.views.cells)
        table = y.new_zeros(y.shape[0], len(folding.stored) * len(folding.elements), cells)
        table.index_add_(1, slots, self._mirrored(y).reshape(y.shape[0], len(self.views), cells))
        table = table.reshape(y.shape[0], len(folding.stored), len(folding.elements), cells)
        rows = table.permute(1, 3, 2, 0).reshape(len(folding.stored) * cells, -1)
        first, total = 0, y.new_zeros(self.grid.size, rows.shape[1])
        for matrix in self._matrices(y, transposed=True):
            total = total + matrix @ rows[first : first + matrix.shape[1]]
            first += matrix.shape[1]
        return gather(total, folding.elements, self.grid.shape)

    def _mirrored(self, y: Tensor) -> Tensor:
        """The cells of mirrored views in reverse order; its own inverse."""
        if not self.folding.mirrored.any():
            return y
        mirrored = torch.from_numpy(self.folding.mirrored).to(y.device)
        return torch.where(mirrored[:, *[None] * len(self.views.cells)], y.flip(-1), y)

    def _matrices(self, like: Tensor, *, transposed: bool) -> Iterator[Tensor]:
        for number, numbers in enumerate(self._parts):
            key = (number, transposed, like.dtype, like.device)
            with self._lock:
                matrix = self._kept.get(key)
                if matrix is None:
                    matrix = self._make(numbers, transposed).to(device=like.device, dtype=like.dtype)
                    size = matrix.values().numel() * (matrix.values().element_size() + 4)
                    if self._bytes + size <= KEPT:
                        self._kept[key] = matrix
                        self._bytes += size
            yield matrix

    def _make(self, numbers: np.ndarray, transposed: bool) -> Tensor:
        from scipy.sparse import coo_matrix

        rays, pixels, weights = self.weights(self.views.at(numbers), self.grid)
        shape = (len(numbers) * math.prod(self.views.cells), self.grid.size)
        sparse = coo_matrix((weights, (rays.astype(np.int32), pixels.astype(np.int32))), shape=shape)
        compressed = (sparse.T if transposed else sparse).tocsr()
        with warnings.catch_warnings(), torch.inference_mode(False):
            warnings.filterwarnings("ignore", message=".*Sparse CSR.*", category=UserWarning)
            return torch.sparse_csr_tensor(
                torch.from_numpy(compressed.indptr),
                torch.from_numpy(compressed.indices),
                torch.from_numpy(compressed.data),
                compressed.shape,
                check_invariants=False,
            )


def halved(views: Views) -> Views:
    """Parallel views with the two halves of the detector as views of their own, neighbours in the list.

    A half turn of the picture takes one half to the other, so that both can share a matrix.
    """
    if not views.parallel or views.cells[-1] % 2 or len(views.cells) > 1:
        return views
    quarter = views.axes[:, 0] * (views.cells[0] / 4)
    centre = np.stack([views.centre - quarter, views.centre + quarter], 1).reshape(-1, views.centre.shape[1])
    beam, axes = np.repeat(views.beam, 2, axis=0), np.repeat(views.axes, 2, axis=0)
    return Views(True, beam, centre, axes, (views.cells[0] // 2,))
