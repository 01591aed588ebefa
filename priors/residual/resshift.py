"""ResShift: the residual is shifted in along eta_t, and noise grows with it.

Yue, Wang, Loy 2023, "ResShift: Efficient Diffusion Model for Image Super-resolution by Residual Shifting",
arXiv 2307.12348 (journal 2403.07319), repository zsyOAOA/ResShift; deterministic step: Wang et al. 2024, "SinSR",
arXiv 2311.14760. With alpha_t = eta_t - eta_{t-1} and eta_{-1} = 0:

    q(x_t | x0, y)            = N(x0 + eta_t (y - x0), kappa^2 eta_t I)                                     (a)
    q(x_{t-1} | x_t, x0)      = N(eta_{t-1}/eta_t x_t + alpha_t/eta_t x0, kappa^2 eta_{t-1} alpha_t/eta_t I)  (b)
    sqrt(eta_t)               = s1 g^{(t/(T-1))^p (T-1)},  g = (etas_end / s1)^{1/(T-1)}                    (c)

etas_end bounds sqrt(eta), not eta. s1 = min(min_noise_level / kappa, min_noise_level), as the published code has it;
the paper's further bound sqrt(0.001) is not applied. Units [-1, 1]. Network time: the index t.
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

from .process import Clip, Marginal, Prediction, Process, check_steps, clipped


@dataclass(frozen=True)
class ResShiftProcess(Process):
    """The process of the published models of 4 steps by default; those of 15 steps have min_noise_level 0.04.

    All released models give "x0"; "scaled-eps" is kappa sqrt(eta) eps. x_t is divided by sqrt(kappa^2 eta_t + 1)
    ("latent") or 1 + 3 kappa sqrt(eta_t) ("pixel") before the network. Published: no clip with an autoencoder.
    """

    kind = "resshift"
    objectives = ("x0", "residual", "eps", "scaled-eps")

    steps: Annotated[Count, "T"] = 4
    kappa: Annotated[Positive, "noise for a full shift"] = 2.0
    min_noise_level: Annotated[Positive, "of the schedule: noise of the first step"] = 0.2
    etas_end: Annotated[float, Range(above=0, high=1), "of the schedule: sqrt(eta) at its end"] = 0.99
    power: Annotated[Positive, "p, the shape of the schedule between its ends"] = 0.3
    objective: Annotated[Literal["x0", "residual", "eps", "scaled-eps"], "what the network gives"] = "x0"
    input_scaling: Annotated[Literal["latent", "pixel", "none"], "divisor of x_t before the network"] = "latent"
    clip: Clip = None
    weighting: Annotated[Literal["none", "bound"], "of the loss over times: none, or the variational bound's"] = "none"

    @property
    def length(self) -> int:
        return self.steps

    @cached_property
    def sqrt_etas(self) -> np.ndarray:
        """sqrt(eta_t), t = 0 .. T-1 (c)."""
        if self.steps == 1:
            return np.array([self.etas_end])
        first, last = min(self.min_noise_level / self.kappa, self.min_noise_level), self.steps - 1
        growth = math.exp(math.log(self.etas_end / first) / last)
        return first * growth ** (np.linspace(0, 1, self.steps) ** self.power * last)

    def eta(self, t: float) -> float:
        """eta_t; 0 at t = -1, the clean picture."""
        return 0.0 if t < 0 else float(self.sqrt_etas[int(t)] ** 2)

    def marginal(self, t: float) -> Marginal:
        eta = self.eta(t)
        return Marginal(1 - eta, eta, self.kappa * math.sqrt(eta))

    def times(self, steps: int | None = None) -> list[int]:
        """T-1 .. 0 and -1; fewer steps keep the indices int(T k / steps), which leaves the last ones out."""
        count = check_steps(self, steps, self.steps)
        return [*sorted({int(self.steps / count * k) for k in range(count)}, reverse=True), -1]

    def network_input(self, x_t: Tensor, t: float) -> Tensor:
        s = self.marginal(t).s
        divisor = {"latent": math.sqrt(s**2 + 1), "pixel": 1 + 3 * s, "none": 1.0}[self.input_scaling]
        return x_t / divisor

    # -- training -------------------------------------------------------------------------------------------------

    def targets(self, x0: Tensor, y: Tensor, eps: Tensor, t: int) -> tuple[Tensor, ...]:
        parts = {"x0": x0, "residual": y - x0, "eps": eps, "scaled-eps": self.marginal(t).s * eps}
        return (parts[self.objective],)

    def read(self, outputs: Sequence[Tensor], x_t: Tensor, y: Tensor, t: float) -> Prediction:
        (f,) = outputs
        a, b, s = self.marginal(t)
        if self.objective == "x0":
            x0 = f
        elif self.objective == "residual":
            x0 = y - f
        else:
            x0 = (x_t - b * y - (s * f if self.objective == "eps" else f)) / a
        return self.from_x0(clipped(x0, self.clip), x_t, y, t)

    def loss(self, outputs: Sequence[Tensor], x0: Tensor, y: Tensor, eps: Tensor, t: int) -> Tensor:
        (target,) = self.targets(x0, y, eps, t)
        square = (target - outputs[0]).square().mean()
        unit = self.marginal(t).s ** 2 if self.objective == "scaled-eps" else 1.0
        return square / unit * (self.weight(t) if self.weighting == "bound" else 1.0)

    def weight(self, t: int, kept: Sequence[int] | None = None) -> float:
        """Weight of the squared error in the variational bound. kept: the times of a respaced run, ascending."""
        times = [-1, *(range(self.steps) if kept is None else kept)]
        before = times[times.index(t) - 1]
        # The first variance is 0; the bound takes the next one in its place.
        later, earlier = (t, before) if before >= 0 or len(times) == 2 else (times[2], times[1])
        variance = self.posterior(later, earlier)[2]
        eta, alpha = self.eta(t), self.eta(t) - self.eta(before)
        if self.objective in ("x0", "residual"):
            return 0.5 / variance * (alpha / eta) ** 2
        return 0.5 / variance * (self.kappa * alpha / ((1 - eta) * math.sqrt(eta))) ** 2

    # -- the reverse step -----------------------------------------------------------------------------------------

    def posterior(self, t: float, u: float) -> tuple[float, float, float]:
        """Weights of x_t and x0 in the mean of x_u, and its variance (b)."""
        eta, before = self.eta(t), self.eta(u)
        return before / eta, (eta - before) / eta, self.kappa**2 * before * (eta - before) / eta

    def ancestral(self, x: Tensor, y: Tensor, prediction: Prediction, t: float, u: float, noise: Noise) -> Tensor:
        """x_u drawn from (b); the last step draws a noise it does not use, as the published code does."""
        of_x, of_x0, variance = self.posterior(t, u)
        mean = of_x * x + of_x0 * prediction.x0
        if variance == 0:
            noise.skip("step", x)
            return mean
        return mean + math.sqrt(variance) * noise.normal("step", x)

    def deterministic(self, x: Tensor, y: Tensor, prediction: Prediction, t: float, u: float, noise: Noise) -> Tensor:
        """x_u with the noise of x_t kept (SinSR)."""
        eta, before = self.eta(t), self.eta(u)
        of_x, cross = math.sqrt(before / eta), math.sqrt(before * eta)
        return (1 - before + cross - of_x) * prediction.x0 + of_x * x + (before - cross) * y
