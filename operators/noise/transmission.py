"""X-ray photons counted behind an object, after the logarithm."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from torch import Tensor

from ..common.errors import BadInput
from ..common.randomness import NoiseSource
from ..common.settings import Deviation, Photons
from .base import STREAM, NoiseModel, refuse_complex

LEAST = 1.0  # counts; fewer are read as this many, so that the logarithm exists


@dataclass(frozen=True, kw_only=True)
class Transmission(NoiseModel):
    """y = -log(max(N, 1) / photons), N = Poisson(photons exp(-z)) + sigma n, for line integrals z (Beer, Lambert).

    Variance to first order: (1 / mean + sigma^2 / mean^2) with mean = photons exp(-z). Source: J. Fessler,
    "Statistical image reconstruction methods for transmission tomography", 2000.
    """

    photons: Annotated[Photons, "expected counts of each cell without an object (I0)"] = 1e4
    sigma: Annotated[Deviation, "standard deviation of the read-out noise in counts"] = 0.0

    def sample(self, clean: Tensor, source: NoiseSource) -> Tensor:
        refuse_complex(clean)
        if not bool(torch.isfinite(clean).all()):
            raise BadInput(f"the line integrals hold {int((~torch.isfinite(clean)).sum())} NaN or infinite values")

        def counts(generator: np.random.Generator, integral: np.ndarray) -> np.ndarray:
            quanta = generator.poisson(self.photons * np.exp(-integral)).astype(np.float64)
            if self.sigma > 0:
                quanta += self.sigma * generator.standard_normal(integral.shape)
            return np.asarray(-np.log(np.maximum(quanta, LEAST) / self.photons))

        return source.draw(STREAM, clean, counts)

    def log_likelihood(self, y: Tensor, clean: Tensor) -> Tensor:
        """The log density of the counts photons exp(-y), shifted by sigma^2 where the read-out adds noise.

        A shifted Poisson law has the right mean and variance (Snyder, Helstrom, Lanterman, Faisal, White 1995).
        """
        refuse_complex(y)
        counts = self.photons * torch.exp(-y) + self.sigma**2
        mean = self.photons * torch.exp(-clean) + self.sigma**2
        jacobian = math.log(self.photons) - y
        return counts * torch.log(mean) - mean - torch.lgamma(counts + 1) + jacobian

    def variance(self, clean: Tensor) -> Tensor:
        mean = (self.photons * torch.exp(-clean)).clamp_min(LEAST)
        return 1 / mean + (self.sigma / mean) ** 2

    def clamped(self, y: Tensor) -> int:
        """How many entries were dark: counts that were read as one."""
        return int((y >= math.log(self.photons / LEAST) * (1 - 1e-6)).sum())
