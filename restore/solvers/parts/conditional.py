"""Draws of p(z) ~ p(y | z) N(z; mean, std^2 I): the data step of samplers that split likelihood and prior.

Exact for linear operators under Gaussian noise; Langevin dynamics for the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

import operators.noise
from operators.common.randomness import Noise

if TYPE_CHECKING:
    from ...problem import Problem

TINY = 1e-30


def drawn_exactly(
    problem: Problem, mean: Tensor, std: float, noise: Noise, *, sigma: float, temperature: float = 1.0
) -> Tensor:
    """One draw for each entry, by perturbing data and mean and solving (Papandreou, Yuille 2010; Orieux et al. 2012).

    z = u + (A^H A + rho)^-1 A^H (y + sigma n2 - A u), u = mean + std n1, rho = sigma^2 / std^2, has that law exactly.
    sigma: standard deviation of the noise in y, positive. temperature: of n1 and n2; 0 gives the mean of that law.
    Linear operators.
    """
    u = mean + temperature * std * noise.normal("prior draw", like=mean)
    residual = problem.residual(u) + temperature * sigma * noise.normal("data draw", like=problem.y)
    return u + problem.linear.correction(residual, sigma**2 / std**2)


def data_score(problem: Problem, z: Tensor, sigma: float) -> Tensor:
    """grad log p(y | z): A'^H (y - A z) / sigma^2 under Gaussian noise, that of the noise's own law otherwise."""
    if isinstance(problem.noise, operators.noise.Gaussian):
        return problem.operator.vjp(z, problem.residual(z)) / sigma**2
    return problem.likelihood_gradient(z)


class SafeRate:
    """Langevin step lengths `share` / (|A'|^2 / sigma^2 + 1 / std^2) for each picture, |A'| learned on the way.

    |A'^H r| / |r| is at most |A'| and near it as soon as the directions of largest gain dominate r, which a step too
    long brings about: the largest value yet seen, with some room, keeps the iteration stable.
    """

    def __init__(self, sigma: float, std: float, share: float) -> None:
        self.sigma, self.std, self.share = sigma, std, share
        self._gain: Tensor | None = None

    def of(self, residual: Tensor, slope: Tensor) -> Tensor:
        """The rate (B x 1 x ... x 1). residual: y - A z; slope: A'^H residual."""
        ones = [1] * (slope.ndim - 1)
        sizes = [(v.abs() ** 2).flatten(1).sum(1) for v in (slope, residual)]
        gain = (sizes[0] / sizes[1].clamp_min(TINY)).reshape(-1, *ones)
        self._gain = gain if self._gain is None else torch.maximum(gain, self._gain)
        return self.share / (2 * self._gain / self.sigma**2 + 1 / self.std**2)


def wandered(
    problem: Problem,
    mean: Tensor,
    std: float,
    noise: Noise,
    *,
    sigma: float,
    steps: int,
    rate: float | None,
    share: float = 0.5,
    temperature: float = 1.0,
    momentum: float | None = None,
) -> Tensor:
    """One approximate draw for each entry, after `steps` of Langevin dynamics from the mean; any operator and noise.

    rate: the step length; None: `share` of the largest stable one (`SafeRate`). momentum: m of the Hamiltonian variant
    with friction, v <- m v + sqrt(rate) g + sqrt(2 (1 - m)) n, z <- z + sqrt(rate) v; None: z <- z + rate g +
    sqrt(2 rate) n. temperature: of n.
    """
    z = mean
    velocity = None if momentum is None else noise.normal("velocity", like=z)
    safe = SafeRate(sigma, std, share)
    for _ in range(steps):
        slope = data_score(problem, z, sigma)
        length = rate if rate is not None else safe.of(problem.residual(z), slope * sigma**2)
        drift = slope + (mean - z) / std**2
        fresh = temperature * noise.normal("inner", like=z)
        if velocity is None or momentum is None:
            z = z + length * drift + (2 * length) ** 0.5 * fresh
        else:
            velocity = momentum * velocity + length**0.5 * drift + (2 * (1 - momentum)) ** 0.5 * fresh
            z = z + length**0.5 * velocity
    return z
