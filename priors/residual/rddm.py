"""RDDM: residual and noise diffuse on two schedules that are independent of each other.

Liu, Wang, Fan, Wang, Tang, Qu 2024, "Residual Denoising Diffusion Models", arXiv 2308.13712, repository nachifur/RDDM.
With abar_t = sum alpha, bbar_t^2 = sum beta^2 and the residual R = y - x0:

    x_t = x0 + abar_t R + bbar_t eps                                                                        (a)
    implicit:  x_u = x_t - (abar_t - abar_u) R - (bbar_t - sqrt(bbar_u^2 - v)) eps + sqrt(v) z              (b)
               v = eta (bbar_t^2 - bbar_u^2) bbar_u^2 / bbar_t^2
    ancestral: N(c1 x_t + c2 R + c3 x0, beta_t^2 bbar_u^2 / bbar_t^2), c1 = bbar_u^2 / bbar_t^2,
               c2 = (beta_t^2 abar_u - bbar_u^2 alpha_t) / bbar_t^2, c3 = beta_t^2 / bbar_t^2               (c)

Units [-1, 1]. Network time: the index t. A step to -1 is the predicted picture itself.
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
from operators.common.settings import Count, NotNegative

from .process import Clip, Marginal, Prediction, Process, check_steps, clipped

Shape = Literal["decreased", "average", "increased"]
TINY = 1e-6  # the published stand-in for 1 - abar = 0 at the last time


@dataclass(frozen=True)
class RDDMProcess(Process):
    """Defaults: the published restoration settings (sum_scale 1 for raindrops and deblurring).

    Heads: "res_noise" (R, eps), "res_add_noise" (R, R + eps), "x0_noise" (x0, eps), "x0_add_noise" (x0, x0 + eps),
    "noise" (eps) or "res" (R). Penalty "l2" is published for generation. The clip is for residual and picture.
    """

    kind = "rddm"
    objectives = ("res_noise", "res_add_noise", "x0_noise", "x0_add_noise", "noise", "res")

    steps: Annotated[Count, "T of the schedule"] = 1000
    sum_scale: Annotated[NotNegative, "noise variance at the end of the schedule"] = 0.01
    alphas: Annotated[Shape, "how the steps of abar go"] = "decreased"
    betas: Annotated[Shape, "how the steps of bbar^2 go"] = "increased"
    objective: Annotated[
        Literal["res_noise", "res_add_noise", "x0_noise", "x0_add_noise", "noise", "res"], "what the heads give"
    ] = "res_noise"
    penalty: Annotated[Literal["l1", "l2"], "of the loss"] = "l1"
    clip: Clip = (-1.0, 1.0)

    @property
    def heads(self) -> int:
        return 1 if self.objective in ("noise", "res") else 2

    @property
    def length(self) -> int:
        return self.steps

    @cached_property
    def alpha_steps(self) -> np.ndarray:
        """alpha_t."""
        return _shares(self.steps, self.alphas)

    @cached_property
    def beta_steps(self) -> np.ndarray:
        """beta_t^2."""
        return self.sum_scale * _shares(self.steps, self.betas)

    @cached_property
    def alpha_sums(self) -> np.ndarray:
        """abar_t."""
        return np.cumsum(self.alpha_steps).clip(0, 1)

    @cached_property
    def beta_sums(self) -> np.ndarray:
        """bbar_t^2."""
        return np.cumsum(self.beta_steps).clip(0, 1)

    def marginal(self, t: float) -> Marginal:
        if t < 0:
            return Marginal(1.0, 0.0, 0.0)
        shifted = float(self.alpha_sums[int(t)])
        return Marginal(1 - shifted, shifted, math.sqrt(self.beta_sums[int(t)]))

    def times(self, steps: int | None = None) -> list[int]:
        """T-1 .. -1 in evenly spaced whole numbers; 5 steps of 1000: 999, 799, 599, 399, 199, -1."""
        count = check_steps(self, 5 if steps is None else steps, self.steps)
        return [int(t) for t in np.linspace(-1, self.steps - 1, count + 1)][::-1]

    # -- training -------------------------------------------------------------------------------------------------

    def targets(self, x0: Tensor, y: Tensor, eps: Tensor, t: int) -> tuple[Tensor, ...]:
        parts = {"res": y - x0, "noise": eps, "x0": x0}
        first, _, second = self.objective.partition("_")
        if not second:
            return (parts[first],)
        return parts[first], (parts[first] + eps if second.startswith("add") else eps)

    def read(self, outputs: Sequence[Tensor], x_t: Tensor, y: Tensor, t: float) -> Prediction:
        _, shifted, s = self.marginal(t)
        first = outputs[0]
        if self.objective == "res":
            residual = clipped(first, self.clip)
            x0 = clipped(y - residual, self.clip)
            return Prediction(x0, residual, (x_t - y - (shifted - 1) * residual) / s)
        if self.objective == "noise":
            x0 = clipped((x_t - shifted * y - s * first) / max(1 - shifted, TINY), self.clip)
            return Prediction(x0, clipped(y - x0, self.clip), first)
        eps = outputs[1] - first if "add" in self.objective else outputs[1]
        if self.objective.startswith("x0"):
            return Prediction(clipped(first, self.clip), clipped(y - first, self.clip), eps)
        residual = clipped(first, self.clip)
        return Prediction(clipped(x_t - shifted * residual - s * eps, self.clip), residual, eps)

    def loss(self, outputs: Sequence[Tensor], x0: Tensor, y: Tensor, eps: Tensor, t: int) -> Tensor:
        misses = [o - g for o, g in zip(outputs, self.targets(x0, y, eps, t), strict=True)]
        costs = [(m.abs() if self.penalty == "l1" else m.square()).mean() for m in misses]
        return sum(costs[1:], start=costs[0])

    # -- the reverse steps ----------------------------------------------------------------------------------------

    def implicit(
        self, x: Tensor, y: Tensor, prediction: Prediction, t: float, u: float, noise: Noise, *, eta: float = 0.0
    ) -> Tensor:
        """x_u by (b); eta 0 is deterministic, 1 as noisy as the ancestral step."""
        if u < 0:
            return prediction.x0
        now, then = self.marginal(t), self.marginal(u)
        fresh = eta * (now.s**2 - then.s**2) * then.s**2 / now.s**2 if now.s > 0 else 0.0
        kept = math.sqrt(then.s**2 - fresh)
        moved = x - (now.b - then.b) * prediction.residual - (now.s - kept) * prediction.eps
        return moved + math.sqrt(fresh) * noise.normal("step", x) if eta > 0 else moved

    def posterior(self, t: float, u: float) -> tuple[float, float, float, float]:
        """Weights of x_t, R and x0 in the mean of x_u, and its variance (c)."""
        now, then = self.marginal(t), self.marginal(u)
        if u < 0 or now.s == 0:
            return 0.0, then.b, 1.0, 0.0
        kept, fresh = then.s**2 / now.s**2, (now.s**2 - then.s**2) / now.s**2
        return kept, fresh * then.b - kept * (now.b - then.b), fresh, (now.s**2 - then.s**2) * kept

    def ancestral(self, x: Tensor, y: Tensor, prediction: Prediction, t: float, u: float, noise: Noise) -> Tensor:
        """x_u drawn from (c)."""
        of_x, of_residual, of_x0, variance = self.posterior(t, u)
        mean = of_x * x + of_residual * prediction.residual + of_x0 * prediction.x0
        return mean if u < 0 else mean + math.sqrt(variance) * noise.normal("step", x)


def _shares(steps: int, shape: Shape) -> np.ndarray:
    """Positive steps that sum to one."""
    ramp = np.arange(1, steps + 1, dtype=np.float64)
    weights = {"decreased": ramp[::-1], "average": np.ones(steps), "increased": ramp}[shape]
    return weights / weights.sum()
