"""Laws of the increments of a Levy process: density, quantiles, characteristic function.

The benchmark of Zach, Haouchat, Unser 2026, arXiv 2509.12821: Gaussian, Laplace, Bernoulli-Laplace (most increments are
exactly 0) and Student's t of 1, 2 or 3 degrees, all symmetric about 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from operators.common.registry import unknown_name


@dataclass(frozen=True)
class IncrementLaw:
    """The law of one increment u: (1 - jump) delta_0 + jump times a symmetric density.

    kind: "gauss", "laplace" or "student". scale: standard deviation, b, or the scale of t. nu: degrees of freedom of
    Student's t (1, 2 or 3), 0 for others. jump: probability of an increment other than 0.
    """

    name: str
    kind: str
    scale: float = 1.0
    nu: int = 0
    jump: float = 1.0

    def log_density(self, u: Tensor) -> Tensor:
        """log of the density of an increment given that it is not 0."""
        if self.kind == "gauss":
            return -0.5 * (u / self.scale).square() - math.log(self.scale * math.sqrt(2 * math.pi))
        if self.kind == "laplace":
            return -u.abs() / self.scale - math.log(2 * self.scale)
        half = (self.nu + 1) / 2
        constant = math.lgamma(half) - math.lgamma(self.nu / 2) - 0.5 * math.log(self.nu * math.pi)
        return constant - half * torch.log1p(u.square() / self.nu)

    def density(self, u: Tensor) -> Tensor:
        """The density of an increment given that it is not 0."""
        return self.log_density(u).exp()

    def quantile(self, uniform: Tensor) -> Tensor:
        """Increments from uniform numbers in [0, 1), by inversion; exactly 0 with probability 1 - jump."""
        q = uniform.double()
        still = q < 1 - self.jump
        q = ((q - (1 - self.jump)) / self.jump).clamp(1e-16, 1 - 1e-16)
        if self.kind == "gauss":
            drawn = self.scale * torch.special.ndtri(q)
        elif self.kind == "laplace":
            drawn = -self.scale * torch.sign(q - 0.5) * torch.log1p(-2 * (q - 0.5).abs())
        else:
            from scipy.special import stdtrit

            drawn = torch.from_numpy(np.asarray(stdtrit(self.nu, q.numpy())))
        return torch.where(still, torch.zeros_like(drawn), drawn)

    def characteristic(self, omega: np.ndarray) -> np.ndarray:
        """E exp(i omega u) of an increment given that it is not 0; real, since the law is symmetric."""
        w = np.abs(omega) * self.scale
        if self.kind == "gauss":
            return np.exp(-0.5 * w**2)
        if self.kind == "laplace":
            return 1 / (1 + w**2)
        r = math.sqrt(self.nu) * w
        if self.nu == 2:
            from scipy.special import k1e

            return np.where(r > 0, r * k1e(np.where(r > 0, r, 1.0)) * np.exp(-r), 1.0)
        return np.exp(-r) * (1 + r if self.nu == 3 else 1)


LAWS = {
    law.name: law
    for law in (
        IncrementLaw("gauss", "gauss", scale=0.5),
        IncrementLaw("laplace", "laplace"),
        IncrementLaw("bernoulli-laplace", "laplace", jump=0.1),
        IncrementLaw("student-1", "student", nu=1),
        IncrementLaw("student-2", "student", nu=2),
        IncrementLaw("student-3", "student", nu=3),
    )
}


def increment_law(name: str) -> IncrementLaw:
    """The law of a name; BadInput for another one, with a suggestion."""
    if name not in LAWS:
        raise unknown_name("law of increments", name, dict.fromkeys(LAWS))
    return LAWS[name]
