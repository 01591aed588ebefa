"""IR-SDE: a mean-reverting stochastic differential equation from the picture to the noisy measurement.

Luo, Gustafsson, Zhao, Sjolund, Schon 2023, "Image Restoration with Mean-Reverting Stochastic Differential Equations",
arXiv 2301.11699, repository Algolzw/image-restoration-sde. With mu = y and sigma_t^2 = 2 lambda^2 theta_t:

    dx = theta_t (mu - x) dt + sigma_t dw                                                                   (a)
    x_t ~ N(mu + (x0 - mu) e^-Theta_t, lambda^2 (1 - e^-2 Theta_t))                                         (b)
    reverse: dx = [theta_t (mu - x) - sigma_t^2 score] dt + sigma_t dw,  score = -eps / sbar_t              (c)
    optimum: x_{t-1} = A (1 - C^2)/(1 - B^2) (x - mu) + C (1 - A^2)/(1 - B^2) (x0 - mu) + mu                (d)
             A = e^-(Theta_t - Theta_{t-1}),  B = e^-Theta_t,  C = e^-Theta_{t-1}

Units [0, 1]. Times 1 .. T (0 is the picture); the network may be asked between them. Steps over several times use
Theta_t - Theta_u in the place of theta_t dt, so a run of few steps covers the whole span; the published samplers do
not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Literal

import numpy as np
from torch import Tensor

from operators.common.randomness import Noise
from operators.common.settings import Count, Positive, Range

from .process import Marginal, Prediction, Process, check_steps

LEAST_SHARE = 1e-20  # of dt: the floor of the posterior variance, which the last step draws too


@dataclass(frozen=True)
class IRSDEProcess(Process):
    """Defaults: the published super-resolution settings.

    Published max_sigma: 10 deraining and deblurring, 30 super-resolution and inpainting, 50 universal models.
    first_theta "subtract" is published IR-SDE (Theta_0 = 0), "keep" the published MR Sampler (alpha_0 = 0.99994, so
    that the log signal-to-noise ratio is finite at t = 0). Between whole times "theta" is interpolated linearly, and
    every state lies on the process; or the "tables" of alpha and sbar each for itself (published MR Sampler).
    Objective "noise" is published, "velocity" is alpha lambda eps - (sbar / lambda)(x0 - mu). Penalty "step" is
    published: the mean of x_{t-1} is compared, which gives the late times, where the picture is decided, a thousandth
    of the weight of the early ones; "target" is L1 on what the network gives, every time alike.
    """

    kind = "ir-sde"
    shift = 0.0
    scale = 1.0
    objectives = ("noise", "x0", "velocity")

    steps: Annotated[Count, "T"] = 100
    max_sigma: Annotated[Positive, "lambda, in 255ths"] = 30.0
    schedule: Annotated[Literal["cosine", "linear", "constant"], "of theta"] = "cosine"
    eps: Annotated[float, Range(above=0, below=1), "e^-Theta_T"] = 0.005
    first_theta: Annotated[Literal["subtract", "keep"], "whether Theta begins at 0"] = "subtract"
    between: Annotated[Literal["theta", "tables"], "what is interpolated between whole times"] = "theta"
    objective: Annotated[Literal["noise", "x0", "velocity"], "what the network gives"] = "noise"
    penalty: Annotated[Literal["step", "target"], "what the loss compares"] = "step"

    @property
    def length(self) -> int:
        return self.steps

    def training_time(self, uniform: float) -> int:
        return 1 + int(uniform * self.steps)

    @property
    def spread(self) -> float:
        """lambda, the stationary standard deviation."""
        return self.max_sigma / 255

    # -- tables over t = 0 .. T -----------------------------------------------------------------------------------

    @cached_property
    def thetas(self) -> np.ndarray:
        """theta_t before the time unit dt."""
        if self.schedule == "constant":
            return np.ones(self.steps + 1)
        if self.schedule == "linear":
            unit = 1000 / (self.steps + 1)
            return np.linspace(1e-4 * unit, 0.02 * unit, self.steps + 1)
        span = self.steps + 2
        bar = np.cos((np.arange(span + 1) / span + 0.008) / 1.008 * np.pi / 2) ** 2
        return 1 - (bar / bar[0])[1:-1]

    @cached_property
    def sums(self) -> np.ndarray:
        """The sum of thetas up to t, without the first where it is subtracted."""
        total = np.cumsum(self.thetas)
        return total - self.thetas[0] if self.first_theta == "subtract" else total

    @cached_property
    def dt(self) -> float:
        """The time unit that makes e^-Theta_T = eps."""
        return float(-math.log(self.eps) / self.sums[-1])

    @cached_property
    def alphas(self) -> np.ndarray:
        """e^-Theta_t."""
        return np.exp(-self.sums * self.dt)

    @cached_property
    def sigma_bars(self) -> np.ndarray:
        """sbar_t = lambda sqrt(1 - e^-2 Theta_t)."""
        return self.spread * np.sqrt(-np.expm1(-2 * self.sums * self.dt))

    def alpha(self, t: float) -> float:
        """e^-Theta_t."""
        if self.between == "theta":
            return math.exp(-self._at(self.sums, t) * self.dt)
        return self._at(self.alphas, t)

    def sigma_bar(self, t: float) -> float:
        """The noise of the marginal."""
        if self.between == "theta":
            return self.spread * math.sqrt(-math.expm1(-2 * self._at(self.sums, t) * self.dt))
        return self._at(self.sigma_bars, t)

    def _at(self, table: np.ndarray, t: float) -> float:
        return float(np.interp(t, np.arange(self.steps + 1), table))

    def marginal(self, t: float) -> Marginal:
        alpha = self.alpha(t)
        return Marginal(alpha, 1 - alpha, self.sigma_bar(t))

    def times(self, steps: int | None = None) -> list[int]:
        """T .. 0; fewer steps are spread evenly over the whole span."""
        count = check_steps(self, steps, self.steps)
        return [int(t) for t in np.linspace(0, self.steps, count + 1).round()][::-1]

    def start(self, y: Tensor, noise: Noise, t: float) -> Tensor:
        """The stationary law, y + lambda z, wherever the run begins."""
        return y + self.spread * noise.normal("start", y)

    # -- training -------------------------------------------------------------------------------------------------

    def targets(self, x0: Tensor, y: Tensor, eps: Tensor, t: int) -> tuple[Tensor, ...]:
        a, _, s = self.marginal(t)
        velocity = a * self.spread * eps - s / self.spread * (x0 - y)
        return ({"noise": eps, "x0": x0, "velocity": velocity}[self.objective],)

    def read(self, outputs: Sequence[Tensor], x_t: Tensor, y: Tensor, t: float) -> Prediction:
        (f,) = outputs
        if self.objective == "noise":
            return self.from_eps(f, x_t, y, t)
        if self.objective == "x0":
            return self.from_x0(f, x_t, y, t)
        a, b, s = self.marginal(t)
        relative = s / self.spread
        x0 = a * x_t - relative * f + b * y
        return Prediction(x0, y - x0, (a * f + relative * (x_t - y)) / self.spread)

    def loss(self, outputs: Sequence[Tensor], x0: Tensor, y: Tensor, eps: Tensor, t: int) -> Tensor:
        """L1 between the mean of an Euler step and the optimum x_{t-1} at the true x0 (published), or on the target."""
        if self.penalty == "target":
            return (outputs[0] - self.targets(x0, y, eps, t)[0]).abs().mean()
        x_t = self.diffuse(x0, y, eps, t)
        expected = self.euler_mean(x_t, y, self.read(outputs, x_t, y, t), t, t - 1)
        return (expected - self.optimum(x_t, y, x0, t, t - 1)).abs().mean()

    # -- the reverse steps ----------------------------------------------------------------------------------------

    def euler_mean(self, x: Tensor, y: Tensor, prediction: Prediction, t: float, u: float) -> Tensor:
        """The drift of (c) over one step."""
        span = self._span(t, u)
        score = -prediction.eps / self.sigma_bar(t)
        return x - span * ((y - x) - 2 * self.spread**2 * score)

    def optimum(self, x: Tensor, y: Tensor, x0: Tensor, t: float, u: float) -> Tensor:
        """The mean of x_u given x_t and x0 (d)."""
        of_x, of_x0, _ = self.bridge(t, u)
        return of_x * (x - y) + of_x0 * (x0 - y) + y

    def bridge(self, t: float, u: float) -> tuple[float, float, float]:
        """Weights of x_t - mu and x0 - mu in the mean of x_u - mu, and its standard deviation (d)."""
        a, b, c = math.exp(-self._span(t, u)), self.alpha(t), self.alpha(u)
        open_ = 1 - b**2
        variance = (1 - a**2) * (1 - c**2) / open_
        deviation = self.spread * math.sqrt(max(variance, LEAST_SHARE * self.dt))
        return a * (1 - c**2) / open_, c * (1 - a**2) / open_, deviation

    def sde(self, x: Tensor, y: Tensor, prediction: Prediction, t: float, u: float, noise: Noise) -> Tensor:
        """Euler-Maruyama; the published code subtracts the noise."""
        deviation = self.spread * math.sqrt(2 * self._span(t, u))
        return self.euler_mean(x, y, prediction, t, u) - deviation * noise.normal("step", x)

    def ode(self, x: Tensor, y: Tensor, prediction: Prediction, t: float, u: float, noise: Noise) -> Tensor:
        """Euler on the probability-flow equation: half the score, no noise."""
        score = -prediction.eps / self.sigma_bar(t)
        return x - self._span(t, u) * ((y - x) - self.spread**2 * score)

    def posterior(self, x: Tensor, y: Tensor, prediction: Prediction, t: float, u: float, noise: Noise) -> Tensor:
        """x_u drawn around the optimum at the predicted x0 (arXiv 2404.09732)."""
        return self.optimum(x, y, prediction.x0, t, u) + self.bridge(t, u)[2] * noise.normal("step", x)

    def _span(self, t: float, u: float) -> float:
        """Theta_t - Theta_u."""
        return (self._at(self.sums, t) - self._at(self.sums, u)) * self.dt
