"""Photon counting."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import torch
from torch import Tensor

from ..common.randomness import NoiseSource
from ..common.settings import Photons
from .base import STREAM, NoiseModel, floored, refuse_complex, refuse_negative

FLOOR = 1e-3  # counts; keeps the likelihood finite where an estimate is dark, and its gradient pointing up


@dataclass(frozen=True, kw_only=True)
class Poisson(NoiseModel):
    """y = Poisson(peak z) / peak, so that E[y] = z."""

    counts: ClassVar[bool] = True

    peak: Annotated[Photons, "expected photons where z = 1"] = 30.0

    def sample(self, clean: Tensor, source: NoiseSource) -> Tensor:
        def counts(generator: np.random.Generator, mean: np.ndarray) -> np.ndarray:
            return generator.poisson(mean * self.peak).astype(np.float64)

        return source.draw(STREAM, refuse_negative(clean), counts) / self.peak

    def log_likelihood(self, y: Tensor, clean: Tensor) -> Tensor:
        """The log density of y, which lives on the grid 1 / peak; the mean is floored at FLOOR counts."""
        refuse_complex(y)
        counts, mean = y * self.peak, floored(clean * self.peak, FLOOR)
        return counts * torch.log(mean) - mean - torch.lgamma(counts.clamp_min(0.0) + 1) + math.log(self.peak)

    def variance(self, clean: Tensor) -> Tensor:
        return floored(clean * self.peak, FLOOR) / self.peak**2
