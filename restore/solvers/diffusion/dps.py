"""DPS: ancestral sampling steered by the gradient of the data misfit, taken through the prior.

Chung, Kim, McCann, Klasky, Ye 2023, "Diffusion Posterior Sampling for General Noisy Inverse Problems",
arXiv 2209.14687, repository DPS2022/diffusion-posterior-sampling. For descending times t, u the next one,
b = 1 - alpha_t^2 / alpha_u^2:

    x0  = E[x0 | x_t], clipped;   R = |y - A x0|
    x'  = alpha_u b / sigma_t^2 x0 + sigma_u^2 sqrt(1 - b) / sigma_t^2 x_t + std z            (Ho et al. 2020, eq. 7)
    x_u = x' - k grad_{x_t} R^2 / 2

sampler "ddim" takes x' = alpha_u x0 + sigma_u (x_t - alpha_t x0) / sigma_t instead.

rule "norm" (published): k = zeta / R, one R per picture. Made for 1000 steps; with few of them the picture is hardly
steered, and the strength that suits depends on the picture's size.
rule "variance" (default): p(y | x_t) is approximated by N(A x0, (sigma^2 + |A|^2 r^2) I), where
r^2 = c^2 s^2 / (c^2 + s^2), c = sigma_t / alpha_t, s = `prior_std`, is what x_t leaves open about x0 (Song et al. 2023,
PiGDM). By Tweedie's formula its score moves x0 by sigma_t^2 / alpha_t times itself, so
k = zeta w sigma_t^2 / (alpha_t (sigma^2 + |A|^2 r^2)), w being the weight of x0 in x' and zeta = 1 Bayes' rule; it
serves any number of steps and any size.

Any operator (differentiated automatically) and noise: where the noise is not Gaussian, R^2 / 2 stands for
-sigma^2 log p(y | x0), sigma being its mean standard deviation. Cost: `steps` network calls, each with one backward
pass and the memory of the network's graph.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

import operators.noise
from operators.common.randomness import Noise
from operators.common.settings import Fraction, NotNegative, Positive, Range
from operators.core.base import LinearOperator

from ..base import Mean, Solver, State, expect_prior

if TYPE_CHECKING:
    from priors.base import DiffusionPrior

    from ...problem import Problem

LAST_TIME = 999


@dataclass(frozen=True)
class DPS(Solver):
    """DPS. Published values: preset "paper".

    Published zeta, with rule "norm": 0.3 super-resolution and deblurring, 0.5 random inpainting, 1 phase retrieval.
    A variance of 0.5 is what a learned-range network gives where it has learned nothing. Fifty steps from time 999 do
    not find a photograph, from 400 they do.
    """

    differentiates: ClassVar[bool] = True
    needs_linear: ClassVar[bool] = False
    needs_gaussian: ClassVar[bool] = False
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {
            "steps": 1000,
            "zeta": 0.3,
            "rule": "norm",
            "sampler": "ddpm",
            "variance": 0.5,
            "first_time": LAST_TIME,
        },
    }

    steps: Annotated[int, Range(1, LAST_TIME + 1), "times visited, network calls"] = 50
    zeta: Annotated[NotNegative, "strength of the guidance; with rule variance 1 is Bayes' rule"] = 1.0
    rule: Annotated[Literal["variance", "norm"], "what scales the guidance; norm is published"] = "variance"
    prior_std: Annotated[Positive, "standard deviation of pictures in native units, for rule variance"] = 0.5
    sampler: Annotated[Literal["ddpm", "ddim"], "ancestral, or deterministic"] = "ddpm"
    variance: Annotated[Fraction, "ddpm noise between the smallest and the largest variance, geometrically"] = 0.0
    first_time: Annotated[int, Range(0, LAST_TIME), "where the diffusion begins"] = 400

    def times(self) -> list[int]:
        """`steps` times from first_time to 0, evenly spaced and rounded."""
        return sorted({round(t) for t in np.linspace(self.first_time, 0, self.steps)}, reverse=True)

    def iterate(self, problem: Problem, prior: DiffusionPrior | None, noise: Noise) -> Iterator[State]:
        prior = expect_prior(prior, self)
        gain = self._gain(problem)
        kind = _kind(problem.y, complex_values=problem.operator.complex_input)
        like = torch.zeros(problem.y.shape[0], *problem.operator.input_shape, dtype=kind, device=problem.y.device)
        x = noise.normal("start", like=like)
        times = self.times()
        for step, (t, u) in enumerate(zip(times, [*times[1:], -1], strict=True)):
            x0, slope, distance = steer(problem, prior, x, t)
            of_x0, of_x, std = self.transition(prior, t, u)
            ahead = of_x0 * x0 + of_x * x
            ahead = ahead + std * noise.normal("step", like=x) if std > 0 else ahead
            by_variance = self.rule == "variance"
            weight: float | Tensor
            weight = of_x0 * self.confidence(prior, t, problem.sigma, gain) if by_variance else _inverse(distance)
            x = ahead - self.zeta * weight * slope
            level = prior.sigma(u) / prior.alpha(u)
            info = {"distance": Mean(distance.flatten())}
            yield State(x=x, x0=x0, estimate=x if u < 0 else x0, step=step, sigma=level, info=info)

    def transition(self, prior: DiffusionPrior, t: int, u: int) -> tuple[float, float, float]:
        """Weights of x0 and of x_t in x', and its standard deviation; u = -1 is the clean picture, free of noise."""
        alpha_t, sigma_t, alpha_u, sigma_u = prior.alpha(t), prior.sigma(t), prior.alpha(u), prior.sigma(u)
        if self.sampler == "ddim":
            return alpha_u - sigma_u * alpha_t / sigma_t, sigma_u / sigma_t, 0.0
        beta = 1 - (alpha_t / alpha_u) ** 2
        smallest = beta * (sigma_u / sigma_t) ** 2
        std = 0.0 if u < 0 else math.sqrt(beta**self.variance * smallest ** (1 - self.variance))
        return alpha_u * beta / sigma_t**2, (sigma_u / sigma_t) ** 2 * math.sqrt(1 - beta), std

    def confidence(self, prior: DiffusionPrior, t: int, sigma: float, gain: float) -> float:
        """Tweedie's sigma_t^2 / alpha_t, by which a score moves x0, over the assumed variance of y given x_t."""
        level = prior.sigma(t) / prior.alpha(t)
        left_open = (level * self.prior_std) ** 2 / (level**2 + self.prior_std**2)
        return prior.sigma(t) * level / max(sigma**2 + gain * left_open, 1e-12)

    def _gain(self, problem: Problem) -> float:
        """|A|^2, where it is needed and known."""
        if self.rule == "norm" or not isinstance(problem.operator, LinearOperator):
            return 1.0
        return problem.operator.norm() ** 2


