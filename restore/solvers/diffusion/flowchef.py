"""FlowChef: a rectified flow steered by a gradient that skips the network.

Patel, Wen, Metaxas, Yang 2025, "Steering Rectified Flow Models in the Vector Field for Controlled Image Generation",
arXiv 2412.00100, repository FlowChef/FlowChef. x_t = (1 - t) x0 + t n; at descending times t, t' the next:

    v    = (x_t - x0) / t,   x0 = E[x0 | x_t]                         (a diffusion prior asked at level t / (1 - t))
    x_t  = x_t - a g,   g = A^H (A x0 - y)                            (v held fixed, so g is the gradient at x_t too)
    x_t' = x_t + (t' - t) v

Moving x_t with v fixed moves x0 and the noise alike, so every correction stays to the end and all of them add up.
Published (data "gradient"): a = 2 s / M with s = 500 and M numbers in a measurement, .08 at 64 x 64 x 3; here a is
`rate` / |A|^2, so that no size or scale of an operator changes it. data "correction" (default): -g = A^H (A A^H +
sigma^2 / r^2)^-1 (y - A x0), r^2 = s^2 l^2 / (s^2 + l^2), l = t / (1 - t), s = `prior_std`, is the way to the mean of
x0 given x_t and y for pictures of variance s^2 I; the flow of the posterior takes the share a = (t - t') / t of it,
which `rate` multiplies. Nothing is counted twice, however many steps there are. Published data terms know no noise;
`stop` ends the steering of a picture once |A x0 - y|^2 is under stop^2 times what the noise explains. integrator
"heun" asks twice a step and steers by the second.

Linear operators, and with data "gradient" others; Gaussian noise or its stand-in. Cost: `steps` network calls (twice as
many for "heun"), no gradient through the network.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from operators import BadInput
from operators.common.randomness import Noise
from operators.common.settings import NotNegative, Positive, Range, Steps
from operators.core.base import LinearOperator

from ..base import Solver, State, expect_prior
from ..parts.start import Start, pull, start_picture

if TYPE_CHECKING:
    from priors.base import DiffusionPrior

    from ...problem import Problem


@dataclass(frozen=True)
class FlowChef(Solver):
    """FlowChef. Published values: preset "paper"."""

    needs_linear: ClassVar[bool] = False
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {
            "steps": 100,
            "rate": 0.081,
            "data": "gradient",
            "stop": 0.0,
            "first_time": 1 - 1e-5,
            "start": "zero",
            "steers_last": False,
        },
    }

    steps: Annotated[Steps, "times visited"] = 50
    rate: Annotated[Positive, "data gradient: a |A|^2; data correction: its multiple"] = 1.0
    data: Annotated[Literal["correction", "gradient"], "the step toward y; gradient is published"] = "correction"
    prior_std: Annotated[Positive, "standard deviation s of pictures in native units, for data correction"] = 0.5
    stop: Annotated[NotNegative, "misfit, in units of the noise, at which steering ends; 0: never (published)"] = 0.0
    integrator: Annotated[Literal["euler", "heun"], "one network call a step, or two"] = "euler"
    first_time: Annotated[float, Range(above=0, below=1), "time t at which the flow begins"] = 0.3
    start: Start = "estimate"
    steers_last: Annotated[bool, "whether the last step is steered too (published: not)"] = True
    sigma_floor: Annotated[NotNegative, "least noise assumed in y, native units, for data correction"] = 0.002

    def check_problem(self, problem: Problem) -> None:
        if self.data == "correction" and not isinstance(problem.operator, LinearOperator):
            raise BadInput(
                f"data 'correction' solves linear problems and {type(problem.operator).__name__} is not linear",
                do="Take data='gradient'.",
            )

    def times(self) -> list[float]:
        """Times visited: `first_time`, then evenly spaced down to 1 / steps of it."""
        grid = [float(t) for t in np.linspace(self.first_time, 0, self.steps + 1)[:-1]]
        if self.first_time > 1 - 1 / (
            2 * self.steps
        ):  # the published grid (N - i) / N with its first time just under 1
            grid = [self.first_time, *((self.steps - i) / self.steps for i in range(1, self.steps))]
        return grid

    def iterate(self, problem: Problem, prior: DiffusionPrior | None, noise: Noise) -> Iterator[State]:
        prior = expect_prior(prior, self)
        self.check_problem(problem)
        times = self.times()
        scale = self.scale(problem)
        begin = start_picture(problem, self.start)
        x = (1 - times[0]) * begin + times[0] * noise.normal("start", like=begin)
        for step, (t, u) in enumerate(zip(times, [*times[1:], 0.0], strict=True)):
            x0 = _clean(prior, x, t)
            v = (x - x0) / t
            if self.integrator == "heun" and u > 0:
                ahead = x + (u - t) * v
                v = (v + (ahead - _clean(prior, ahead, u)) / u) / 2
                x0 = x - t * v
            if u > 0 or self.steers_last:
                share = (t - u) / t if self.data == "correction" else 1.0
                x = x + share * scale * self.pulled(problem, x0, t)
            x = x + (u - t) * v
            yield State(x=x, x0=x0, estimate=x if u == 0 else x0, step=step, sigma=u / (1 - u))

    def scale(self, problem: Problem) -> float:
        """a, but for the share of the posterior's flow."""
        if self.data == "correction" or not isinstance(problem.operator, LinearOperator):
            return self.rate
        return self.rate / max(problem.operator.norm() ** 2, 1e-12)

    def pulled(self, problem: Problem, x0: Tensor, t: float) -> Tensor:
        """-g, zero for the pictures that explain y already."""
        residual = problem.residual(x0)
        if self.data == "gradient":
            toward = problem.operator.vjp(x0, residual)
        else:
            level = t / (1 - t)
            left_open = (level * self.prior_std) ** 2 / (level**2 + self.prior_std**2)
            toward = pull(problem, residual, max(problem.sigma, self.sigma_floor) ** 2 / left_open)
        if self.stop == 0:
            return toward
        square = residual.abs().square().flatten(1).sum(1)
        going = square > self.stop**2 * problem.observed_count * problem.sigma**2
        return torch.where(going.reshape(-1, *[1] * (x0.ndim - 1)), toward, torch.zeros_like(toward))


def _clean(prior: DiffusionPrior, x: Tensor, t: float) -> Tensor:
    """E[x0 | x_t] on the flow."""
    return prior.denoise(x / (1 - t), t / (1 - t))
