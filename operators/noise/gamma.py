"""Speckle."""

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

FLOOR = 1e-6  # intensity; a mean of zero has no density


@dataclass(frozen=True, kw_only=True)
class Gamma(NoiseModel):
    """y = z g with g ~ Gamma(shape looks, scale 1 / looks): mean z, variance z^2 / looks."""

    counts: ClassVar[bool] = True

    looks: Annotated[Photons, "averaged looks"] = 4.0

    def sample(self, clean: Tensor, source: NoiseSource) -> Tensor:
        def speckle(generator: np.random.Generator, mean: np.ndarray) -> np.ndarray:
            return mean * generator.standard_gamma(self.looks, size=mean.shape) / self.looks

        return source.draw(STREAM, refuse_negative(clean), speckle)

    def log_likelihood(self, y: Tensor, clean: Tensor) -> Tensor:
        refuse_complex(y)
        mean, value = floored(clean, FLOOR), y.clamp_min(FLOOR)
        constant = self.looks * math.log(self.looks) - math.lgamma(self.looks)
        return constant + (self.looks - 1) * torch.log(value) - self.looks * (torch.log(mean) + value / mean)

    def variance(self, clean: Tensor) -> Tensor:
        return floored(clean, FLOOR) ** 2 / self.looks
