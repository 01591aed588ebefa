"""SITCOM: step-wise triple consistency; the network's input is fitted until its output agrees with the measurement.

Alkhouri, Liang, Huang, Dai, Qu, Ravishankar, Wang 2025, "SITCOM: Step-wise Triple-Consistent Diffusion Sampling for
Inverse Problems", ICML, arXiv 2410.04479, repository sjames40/SITCOM. At descending times t, u the next one:

    v  = argmin_v |A f(v) - y|^2 + lambda |v - x_t|^2,   f(v) = E[x0 | x_t = v],     `inner` Adam steps from x_t
                                          (data consistency, and backward consistency: x0 is an output of the network)
    x0 = f(v)
    x_u = alpha_u x0 + sigma_u n                                                           (forward consistency)

The descent of a picture ends early where |A f(v) - y|^2 < delta^2 = M (sigma_y + `slack`)^2, M measured numbers (the
release counts the pixels of the picture instead, which stops masks too early). Adam starts anew at every time.

answer "fitted": x0 is the output of the last evaluation, before the last Adam step, as released. "evaluated": the
network is called once more at the fitted v. The release keeps, over all times, the picture nearest to the truth; ours
is the last one. The paper starts from pure noise at t = 999; ours starts at `first_time` from a picture that agrees
with the measurement.

Any operator and noise; where the noise is not Gaussian, |.|^2 stands for -2 sigma^2 log p(y | x0). Cost: `steps` x
`inner` network calls, each with one backward pass and the memory of the network's graph.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

import operators.noise
from operators.common.randomness import Noise
from operators.common.settings import Count, NotNegative, Positive, Range

from ..base import Mean, Solver, State, expect_prior
from ..parts.discrepancy import over_pixels
from ..parts.reverse import in_range
from ..parts.start import Start, start_picture

if TYPE_CHECKING:
    from priors.base import DiffusionPrior

    from ...problem import Problem

LAST_TIME = 999


@dataclass(frozen=True)
class SITCOM(Solver):
    """SITCOM. Published values: preset "paper" (20 inner steps; 30 for phase retrieval and non-linear blur)."""

    differentiates: ClassVar[bool] = True
    needs_linear: ClassVar[bool] = False
    needs_gaussian: ClassVar[bool] = False
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {
            "steps": 20,
            "inner": 20,
            "lr": 0.01,
            "slack": 0.001,
            "first_time": LAST_TIME,
            "start": "zero",
        },
    }

    steps: Annotated[int, Range(1, LAST_TIME + 1), "times visited (published 20)"] = 10
    inner: Annotated[Count, "network calls at each time (published 20 to 30)"] = 5
    lr: Annotated[Positive, "Adam's step: what a pixel of v moves in one call (published 0.01)"] = 0.02
    betas: Annotated[tuple[float, float], Range(0, below=1), "Adam's decay of both averages"] = (0.9, 0.999)
    eps: Annotated[Positive, "Adam's floor of the root of the second average"] = 1e-8
    lambda_: Annotated[NotNegative, "pull of v to x_t (released 0)"] = 0.0
    slack: Annotated[NotNegative, "added to the noise of y where the descent ends"] = 0.0
    stop: Annotated[bool, "whether the descent ends at the noise of y; without noise it does not"] = True
    loss: Annotated[Literal["square", "norm"], "the misfit, or its root (released for data without noise)"] = "square"
    answer: Annotated[Literal["fitted", "evaluated"], "x0 before the last Adam step, or anew after it"] = "fitted"
    first_time: Annotated[int, Range(0, LAST_TIME), "where the diffusion begins (published 999)"] = 200
    start: Start = "estimate"

    def times(self) -> list[int]:
        """`steps` times from first_time to 0, evenly spaced and rounded."""
        return sorted({round(t) for t in np.linspace(self.first_time, 0, self.steps)}, reverse=True)

    def iterate(self, problem: Problem, prior: DiffusionPrior | None, noise: Noise) -> Iterator[State]:
        prior = expect_prior(prior, self)
        times = self.times()
        first = start_picture(problem, self.start)
        x = prior.alpha(times[0]) * first + prior.sigma(times[0]) * noise.normal("start", like=first)
        for step, (t, u) in enumerate(zip(times, [*times[1:], -1], strict=True)):
            x0, v, used = self.fitted(problem, prior, x, t)
            x0 = in_range(prior, prior.x0(v, t)) if self.answer == "evaluated" else x0
            x = prior.alpha(u) * x0
            if u >= 0:
                x = x + prior.sigma(u) * noise.normal("step", like=x0)
            info = {"calls": Mean(used)}
            yield State(x=x, x0=x0, estimate=x0, step=step, sigma=prior.sigma(u) / prior.alpha(u), info=info)

    def fitted(self, problem: Problem, prior: DiffusionPrior, x: Tensor, t: int) -> tuple[Tensor, Tensor, Tensor]:
        """x0 of the last evaluation, v after the last Adam step, and the Adam steps of each picture (B)."""
        enough = self._enough(problem)
        v, x0 = x, x
        first_moment, second_moment = torch.zeros_like(x), torch.zeros_like(x)
        used = torch.zeros(len(x), device=x.device)
        open_ = torch.ones(len(x), dtype=torch.bool, device=x.device)
        for k in range(1, self.inner + 1):
            new, misfit, slope = self._descent(problem, prior, v, x, t)
            x0 = torch.where(over_pixels(open_, x), new, x0)
            open_ = open_ & (misfit >= enough)
            if not bool(open_.any()):
                break
            first_moment = torch.lerp(slope, first_moment, self.betas[0])
            second_moment = self.betas[1] * second_moment + (1 - self.betas[1]) * slope**2
            spread = (second_moment / (1 - self.betas[1] ** k)).sqrt() + self.eps
            moved = v - self.lr / (1 - self.betas[0] ** k) * first_moment / spread
            v = torch.where(over_pixels(open_, x), moved, v)
            used = used + open_
        return x0, v, used

    def _descent(
        self, problem: Problem, prior: DiffusionPrior, v: Tensor, x: Tensor, t: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """f(v), its misfit |A f(v) - y|^2 for each picture (B), and the gradient of the loss at v."""
        with torch.enable_grad():
            point = v.detach().requires_grad_()
            x0 = in_range(prior, prior.x0(point, t))
            square = (problem.residual(x0).abs() ** 2).flatten(1).sum(1)
            if not isinstance(problem.noise, operators.noise.Gaussian):
                fit = -2 * problem.sigma**2 * problem.log_likelihood(x0)
            else:
                fit = square if self.loss == "square" else square.clamp_min(1e-30).sqrt()
            loss = fit + self.lambda_ * ((point - x) ** 2).flatten(1).sum(1)
            slope = torch.autograd.grad(loss.sum(), point)[0]
        return x0.detach(), square.detach(), slope

    def _enough(self, problem: Problem) -> float:
        """delta^2, the misfit at which the descent of a picture ends; 0: never."""
        if not self.stop or problem.sigma == 0:
            return 0.0
        parts = 2 if problem.y.is_complex() else 1
        return float(problem.observed_count * parts * (problem.sigma + self.slack) ** 2)
