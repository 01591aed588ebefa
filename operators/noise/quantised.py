"""Noise, then rounding to a few levels: the likelihood of a cell."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from ..common.randomness import NoiseSource
from ..common.settings import Range, TrueDeviation
from .base import STREAM, NoiseModel, refuse_broken, refuse_complex

FAR = 1e4  # standard deviations: the open end of the first and the last cell


@dataclass(frozen=True, kw_only=True)
class Quantised(NoiseModel):
    """y = round((z + sigma n) / d) d within [0, 1], d = 1 / (2^bits - 1).

    log p(y | z) = log(Phi((y + d/2 - z) / sigma) - Phi((y - d/2 - z) / sigma)); the cells of black and white reach to
    infinity, which makes the likelihood of a saturated pixel one-sided.
    """

    bits: Annotated[int, Range(1, 16), "the levels are 2^bits"] = 8
    sigma: Annotated[TrueDeviation, "standard deviation before rounding"] = 0.02

    @property
    def step(self) -> float:
        """Distance d of two levels."""
        return 1 / (2**self.bits - 1)

    def sample(self, clean: Tensor, source: NoiseSource) -> Tensor:
        noisy = refuse_broken(clean) + self.sigma * source.normal(STREAM, clean)
        return torch.round(noisy.clamp(0, 1) / self.step) * self.step

    def log_likelihood(self, y: Tensor, clean: Tensor) -> Tensor:
        """log probability of the level; y is taken to be one of them."""
        refuse_complex(y)
        far, half = torch.full_like(y, FAR), self.step / 2
        above = torch.where(y >= 1 - half, far, (y + half - clean) / self.sigma)
        below = torch.where(y <= half, -far, (y - half - clean) / self.sigma)
        # The side of the bell on which both ends are small keeps the difference of two tails exact.
        flipped = below + above > 0
        high, low = torch.where(flipped, -below, above), torch.where(flipped, -above, below)
        upper, lower = torch.special.log_ndtr(high), torch.special.log_ndtr(low)
        return upper + torch.log(-torch.expm1((lower - upper).clamp_max(-1e-30)))

    def mean(self, clean: Tensor) -> Tensor:
        """That of the clipped Gaussian; rounding adds no bias to speak of."""
        low, high, inside = self._ends(clean)
        return clean * inside + self.sigma * (_bell(low) - _bell(high)) + torch.special.ndtr(-high)

    def variance(self, clean: Tensor) -> Tensor:
        """E |y - z|^2 of the clipped Gaussian, and d^2 / 12 for rounding where it is not clipped."""
        low, high, inside = self._ends(clean)
        spread = self.sigma**2 * (inside + low * _bell(low) - high * _bell(high))
        clipped = clean**2 * torch.special.ndtr(low) + (1 - clean) ** 2 * torch.special.ndtr(-high)
        # A value far outside is certain to be clipped: the floor keeps whitening finite.
        return (spread + clipped + inside * self.step**2 / 12).clamp_min(self.step**2 / 12)

    def _ends(self, clean: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """0 and 1 in standard deviations from z, and the probability between them."""
        low, high = -clean / self.sigma, (1 - clean) / self.sigma
        return low, high, torch.special.ndtr(high) - torch.special.ndtr(low)


def _bell(t: Tensor) -> Tensor:
    """The standard normal density."""
    return torch.exp(-(t**2) / 2) / math.sqrt(2 * math.pi)
