"""Resfusion: a noise-prediction diffusion whose schedule is cut where the state no longer depends on the picture.

Shi, Zheng, Xu, Dong, Pan, Xie, He, Li, Fu 2024, "Resfusion: Denoising Diffusion Probabilistic Models for Image
Restoration Based on Prior Residual Noise", arXiv 2311.14900, repository nkicsl/Resfusion. With ah_t = prod alpha and
R = y - x0:

    x_t = sqrt(ah_t) x0 + (1 - sqrt(ah_t)) R + sqrt(1 - ah_t) eps                                           (a)
    resnoise = eps + (1 - sqrt(alpha_t)) sqrt(1 - ah_t) / beta_t R                                          (b)
    x_{t-1}  = (x_t - beta_t / sqrt(1 - ah_t) resnoise) / sqrt(alpha_t) + sqrt(betahat_t) z                 (c)

x_t holds 2 sqrt(ah_t) - 1 of x0, which vanishes at sqrt(ah) = 1/2: the run starts there, at T', and the schedule is cut
and its last entry set to exactly 1/2 where the table would miss it by more than 0.01. T = 12 gives T' = 5.
Units [-1, 1]. Network time: the index t. Between other times than neighbours the same formulas hold with
alpha = ah_t / ah_u.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Literal

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from operators.common.errors import BadInput
from operators.common.randomness import Noise
from operators.common.settings import Range, check

from .process import Clip, Marginal, Prediction, Process, check_steps, clipped

SMALLEST_LINEAR = 10  # below it betas of the scaled linear schedule exceed one before half the signal is gone
CLOSE_TO_HALF = 0.01


@dataclass(frozen=True)
class ResfusionProcess(Process):
    """Defaults: the published models. The clip serves "x0" and "residual"."""

    kind = "resfusion"
    objectives = ("resnoise", "x0", "residual")

    schedule_steps: Annotated[int, Range(2), "T of the uncut schedule; at least 10 where it is linear"] = 12
    schedule: Annotated[Literal["linear", "cosine"], "betas scaled by 1000 / T, or a cosine"] = "linear"
    objective: Annotated[Literal["resnoise", "x0", "residual"], "what the network gives"] = "resnoise"
    penalty: Annotated[Literal["l2", "smooth-l1"], "of the loss"] = "l2"
    clip: Clip = (-1.0, 1.0)

    def __post_init__(self) -> None:
        if self.schedule == "linear":
            least = Annotated[int, Range(SMALLEST_LINEAR)]
            check("schedule_steps", self.schedule_steps, least, where="schedule 'linear'")

    @property
    def length(self) -> int:
        return self.start_index + 1

    @cached_property
    def alpha_hats(self) -> np.ndarray:
        """ah_t of the schedule, cut where sqrt(ah) = 1/2 has been passed."""
        count = self.schedule_steps
        if self.schedule == "linear":
            betas = np.linspace(1e-4, 0.02, count) * 1000 / count
        else:
            bar = np.cos((np.linspace(0, 1, count + 1) + 0.008) / 1.008 * np.pi / 2) ** 2
            betas = np.minimum(1 - bar[1:] / bar[:-1], 0.999)
        hats = np.cumprod(1 - betas)
        passed = np.sqrt(np.maximum(hats, 0)) <= 0.5
        if not passed.any():
            raise BadInput(f"the {self.schedule} schedule of {count} steps keeps more than half of the signal")
        first = int(passed.argmax())
        if 0.5 - math.sqrt(max(hats[first], 0.0)) <= CLOSE_TO_HALF:
            return hats
        return np.append(hats[:first], 0.25)

    @cached_property
    def start_index(self) -> int:
        """T' - 1, the time nearest to sqrt(ah) = 1/2."""
        return int(np.abs(np.sqrt(np.maximum(self.alpha_hats, 0)) - 0.5).argmin())

    def alpha_hat(self, t: float) -> float:
        """ah_t; 1 at t = -1, the clean picture."""
        return 1.0 if t < 0 else float(self.alpha_hats[int(t)])

    def marginal(self, t: float) -> Marginal:
        root = math.sqrt(self.alpha_hat(t))
        return Marginal(2 * root - 1, 1 - root, math.sqrt(1 - self.alpha_hat(t)))

    def times(self, steps: int | None = None) -> list[int]:
        """T'-1 .. 0 and -1; fewer steps are spread evenly."""
        count = check_steps(self, steps, self.length)
        return [int(t) for t in np.linspace(-1, self.start_index, count + 1).round()][::-1]

    def transition(self, t: float, u: float) -> tuple[float, float, float]:
        """alpha and beta of the step from u to t, and betahat, the variance of the way back."""
        alpha = self.alpha_hat(t) / self.alpha_hat(u)
        return alpha, 1 - alpha, (1 - self.alpha_hat(u)) / (1 - self.alpha_hat(t)) * (1 - alpha)

    def residual_weight(self, t: float, u: float | None = None) -> float:
        """The weight of R in resnoise (b); u: the time before t, default t - 1."""
        alpha, beta, _ = self.transition(t, t - 1 if u is None else u)
        return (1 - math.sqrt(alpha)) * math.sqrt(1 - self.alpha_hat(t)) / beta

    # -- training -------------------------------------------------------------------------------------------------

    def targets(self, x0: Tensor, y: Tensor, eps: Tensor, t: int) -> tuple[Tensor, ...]:
        residual = y - x0
        resnoise = eps + self.residual_weight(t) * residual
        return ({"resnoise": resnoise, "x0": x0, "residual": residual}[self.objective],)

    def read(self, outputs: Sequence[Tensor], x_t: Tensor, y: Tensor, t: float) -> Prediction:
        (f,) = outputs
        if self.objective != "resnoise":
            return self.from_x0(clipped(f if self.objective == "x0" else y - f, self.clip), x_t, y, t)
        # Two equations for x0 and eps: the marginal, and f = eps + w (y - x0).
        a, b, s = self.marginal(t)
        weight = self.residual_weight(t)
        x0 = (x_t - b * y - s * (f - weight * y)) / (a + s * weight)
        return Prediction(x0, y - x0, f - weight * (y - x0))

    def loss(self, outputs: Sequence[Tensor], x0: Tensor, y: Tensor, eps: Tensor, t: int) -> Tensor:
        (target,) = self.targets(x0, y, eps, t)
        return F.mse_loss(outputs[0], target) if self.penalty == "l2" else F.smooth_l1_loss(outputs[0], target)

    # -- the reverse step -----------------------------------------------------------------------------------------

    def ancestral(self, x: Tensor, y: Tensor, prediction: Prediction, t: float, u: float, noise: Noise) -> Tensor:
        """x_u by (c) (resnoise), or by the posterior of x0 - R around R (the other objectives: the same law)."""
        alpha, beta, variance = self.transition(t, u)
        hat, before = self.alpha_hat(t), self.alpha_hat(u)
        if self.objective == "resnoise":
            resnoise = prediction.eps + self.residual_weight(t, u) * prediction.residual
            mean = (x - beta / math.sqrt(1 - hat) * resnoise) / math.sqrt(alpha)
        else:
            centred = math.sqrt(alpha) * (1 - before) * (x - prediction.residual)
            centred = centred + math.sqrt(before) * (1 - alpha) * (prediction.x0 - prediction.residual)
            mean = centred / (1 - hat) + prediction.residual
        if u < 0:
            noise.skip("step", x)
            return mean
        return mean + math.sqrt(variance) * noise.normal("step", x)
