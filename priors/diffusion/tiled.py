"""A prior applied in overlapping tiles, so that memory is bounded by the tile and not by the picture."""

from __future__ import annotations

import torch
from torch import Tensor

from operators.common.errors import BadInput

from ..base import DiffusionPrior, WrappedPrior


class TiledPrior(WrappedPrior):
    """The same prior, called on tiles whose overlaps are blended with a linear ramp.

    tile: side of a tile in pixels; overlap: pixels two neighbours share, under half a tile.
    Exact wherever the network sees less than half the overlap to each side; elsewhere seams are blended.
    """

    def __init__(self, prior: DiffusionPrior, *, tile: int, overlap: int) -> None:
        super().__init__(prior)
        check_tiling(tile, overlap)
        self.tile, self.overlap = tile, overlap

    def denoise_native(self, z: Tensor, sigma: Tensor) -> Tensor:
        height, width = z.shape[-2:]
        if max(height, width) <= self.tile:
            return self.prior.denoise_native(z, sigma)
        total = torch.zeros_like(z)
        weights = z.new_zeros(height, width)
        for top in tile_starts(height, self.tile, self.overlap):
            for left in tile_starts(width, self.tile, self.overlap):
                rows = slice(top, min(top + self.tile, height))
                columns = slice(left, min(left + self.tile, width))
                clean = self.prior.denoise_native(z[..., rows, columns], sigma)
                window = ramp_window(clean.shape[-2:], (height, width), (top, left), self.overlap).to(z)
                total[..., rows, columns] += window * clean
                weights[rows, columns] += window
        return total / weights


def check_tiling(tile: int, overlap: int) -> None:
    """BadInput for tiles that are too small, or that overlap by more than half."""
    if tile < 16 or not 0 <= overlap <= tile // 2:
        raise BadInput(
            f"tile {tile} with overlap {overlap}", wanted="a tile of 16 or more and an overlap up to half of it"
        )


def tile_starts(size: int, tile: int, overlap: int) -> list[int]:
    """First indices of tiles that cover `size` with at least `overlap` shared; the last one is flush with the end."""
    if size <= tile:
        return [0]
    step = tile - overlap
    return [*range(0, size - tile, step), size - tile]


def ramp_window(
    shape: tuple[int, ...] | torch.Size, full: tuple[int, int], start: tuple[int, int], overlap: int
) -> Tensor:
    """Weights of a tile (h x w): rising over the overlap on sides that have a neighbour, one elsewhere."""
    sides = []
    for length, size, first in zip(shape, full, start, strict=True):
        side = torch.ones(length, dtype=torch.float64)
        ramp = torch.arange(1, overlap + 1, dtype=torch.float64) / (overlap + 1)
        if overlap and first > 0:
            side[:overlap] = torch.minimum(side[:overlap], ramp[:length])
        if overlap and first + length < size:
            side[-overlap:] = torch.minimum(side[-overlap:], ramp.flip(0)[-length:])
        sides.append(side)
    return sides[0][:, None] * sides[1][None, :]
