"""A residual prior applied in overlapping tiles, so that memory is bounded by the tile and not by the picture."""

from __future__ import annotations

import torch
from torch import Tensor

from ..diffusion.tiled import check_tiling, ramp_window, tile_starts
from .prior import ResidualPrior, WrappedResidual
from .process import Prediction


class TiledResidual(WrappedResidual):
    """The same prior, called on tiles of state and measurement whose overlaps are blended with a linear ramp.

    tile: side of a tile in pixels of the state; overlap: pixels two neighbours share, at most half a tile. A condition
    on another grid than the state's is cut in proportion.
    """

    def __init__(self, prior: ResidualPrior, *, tile: int, overlap: int) -> None:
        super().__init__(prior)
        check_tiling(tile, overlap)
        self.tile, self.overlap = tile, overlap

    def predict(self, x_t: Tensor, y_up: Tensor, t: float, *, condition: Tensor | None = None) -> Prediction:
        height, width = x_t.shape[-2:]
        if max(height, width) <= self.tile:
            return self.prior.predict(x_t, y_up, t, condition=condition)
        totals = [torch.zeros_like(x_t) for _ in range(3)]
        weights = x_t.new_zeros(height, width)
        for top in tile_starts(height, self.tile, self.overlap):
            for left in tile_starts(width, self.tile, self.overlap):
                rows = slice(top, min(top + self.tile, height))
                columns = slice(left, min(left + self.tile, width))
                seen = None if condition is None else _part(condition, rows, columns, (height, width))
                known = self.prior.predict(x_t[..., rows, columns], y_up[..., rows, columns], t, condition=seen)
                window = ramp_window(known.x0.shape[-2:], (height, width), (top, left), self.overlap).to(x_t)
                for total, part in zip(totals, (known.x0, known.residual, known.eps), strict=True):
                    total[..., rows, columns] += window * part
                weights[rows, columns] += window
        return Prediction(*(total / weights for total in totals))


def _part(condition: Tensor, rows: slice, columns: slice, size: tuple[int, int]) -> Tensor:
    """The part of a condition that lies under a tile."""
    high, wide = (c / s for c, s in zip(condition.shape[-2:], size, strict=True))
    down = slice(round(rows.start * high), round(rows.stop * high))
    across = slice(round(columns.start * wide), round(columns.stop * wide))
    return condition[..., down, across]
