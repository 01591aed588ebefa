"""The noise level of a picture from its score: the total-variation search, and the perturbation rule.

Search: Kim, Ye 2021, section 3.3. Perturbation: Kim, Kwon, Ye 2022, arXiv 2112.03696, section 3.3.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .families import ExponentialFamily

Score = Callable[[Tensor], Tensor]
STEPS = {"gaussian": 1e-5, "poisson": 1e-5, "gamma": 1e-6}  # of the perturbation, times standard normal numbers
SMALLEST = 1e-12  # of a slope, for the division by it


def search(y: Tensor, score: Tensor, family: type[ExponentialFamily]) -> tuple[Tensor, Tensor]:
    """(level of each picture, B; criterion of every candidate, candidates x B) of a blind search.

    y: B x ..., score: of its law at y. The first candidate whose criterion is strictly least wins; nothing is assumed
    of the criterion's size, so any range of intensities does.
    """
    candidates = family.levels().to(y)
    values = torch.stack([family.criterion(family(level=level).denoise(y, score), y) for level in candidates])
    return candidates[values.nan_to_num(torch.inf, torch.inf, torch.inf).argmin(0)], values


def perturbed(y: Tensor, normal: Tensor, score: Score, family: str) -> Tensor:
    """Level of each picture (B) from demanding that a tiny perturbation of y leaves the estimate where it is.

    normal: standard normal numbers shaped like y. Biased upwards: it measures -1 / s'(y), which is sigma^2 + tau^2
    where the clean values scatter by tau around a Gaussian; only where a picture's own slope is far steeper than its
    noise's is that the noise level. The median over pixels is taken. Arithmetic wants float64.
    """
    step = STEPS[family] * normal
    moved = y + step
    slope = score(moved) - score(y)
    slope = torch.where(slope.abs() < SMALLEST, torch.full_like(slope, SMALLEST), slope)
    ratio = step / slope
    if family == "gaussian":
        return _median((-ratio).clamp(0, 1)).sqrt()
    if family == "poisson":  # zeta^2 / 2 + y zeta + c = 0
        return _median(-y + torch.sqrt((y**2 - 2 * ratio).clamp(min=0)))
    between = 1 / moved - 1 / y
    return 1 / _median(between / (slope + between)).clamp(min=SMALLEST)


def _median(values: Tensor) -> Tensor:
    flat = values.flatten(1)
    return flat.nanmedian(1).values
