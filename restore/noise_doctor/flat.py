"""The flattest patches of a picture: where there is little but noise, its level and its correlation can be read."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

SHARE = 0.1  # of the patches, the flattest
LOWEST = 0.01  # of the patches, whose deviation is the lowest that is believed
FEWEST = 8  # patches that are kept at least
ENDS = (0.02, 0.98)  # values outside are near the ends of the range, where noise is cut off
CLIPPED = 0.02  # share of a patch's values that may lie there
ENOUGH = 40  # patches away from the ends; with fewer all are looked at
NOTHING = 1e-24  # mean square that the arithmetic leaves of a plane
ALIKE = 1.5  # patches whose deviation is at most this times that of the flattest tenth are taken for noise alone
DIM = 0.25  # of the range, under which a picture is dim
MOST = 40_000  # patches; a larger picture is sampled more sparsely


@dataclass(frozen=True)
class FlatPatches:
    """What the flattest patches say.

    sigma: standard deviation of the noise. correlation: r, mean of the two lags of one pixel along rows and columns.
    total: S, the sum of the autocorrelation over the 3 x 3 lags. lowest: deviation that one patch in a hundred stays
    under. floor: lowest over the deviation that one in ten stays under: near 1 where noise lies under everything, small
    where the patches differ as structure does. patches: n x C x p x p, planes removed.
    """

    sigma: float
    correlation: float
    total: float
    lowest: float
    floor: float
    patches: Tensor

    @property
    def side(self) -> int:
        return int(self.patches.shape[-1])


def flat_patches(y: Tensor, side: int) -> FlatPatches:
    """Statistics of the flattest tenth of the side x side patches (at half-side steps) of all pictures together.

    y: B x C x H x W with values about [0, 1], at least `side` pixels each way. Patches near the ends of the range are
    left out; the least-squares plane of each channel is removed; the mean square over channels ranks them.
    """
    flattened = levelled(y, side)
    energy, order = flattened.square().mean((1, 2, 3)).sort(stable=True)
    count = min(len(energy), max(FEWEST, round(SHARE * len(energy))))
    kept = flattened[order[:count]]
    mean_square = float(kept.square().mean())
    freedom = side**2 / (side**2 - 3)  # the plane took three of the numbers
    low, tenth = (float(energy[int(share * len(energy))]) for share in (LOWEST, SHARE))
    if mean_square < NOTHING:
        return FlatPatches(0.0, 0.0, 1.0, 0.0, 0.0, kept)
    right = kept[..., :, 1:] * kept[..., :, :-1]
    down = kept[..., 1:, :] * kept[..., :-1, :]
    falling = kept[..., 1:, 1:] * kept[..., :-1, :-1]
    rising = kept[..., 1:, :-1] * kept[..., :-1, 1:]
    c = [float(products.mean()) / mean_square for products in (right, down, falling, rising)]
    return FlatPatches(
        sigma=math.sqrt(mean_square * freedom),
        correlation=(c[0] + c[1]) / 2,
        total=1 + 2 * sum(c),
        lowest=math.sqrt(low * freedom),
        floor=math.sqrt(low / tenth) if tenth > 0 else 0.0,
        patches=kept,
    )


def own_white(y: Tensor) -> float:
    """The value that is white for a picture: 1, or of a dim one what all but a thousandth of its values lie under.

    Dim: that is under a quarter. Counts of 12 bits in a file of 16 use a sixteenth of the range; what is near the ends,
    or faint, is told in the range that is used.
    """
    values = y.flatten()
    values = values[:: max(1, len(values) // 1_000_000)].double()
    bright = float(values.kthvalue(max(1, round(0.999 * len(values)))).values)
    return bright if 0 < bright < DIM else 1.0


def alike_patches(y: Tensor, side: int) -> Tensor:
    """All patches (n x C x side x side, planes removed) that vary little more than the flattest tenth.

    The flattest alone are those whose noise happens to be small: what is read of them is low.
    """
    patches = levelled(y, side)
    energy = patches.square().mean((1, 2, 3))
    tenth = energy.kthvalue(max(1, round(SHARE * len(energy)))).values
    return patches[energy <= ALIKE**2 * tenth]


def levelled(y: Tensor, side: int) -> Tensor:
    """Patches of all pictures (n x C x side x side, float64), away from the ends of the range, planes removed."""
    candidates = _away_from_ends(_cut(y, side))
    return candidates - _plane(candidates)


def _cut(y: Tensor, side: int) -> Tensor:
    """Overlapping patches, n x C x side x side, at most about MOST of them."""
    height, width = y.shape[-2:]
    stride = max(side // 2, math.isqrt(max(1, len(y) * height * width // MOST)))
    cut = y.unfold(-2, side, stride).unfold(-2, side, stride)
    return cut.permute(0, 2, 3, 1, 4, 5).reshape(-1, y.shape[1], side, side).double()


def _away_from_ends(patches: Tensor) -> Tensor:
    outside = ((patches < ENDS[0]) | (patches > ENDS[1])).double().mean((1, 2, 3))
    inside = outside <= CLIPPED
    return patches[inside] if int(inside.sum()) >= ENOUGH else patches


def _plane(patches: Tensor) -> Tensor:
    """The least-squares plane of each patch and channel."""
    side = patches.shape[-1]
    ramp = torch.linspace(-1, 1, side, dtype=patches.dtype, device=patches.device)
    down, across = ramp[:, None].expand(side, side), ramp.expand(side, side)
    plane = patches.mean((-2, -1), keepdim=True)
    for axis in (down, across):
        plane = plane + axis * (patches * axis).sum((-2, -1), keepdim=True) / axis.square().sum()
    return plane
