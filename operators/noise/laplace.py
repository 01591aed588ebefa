"""Errors with heavy tails, whose likelihood is an absolute value."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from torch import Tensor

from ..common.randomness import NoiseSource
from ..common.settings import TrueDeviation
from .base import STREAM, NoiseModel, refuse_broken, refuse_complex


@dataclass(frozen=True, kw_only=True)
class Laplace(NoiseModel):
    """y = z + n with density exp(-|n| / b) / (2 b), b = sigma / sqrt(2)."""

    sigma: Annotated[TrueDeviation, "standard deviation in the units of y"] = 0.1

    def sample(self, clean: Tensor, source: NoiseSource) -> Tensor:
        scale = self.sigma / math.sqrt(2)

        def noisy(generator: np.random.Generator, mean: np.ndarray) -> np.ndarray:
            return mean + generator.laplace(scale=scale, size=mean.shape)

        return source.draw(STREAM, refuse_broken(clean), noisy)

    def log_likelihood(self, y: Tensor, clean: Tensor) -> Tensor:
        refuse_complex(y)
        scale = self.sigma / math.sqrt(2)
        return -(y - clean).abs() / scale - math.log(2 * scale)

    def variance(self, clean: Tensor) -> Tensor:
        return torch.full_like(clean, self.sigma**2)
