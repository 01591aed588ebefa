"""From a real parallel-beam scan to a sinogram: flat fields, logarithm, and where the axis of rotation is.

F. Donath, F. Beckmann, A. Schreyer 2006, doi:10.1364/JOSAA.23.001048, for the idea of the opposite view.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..common.errors import BadInput

FINE = 20  # steps of one cell in which the centre is found


def line_integrals(counts: Tensor, white: Tensor, dark: Tensor) -> Tensor:
    """-log((counts - dark) / (white - dark)), with frames of white and dark fields averaged over their first axis.

    counts: views x ... x cells. white, dark: frames x ... x cells. Dead cells (no light without an object) and counts
    at or below the dark level read as the smallest transmission in the scan that is above zero.
    """
    if counts.shape[1:] != white.shape[1:] or counts.shape[1:] != dark.shape[1:]:
        raise BadInput(
            f"counts, white and dark have shapes {tuple(counts.shape)}, {tuple(white.shape)}, {tuple(dark.shape)}",
            wanted="the same after the first axis",
        )
    background = dark.mean(0)
    light = white.mean(0) - background
    share = (counts - background) / torch.where(light > 0, light, torch.ones_like(light))
    good = (share > 0) & (light > 0)
    if not bool(good.any()):
        raise BadInput("no cell sees more light than the dark frames do", do="Check which data set is which.")
    return -torch.log(torch.where(good, share, share[good].min()))


def centre(sinogram: Tensor, angles: Tensor) -> float:
    """Where the axis of rotation falls on the detector, in cells from its middle: `shift` is minus this, in lengths.

    sinogram: views x cells, parallel beam. The view half a turn on from another is its mirror image about the axis;
    every such pair is compared under every displacement, and the centre with the smallest mean difference wins.
    """
    if sinogram.ndim != 2 or sinogram.shape[0] != angles.numel():
        raise BadInput(
            f"the sinogram has shape {tuple(sinogram.shape)} and there are {angles.numel()} angles",
            wanted="views x cells, one angle for each view",
        )
    turns = angles.double()
    gap = (turns[None] - turns[:, None] - torch.pi).abs()
    # A scan that leaves its last view out misses half a turn by one step; its nearest pair still shows the axis.
    nearest = float(gap.min())
    first, second = torch.nonzero(gap <= max(0.6 * _step(turns), nearest * (1 + 1e-6)), as_tuple=True)
    if nearest > 1.5 * _step(turns):
        raise BadInput(
            f"the angles cover {float(turns.max() - turns.min()):.3g} radians",
            wanted="some pair of views half a turn apart",
        )
    cells = sinogram.shape[1]
    a, b = sinogram[first].double(), sinogram[second].double().flip(-1)
    coarse = _best(a, b, torch.arange(-cells // 2, cells // 2 + 1, dtype=torch.float64) / 2)
    fine = torch.arange(-FINE, FINE + 1, dtype=torch.float64) / FINE
    return _best(a, b, coarse + fine)


def _step(angles: Tensor) -> float:
    ordered = angles.sort().values
    return max(float(ordered.diff().median()), 1e-9) if angles.numel() > 1 else 1e-9


def _best(a: Tensor, b: Tensor, centres: Tensor) -> float:
    """The centre c for which a(s) = b(s - 2 c) best, over the cells that both have."""
    cells = a.shape[1]
    at = torch.arange(cells, dtype=torch.float64) - 2 * centres[:, None]
    low = at.floor().long()
    there = (low >= 0) & (low < cells - 1)
    low = low.clamp(0, cells - 2)
    part = (at - low).clamp(0, 1)
    costs = []
    for index, share, inside in zip(low, part, there, strict=True):
        moved = b[:, index] * (1 - share) + b[:, index + 1] * share
        # A displacement that leaves hardly any overlap would win by having nothing to compare.
        few = int(inside.sum()) < cells // 4
        costs.append(np.inf if few else float((a - moved)[:, inside].square().mean()))
    return float(centres[int(np.argmin(costs))])
