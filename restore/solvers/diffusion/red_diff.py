"""RED-Diff: variational inference with a diffusion prior as regulariser.

Mardani, Song, Kautz, Vahdat 2024, "A Variational Perspective on Solving Inverse Problems with Diffusion Models",
arXiv 2305.04391, repository NVlabs/RED-diff. q(x) = N(mu, sigma_x0^2 I); at descending times t,
with u = mu + sigma_x0 z0 and x_t = alpha_t u + sigma_t z, one Adam step along (eq. 10, Algorithm 1)

    g = w_t (e(x_t) - z) + v (N / M) A^H (A u - y),   w_t = lambda f(sigma_t / alpha_t)

e is the noise prediction, its Jacobian left out; N and M count the numbers in a picture and in its measurement. f(r) by
name: linear r, sqrt, square, log ln(1 + r), trunc-linear min(r, 1), power2over3 r^(2/3), constant 1.

Differs from the paper: g is N times the published gradient (there, means over pixels and over measurements), so that a
setting serves every picture size; Adam cancels the factor but for its eps, 2e-3 here being the published 1e-8 at
256 x 256 x 3. The noise level never enters the published objective. Ours ends the descent of t where
sigma_t / alpha_t = `stop` sigma: below it the weight of the prior sinks under what Bayes' rule gives it, and the data
term would fit the noise; and Adam's step shrinks to `lr_last` of itself on the way. Presets run to t = 0 with one lr.

`group` times share an Adam step, along the mean of their g (the released parallel variant). balance "sums" leaves out
N / M, as a later port does (preset "port": no means, v 2, lr 0.02, constant weight, started from zero). The released
switch `awd` changes nothing while x0 is what the network says; `eta` and `cond_awd` belong to a classifier.

Any operator (its derivative is used), Gaussian noise or its stand-in. Cost: `steps` network calls.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor

from operators.common.randomness import Noise
from operators.common.settings import Count, Fraction, NotNegative, OneOf, Positive, Range

from ..base import Solver, State, expect_prior
from ..parts.ladder import TIMES, strided
from ..parts.start import Start, start_picture

if TYPE_CHECKING:
    from priors.base import DiffusionPrior

    from ...problem import Problem

WEIGHTS: Mapping[str, Callable[[float], float]] = {
    "linear": lambda r: r,
    "sqrt": math.sqrt,
    "square": lambda r: r**2,
    "log": math.log1p,
    "trunc-linear": lambda r: min(r, 1.0),
    "power2over3": lambda r: r ** (2 / 3),
    "constant": lambda _: 1.0,
}


PUBLISHED: Mapping[str, Any] = {
    "steps": 1000,
    "lambda_": 0.25,
    "data_weight": 1.0,
    "weight": "linear",
    "lr": 0.1,
    "lr_last": 1.0,
    "sigma_x0": 0.0,
    "stop": 0.0,
    "first_time": TIMES,
    "start": "pinv",
}


@dataclass(frozen=True)
class REDDiff(Solver):
    """RED-Diff. Published values by preset, a script each: "paper" names those that the text gives.

    "sr4", "inpainting", "noisy-inpainting", "deblur" (also HDR, phase retrieval, JPEG, non-linear blur): the
    demonstrations. "batch": the evaluation of super-resolution and inpainting. "parallel": grouped times. "port":
    InverseBench.
    """

    needs_linear: ClassVar[bool] = False
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": PUBLISHED,
        "sr4": PUBLISHED,
        "inpainting": {**PUBLISHED, "lr": 0.25, "sigma_x0": 1e-4},
        "noisy-inpainting": {**PUBLISHED, "lr": 0.25, "sigma_x0": 1e-4, "lambda_": 1.0},
        "deblur": {**PUBLISHED, "lr": 0.5},
        "batch": {**PUBLISHED, "lambda_": 1.0},
        "parallel": {**PUBLISHED, "sigma_x0": 1e-4, "group": 4},
        "port": {
            **PUBLISHED,
            "weight": "constant",
            "balance": "sums",
            "data_weight": 2.0,
            "lr": 0.02,
            "eps": 1e-8,
            "start": "zero",
        },
    }

    steps: Annotated[int, Range(1, TIMES), "network calls"] = 100
    lambda_: Annotated[NotNegative, "weight of the prior"] = 0.25
    data_weight: Annotated[NotNegative, "weight v of the data term"] = 1.0
    balance: Annotated[Literal["means", "sums"], "data term times N / M as published, or not"] = "means"
    weight: Annotated[str, OneOf(WEIGHTS), "f above, of the noise-to-signal ratio"] = "linear"
    lr: Annotated[Positive, "Adam's step"] = 0.1
    lr_last: Annotated[Fraction, "share of it that the last step has (published 1)"] = 1.0
    betas: Annotated[tuple[float, float], Range(0, below=1), "Adam's decay of both averages"] = (0.9, 0.99)
    eps: Annotated[Positive, "Adam's floor of the root of the second average"] = 2e-3
    sigma_x0: Annotated[NotNegative, "standard deviation of q, native units"] = 0.0
    stop: Annotated[
        NotNegative, "noise level at which the descent ends, in units of the measurement's sigma (published 0)"
    ] = 1.0
    first_time: Annotated[int, Range(1, TIMES), "where the descent begins"] = TIMES
    group: Annotated[Count, "times that share a step of Adam"] = 1
    start: Start = "estimate"

    def times(self, last: int) -> list[int]:
        """`steps` times (as many as there are), evenly spaced downwards to `last`."""
        return strided(self.steps, span=self.first_time, last=last)

    def iterate(self, problem: Problem, prior: DiffusionPrior | None, noise: Noise) -> Iterator[State]:
        prior = expect_prior(prior, self)
        mu = start_picture(problem, self.start)
        first_moment, second_moment = torch.zeros_like(_reals(mu)), torch.zeros_like(_reals(mu))
        times = self.times(self._last_time(prior, self.stop * problem.sigma))
        groups = [times[k : k + self.group] for k in range(0, len(times), self.group)]
        for step, together in enumerate(groups):
            mean = torch.zeros_like(mu)
            for t in together:
                u, x, x0 = self.look(prior, mu, t, noise)
                ratio = prior.sigma(t) / prior.alpha(t)
                excess = (u - x0) / ratio  # e(x_t) - z, because x_t = alpha_t u + sigma_t z
                mean.add_(self.gradient(problem, u, excess, ratio), alpha=1 / len(together))
            g = _reals(mean)
            first_moment.lerp_(g, 1 - self.betas[0])
            second_moment.mul_(self.betas[1]).addcmul_(g, g, value=1 - self.betas[1])
            spread = (second_moment / (1 - self.betas[1] ** (step + 1))).sqrt_().add_(self.eps)
            lr = self.lr * self.lr_last ** (step / max(len(groups) - 1, 1))
            mu = mu.clone()
            _reals(mu).addcdiv_(first_moment, spread, value=-lr / (1 - self.betas[0] ** (step + 1)))
            yield State(x=x, x0=x0, estimate=mu, step=step, sigma=ratio)

    def look(self, prior: DiffusionPrior, mu: Tensor, t: int, noise: Noise) -> tuple[Tensor, Tensor, Tensor]:
        """u, x_t and E[x0 | x_t]."""
        if self.sigma_x0 == 0:
            noise.skip("unused", mu)
        u = mu + self.sigma_x0 * noise.normal("start", like=mu) if self.sigma_x0 > 0 else mu
        x = prior.alpha(t) * u + prior.sigma(t) * noise.normal("step", like=mu)
        return u, x, prior.x0(x, t)

    def gradient(self, problem: Problem, u: Tensor, excess: Tensor, ratio: float) -> Tensor:
        """g at u. excess: e(x_t) - z (B x C x H x W); ratio: sigma_t / alpha_t."""
        share = math.prod(problem.operator.input_shape) / math.prod(problem.operator.output_shape)
        share = share if self.balance == "means" else 1.0
        toward_y = problem.operator.vjp(u, problem.residual(u))
        return (self.lambda_ * WEIGHTS[self.weight](ratio) * excess).sub_(toward_y, alpha=self.data_weight * share)

    def _last_time(self, prior: DiffusionPrior, level: float) -> int:
        """The first time whose noise-to-signal ratio reaches `level`."""
        reached = (t for t in range(self.first_time) if prior.sigma(t) >= level * prior.alpha(t))
        return next(reached, self.first_time - 1)


def _reals(values: Tensor) -> Tensor:
    """Complex numbers as pairs of real ones, a view: Adam scales each part by itself."""
    return torch.view_as_real(values) if values.is_complex() else values
