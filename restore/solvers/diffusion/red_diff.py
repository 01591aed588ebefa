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
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import torch
from torch import Tensor

from operators.common.randomness import Noise
from operators.common.settings import NotNegative, OneOf, Positive, Range

from ..base import Solver, State, expect_prior
from ..parts.start import Start, start_picture

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
    "constant": lambda _: 1.0,
}


@dataclass(frozen=True)
class REDDiff(Solver):
    """RED-Diff. Published values: preset "paper" (lr 0.25 for inpainting, 0.5 for deblurring)."""

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

    steps: Annotated[int, Range(1, TIMES), "network calls"] = 100
    lambda_: Annotated[NotNegative, "weight of the prior"] = 0.25
    data_weight: Annotated[NotNegative, "weight v of the data term"] = 1.0
    weight: Annotated[str, OneOf(WEIGHTS), "f above, of the noise-to-signal ratio"] = "linear"
    lr: Annotated[Positive, "Adam's step"] = 0.1
    betas: Annotated[tuple[float, float], Range(0, below=1), "Adam's decay of both averages"] = (0.9, 0.99)
    eps: Annotated[Positive, "Adam's floor of the root of the second average"] = 2e-3
    sigma_x0: Annotated[NotNegative, "standard deviation of q, native units"] = 0.0
    stop: Annotated[
        NotNegative, "noise level at which the descent ends, in units of the measurement's sigma (published 0)"
    ] = 1.0
    first_time: Annotated[int, Range(1, TIMES), "where the descent begins"] = TIMES
    start: Start = "estimate"

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
