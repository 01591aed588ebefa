"""Total variation: discrete gradient, its exact negative adjoint, the norm and its proximal map."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from operators.common.settings import Checked, Count, NotNegative, check

Kind = Literal["isotropic", "anisotropic", "vectorial"]
FIRST_SPATIAL = 2  # B x C x spatial


def gradient(x: Tensor) -> Tensor:
    """Forward differences along every spatial axis, zero at the far border (Neumann).

    x: B x C x spatial, real or complex. Returns B x C x d x spatial, d the number of spatial axes.
    """
    spatial = range(FIRST_SPATIAL, x.ndim)
    out = x.new_zeros(*x.shape[:2], len(spatial), *x.shape[2:])
    for number, axis in enumerate(spatial):
        length = x.shape[axis] - 1
        out[:, :, number].narrow(axis, 0, length).copy_(x.narrow(axis, 1, length) - x.narrow(axis, 0, length))
    return out


def divergence(p: Tensor) -> Tensor:
    """The exact negative adjoint: <gradient(x), p> = -<x, divergence(p)>. p: B x C x d x spatial."""
    out = p.new_zeros(*p.shape[:2], *p.shape[3:])
    for number, axis in enumerate(range(FIRST_SPATIAL, out.ndim)):
        length = out.shape[axis] - 1
        inner = p[:, :, number].narrow(axis, 0, length)
        out.narrow(axis, 0, length).add_(inner)
        out.narrow(axis, 1, length).sub_(inner)
    return out


def gradient_norm(spatial_axes: int) -> float:
    """An upper bound on the norm of `gradient`: 2 sqrt(d) (Chambolle 2004)."""
    return 2 * math.sqrt(spatial_axes)


@dataclass(frozen=True)
class TotalVariation(Checked):
    """TV(x) = sum over pixels of |gradient(x)| (Rudin, Osher, Fatemi 1992).

    kind: "isotropic" takes the length of the gradient in each channel, "anisotropic" the sum of its absolute
    components, "vectorial" one length over all channels together, which keeps their edges in one place.
    """

    kind: Kind = "isotropic"

    def value(self, x: Tensor) -> Tensor:
        """TV of each picture (B)."""
        return self._length(gradient(x)).flatten(1).sum(1)

    def project(self, p: Tensor, radius: float | Tensor) -> Tensor:
        """The nearest dual field with lengths of at most `radius` (a number, or one per picture: B x 1 x 1 ...)."""
        return p / (self._length(p) / radius).clamp_min(1.0)

    def prox(self, x: Tensor, weight: float, *, iterations: int = 100) -> Tensor:
        """argmin_z 1/2 |z - x|^2 + weight TV(z), by accelerated projected gradients on the dual.

        Beck and Teboulle 2009, doi:10.1109/TIP.2009.2028250 (FGP), from the dual of Chambolle 2004.
        """
        check("weight", weight, NotNegative)
        check("iterations", iterations, Count)
        if weight == 0:
            return x
        step = 1 / gradient_norm(x.ndim - FIRST_SPATIAL) ** 2
        p = ahead = torch.zeros_like(gradient(x))
        momentum = 1.0
        for _ in range(iterations):
            previous, p = p, self.project(ahead + step * gradient(x + divergence(ahead)), weight)
            following = (1 + math.sqrt(1 + 4 * momentum**2)) / 2
            ahead = p + (momentum - 1) / following * (p - previous)
            momentum = following
        return x + divergence(p)

    def _length(self, p: Tensor) -> Tensor:
        if self.kind == "anisotropic":
            return p.abs()
        axes = (2,) if self.kind == "isotropic" else (1, 2)
        return torch.linalg.vector_norm(p, dim=axes, keepdim=True)
