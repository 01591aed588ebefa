"""RED-Diff: variational inference with a diffusion prior as regulariser.

Mardani, Song, Kautz, Vahdat 2024, "A Variational Perspective on Solving Inverse Problems with Diffusion Models",
arXiv 2305.04391, repository NVlabs/RED-diff. q(x) = N(mu, sigma_x0^2 I); at descending times t,
with u = mu + sigma_x0 z0 and x_t = alpha_t u + sigma_t z, one Adam step along

    g = w_t (e(x_t) - z) + v (N / M) A^H (A u - y),   w_t = lambda f(sigma_t / alpha_t)

e is the noise prediction, its Jacobian left out; N and M count the numbers in a picture and in its measurement.

Differs from the paper: g is N times the published gradient (there, means over pixels and over measurements), so that a
setting serves every picture size; Adam cancels the factor but for its eps, 2e-3 here being the published 1e-8 at
256 x 256 x 3. The noise level never enters the published objective. Ours ends the descent of t where
sigma_t / alpha_t = `stop` sigma: below it the weight of the prior sinks under what Bayes' rule gives it, and the data
term would fit the noise. Preset "paper" runs to t = 0.

Any operator (its derivative is used), Gaussian noise or its stand-in. Cost: `steps` network calls.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor

from operators.common.randomness import Noise

from ..base import Solver, State, check_choice, check_range, expect_prior
from ..parts.start import STARTS, Start, start_picture

if TYPE_CHECKING:
    from priors.base import DiffusionPrior

    from ...problem import Problem

TIMES = 1000
WEIGHTS: Mapping[str, Callable[[float], float]] = {
    "linear": lambda r: r,
    "sqrt": math.sqrt,
    "square": lambda r: r**2,
    "log": math.log1p,
    "trunc-linear": lambda r: min(r, 1.0),
    "power2over3": lambda r: r ** (2 / 3),
    "constant": lambda r: 1.0,
}
Weight = Literal["linear", "sqrt", "square", "log", "trunc-linear", "power2over3", "constant"]


@dataclass(frozen=True)
class REDDiff(Solver):
    """RED-Diff.

    steps: network calls. lambda_: weight of the prior (published 0.25). data_weight: v (published 1). weight: f above.
    lr: Adam's step (published 0.1; 0.25 inpainting, 0.5 deblurring). betas, eps: Adam's. sigma_x0: standard deviation
    of q, native units. stop: noise level at which the descent ends, in units of the measurement's sigma (published 0).
    first_time: where it begins. start: see `start_picture` (published "pinv").
    """

    needs_linear: ClassVar[bool] = False
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {
            "steps": 1000,
            "lambda_": 0.25,
            "data_weight": 1.0,
            "weight": "linear",
            "lr": 0.1,
            "sigma_x0": 0.0,
            "stop": 0.0,
            "first_time": TIMES,
            "start": "pinv",
        },
    }

    steps: int = 100
    lambda_: float = 0.25
    data_weight: float = 1.0
    weight: Weight = "linear"
    lr: float = 0.1
    betas: tuple[float, float] = (0.9, 0.99)
    eps: float = 2e-3
    sigma_x0: float = 0.0
    stop: float = 1.0
    first_time: int = TIMES
    start: Start = "estimate"

    def __post_init__(self) -> None:
        check_range("steps", self.steps, 1, TIMES)
        for name in ("lambda_", "data_weight", "sigma_x0", "stop"):
            check_range(name, getattr(self, name), 0)
        for name in ("lr", "eps"):
            check_range(name, getattr(self, name), 0, open_low=True)
        for beta in self.betas:
            check_range("betas", beta, 0, 1 - 1e-9)
        check_range("first_time", self.first_time, 1, TIMES)
        check_choice("weight", self.weight, tuple(WEIGHTS))
        check_choice("start", self.start, STARTS)

    def times(self, last: int) -> list[int]:
        """`steps` times (as many as there are), evenly spaced downwards to `last`."""
        span = max(self.first_time - last, 1)
        count = min(self.steps, span)
        return [last + step * (span // count) for step in reversed(range(count))]

    def iterate(self, problem: Problem, prior: DiffusionPrior | None, noise: Noise) -> Iterator[State]:
        prior = expect_prior(prior, self)
        mu = start_picture(problem, self.start)
        first_moment, second_moment = torch.zeros_like(mu), torch.zeros_like(mu)
        last = self._last_time(prior, self.stop * problem.sigma)
        for step, t in enumerate(self.times(last)):
            if self.sigma_x0 == 0:
                noise.skip("unused", mu)
            u = mu + self.sigma_x0 * noise.normal("start", like=mu) if self.sigma_x0 > 0 else mu
            z = noise.normal("step", like=mu)
            x = prior.alpha(t) * u + prior.sigma(t) * z
            x0 = prior.x0(x, t)
            ratio = prior.sigma(t) / prior.alpha(t)
            excess = (u - x0) / ratio  # e(x_t) - z, because x_t = alpha_t u + sigma_t z
            g = self.gradient(problem, u, excess, ratio)
            first_moment.lerp_(g, 1 - self.betas[0])
            second_moment.mul_(self.betas[1]).addcmul_(g, g, value=1 - self.betas[1])
            spread = (second_moment / (1 - self.betas[1] ** (step + 1))).sqrt_().add_(self.eps)
            mu = mu.addcdiv(first_moment, spread, value=-self.lr / (1 - self.betas[0] ** (step + 1)))
            yield State(x=x, x0=x0, estimate=mu, step=step, sigma=ratio)

    def gradient(self, problem: Problem, u: Tensor, excess: Tensor, ratio: float) -> Tensor:
        """g at u. excess: e(x_t) - z (B x C x H x W); ratio: sigma_t / alpha_t."""
        share = math.prod(problem.operator.input_shape) / math.prod(problem.operator.output_shape)
        toward_y = problem.operator.vjp(u, problem.residual(u))
        return (self.lambda_ * WEIGHTS[self.weight](ratio) * excess).sub_(toward_y, alpha=self.data_weight * share)

    def _last_time(self, prior: DiffusionPrior, level: float) -> int:
        """The first time whose noise-to-signal ratio reaches `level`."""
        reached = (t for t in range(self.first_time) if prior.sigma(t) >= level * prior.alpha(t))
        return next(reached, self.first_time - 1)
