"""Pixels replaced by black or white."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import torch
from torch import Tensor

from ..common.randomness import NoiseSource
from ..common.settings import Fraction, TrueDeviation
from .base import STREAM, NoiseModel, refuse_broken, refuse_complex

VALUES = "values"


@dataclass(frozen=True, kw_only=True)
class SaltAndPepper(NoiseModel):
    """y = m + sigma n, where m is z, or with probability `share` 0 or 1 (each half of the time).

    log p(y | z) = log((1 - p) N(y; z, sigma) + p/2 N(y; 0, sigma) + p/2 N(y; 1, sigma)).
    """

    in_order: ClassVar[bool] = False  # who is hit is drawn for all entries before who turns white

    share: Annotated[Fraction, "of the entries that are replaced"] = 0.1
    sigma: Annotated[TrueDeviation, "standard deviation of the noise on all entries"] = 0.02

    def sample(self, clean: Tensor, source: NoiseSource) -> Tensor:
        def replaced(generator: np.random.Generator, kept: np.ndarray) -> np.ndarray:
            hit, white = generator.random(kept.shape) < self.share, generator.random(kept.shape) < 0.5
            return np.where(hit, white.astype(np.float64), kept)

        return source.draw(VALUES, refuse_broken(clean), replaced) + self.sigma * source.normal(STREAM, clean)

    def log_likelihood(self, y: Tensor, clean: Tensor) -> Tensor:
        refuse_complex(y)
        parts = [
            math.log(max(share, 1e-300)) - (y - centre) ** 2 / (2 * self.sigma**2)
            for share, centre in ((1 - self.share, clean), (self.share / 2, 0.0), (self.share / 2, 1.0))
        ]
        return torch.logsumexp(torch.stack(parts), dim=0) - math.log(self.sigma * math.sqrt(2 * math.pi))

    def mean(self, clean: Tensor) -> Tensor:
        return (1 - self.share) * clean + self.share / 2

    def variance(self, clean: Tensor) -> Tensor:
        return self.sigma**2 + self.share * (clean**2 + (1 - clean) ** 2) / 2
