"""Additive Gaussian noise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from ..common.randomness import NoiseSource
from ..common.settings import Deviation
from .base import STREAM, NoiseModel


@dataclass(frozen=True, kw_only=True)
class Gaussian(NoiseModel):
    """y = z + sigma n; for complex data, sigma is the standard deviation of each of the two parts."""

    sigma: Annotated[Deviation, "standard deviation in the units of y; 0: a measurement without noise"] = 0.1

    def sample(self, clean: Tensor, source: NoiseSource) -> Tensor:
        return clean + self.sigma * source.normal(STREAM, clean) if self.sigma > 0 else clean.clone()

    def log_likelihood(self, y: Tensor, clean: Tensor) -> Tensor:
        error = (y - clean).abs() ** 2
        if self.sigma == 0:  # a point mass: certain, or impossible
            return torch.where(error == 0, error, torch.full_like(error, -math.inf))
        parts = 2 if y.is_complex() else 1
        return -error / (2 * self.sigma**2) - parts * math.log(self.sigma * math.sqrt(2 * math.pi))

    def variance(self, clean: Tensor) -> Tensor:
        return torch.full_like(clean.abs(), self.sigma**2 * (2 if clean.is_complex() else 1))