def steer(problem: Problem, prior: DiffusionPrior, x: Tensor, t: int) -> tuple[Tensor, Tensor, Tensor]:
    """Clipped E[x0 | x_t], the gradient of R^2 / 2 at x_t, and R for each picture (B x 1 x ... x 1)."""
    with torch.enable_grad():
        point = x.detach().requires_grad_()
        x0 = prior.x0(point, t)
        x0 = x0 if prior.clip is None else x0.clamp(*prior.clip)
        residual = problem.residual(x0)
        square = (residual.abs() ** 2).flatten(1).sum(1)
        if isinstance(problem.noise, operators.noise.Gaussian):
            cost = square / 2
        else:
            cost = -(problem.sigma**2) * problem.log_likelihood(x0)
        slope = torch.autograd.grad(cost.sum(), point)[0]
    return x0.detach(), slope, square.detach().sqrt().reshape(-1, *[1] * (x.ndim - 1))


def _inverse(values: Tensor) -> Tensor:
    """1 / values, and 0 where a value is 0."""
    return torch.where(
        values > 0, 1 / torch.where(values > 0, values, torch.ones_like(values)), torch.zeros_like(values)
    )


def _kind(data: Tensor, *, complex_values: bool) -> torch.dtype:
    """The data type of pictures, real or complex, in the precision of `data`."""
    return data.dtype.to_complex() if complex_values else data.dtype.to_real()
