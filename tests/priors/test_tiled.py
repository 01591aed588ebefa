"""Tiling a prior changes memory, not the answer."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F

from operators import BadInput
from priors.base import DiffusionPrior
from priors.tiling import tile_starts, tiled


class Smooth(DiffusionPrior):
    """A local stand-in: 5 x 5 mean with mirrored edges, so it sees two pixels to each side."""

    def denoise_native(self, z: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        return F.avg_pool2d(F.pad(z, (2, 2, 2, 2), mode="reflect"), 5, stride=1)


@pytest.mark.parametrize(("size", "tile", "overlap"), [(100, 32, 8), (33, 32, 16), (32, 32, 0), (64, 32, 1)])
def test_tiles_cover_the_picture_with_the_promised_overlap(size: int, tile: int, overlap: int) -> None:
    starts = tile_starts(size, tile, overlap)
    assert starts[0] == 0 and starts[-1] + tile == max(size, tile)
    assert all(b - a <= tile - overlap for a, b in itertools.pairwise(starts))


def test_tiled_equals_whole_away_from_the_seams_and_is_close_on_them() -> None:
    x = torch.rand(2, 3, 70, 90, generator=torch.Generator().manual_seed(0))
    whole = Smooth().denoise(x, 0.1)
    parts = tiled(Smooth(), tile=32, overlap=16).denoise(x, 0.1)
    # Within two pixels of a tile's edge the stand-in mirrors what it cannot see; the ramp gives that little weight.
    assert float((whole - parts).abs().max()) < 0.08
    assert float((whole - parts).abs().mean()) < 0.003


def test_a_picture_smaller_than_the_tile_is_untouched() -> None:
    x = torch.rand(1, 1, 20, 30)
    torch.testing.assert_close(
        tiled(Smooth(), tile=32, overlap=8).denoise(x, 0.1), Smooth().denoise(x, 0.1), rtol=0, atol=0
    )


def test_an_overlap_over_half_the_tile_is_refused() -> None:
    with pytest.raises(BadInput, match="overlap"):
        tiled(Smooth(), tile=32, overlap=20)
