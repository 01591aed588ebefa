"""Magnitudes of complex Gaussian data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from ..common.randomness import NoiseSource
from ..common.settings import TrueDeviation
from .base import STREAM, NoiseModel, refuse_complex, refuse_negative

IMAGINARY = "imaginary"
FLOOR = 1e-12


@dataclass(frozen=True, kw_only=True)
class Rician(NoiseModel):
    """y = |z + sigma (n1 + i n2)|, z >= 0: magnitude MRI.

    p(y | z) = y / sigma^2 exp(-(y^2 + z^2) / (2 sigma^2)) I0(y z / sigma^2) (Gudbjartsson, Patz 1995).
    """

    counts: ClassVar[bool] = True

    sigma: Annotated[TrueDeviation, "standard deviation of each part"] = 0.05

    def sample(self, clean: Tensor, source: NoiseSource) -> Tensor:
        real = refuse_negative(clean) + self.sigma * source.normal(STREAM, clean)
        return torch.hypot(real, self.sigma * source.normal(IMAGINARY, clean))

    def log_likelihood(self, y: Tensor, clean: Tensor) -> Tensor:
        refuse_complex(y)
        seen = y.clamp_min(FLOOR)
        # log I0(t) = log(exp(-|t|) I0(t)) + |t|; with it the exponent is a complete square.
        product = seen * clean / self.sigma**2
        square = (seen - clean.abs()) ** 2 / (2 * self.sigma**2)
        return torch.log(seen) - 2 * math.log(self.sigma) - square + torch.log(torch.special.i0e(product))

    def mean(self, clean: Tensor) -> Tensor:
        half = clean**2 / (4 * self.sigma**2)
        laguerre = (1 + 2 * half) * torch.special.i0e(half) + 2 * half * torch.special.i1e(half)
        return self.sigma * math.sqrt(math.pi / 2) * laguerre

    def variance(self, clean: Tensor) -> Tensor:
        """E |y - z|^2 = 2 z^2 + 2 sigma^2 - 2 z E[y]: spread and bias together."""
        wide = clean.double()
        return (2 * wide**2 + 2 * self.sigma**2 - 2 * wide * self.mean(wide)).clamp_min(FLOOR).to(clean.dtype)
