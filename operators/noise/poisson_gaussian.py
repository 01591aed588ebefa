"""Photon counting followed by Gaussian read-out noise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from ..common.randomness import NoiseSource
from ..common.settings import Deviation, Photons
from .base import NoiseModel, floored, refuse_complex
from .poisson import FLOOR, Poisson

READ_OUT = "read-out"


@dataclass(frozen=True, kw_only=True)
class PoissonGaussian(NoiseModel):
    """y = Poisson(peak z) / peak + sigma n.

    The likelihood is the Gaussian of the same mean and variance, z and z / peak + sigma^2 (A. Foi et al. 2008,
    equation 3): exact in its two moments, and close above a few photons.
    """

    counts: ClassVar[bool] = True

    peak: Annotated[Photons, "expected photons where z = 1"] = 30.0
    sigma: Annotated[Deviation, "standard deviation of the read-out noise in the units of y"] = 0.02

    def sample(self, clean: Tensor, source: NoiseSource) -> Tensor:
        counted = Poisson(peak=self.peak).sample(clean, source)
        return counted + self.sigma * source.normal(READ_OUT, clean) if self.sigma > 0 else counted

    def log_likelihood(self, y: Tensor, clean: Tensor) -> Tensor:
        refuse_complex(y)
        variance = self.variance(clean)
        return -((y - clean) ** 2) / (2 * variance) - 0.5 * torch.log(2 * math.pi * variance)

    def variance(self, clean: Tensor) -> Tensor:
        return floored(clean * self.peak, FLOOR) / self.peak**2 + self.sigma**2
