"""I2SB: a Schroedinger bridge that starts at the measurement itself.

Liu, Vahdat, Huang, Theodorou, Nie, Anandkumar 2023, "I2SB: Image-to-Image Schroedinger Bridge", arXiv 2302.05872,
repository NVlabs/I2SB. With sf_n^2 the sum of beta up to n and sb_n^2 the sum of beta from n on:

    x_n ~ N((sb^2 x0 + sf^2 y) / (sf^2 + sb^2), sf^2 sb^2 / (sf^2 + sb^2))                                  (a)
    x_m ~ N(((sf_n^2 - sf_m^2) x0 + sf_m^2 x_n) / sf_n^2, sf_m^2 (sf_n^2 - sf_m^2) / sf_n^2)                 (b)
    network: (x_n - x0) / sf_n

betas are the squares of an even ramp of their roots, mirrored. Units [-1, 1]. Network time: N linspace(1e-4, 1, N)[n].
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
from operators.common.settings import Range

from .process import Clip, Marginal, Prediction, Process, check_steps, clipped

FIRST_LEVEL = 1e-4


@dataclass(frozen=True)
class I2SBProcess(Process):
    """Defaults: the published models. Bridge "ode" is the optimal-transport limit: no noise, in training neither."""

    kind = "i2sb"
    objectives = ("difference",)

    steps: Annotated[int, Range(2), "N of the schedule (published: even)"] = 1000
    beta_max: Annotated[float, Range(FIRST_LEVEL), "height of the schedule"] = 0.3
    bridge: Annotated[Literal["ode", "sde"], "with noise, or without"] = "sde"
    clip: Clip = None

    @property
    def length(self) -> int:
        return self.steps

    @cached_property
    def betas(self) -> np.ndarray:
        """The mirrored quadratic schedule."""
        ramp = np.linspace(math.sqrt(FIRST_LEVEL), math.sqrt(self.beta_max / self.steps), self.steps) ** 2
        half = ramp[: self.steps // 2]
        return np.concatenate([half, half[::-1]]) if self.steps % 2 == 0 else ramp

    @cached_property
    def forward_variances(self) -> np.ndarray:
        """sf_n^2."""
        return np.cumsum(self.betas)

    @cached_property
    def backward_variances(self) -> np.ndarray:
        """sb_n^2."""
        return np.cumsum(self.betas[::-1])[::-1].copy()

    def marginal(self, t: float) -> Marginal:
        forward, backward = float(self.forward_variances[int(t)]), float(self.backward_variances[int(t)])
        total = forward + backward
        noise = math.sqrt(forward * backward / total) if self.bridge == "sde" else 0.0
        return Marginal(backward / total, forward / total, noise)

    def times(self, steps: int | None = None) -> list[int]:
        """N-1 .. 0 in evenly spaced, rounded indices; default 10 steps."""
        count = check_steps(self, 10 if steps is None else steps, self.steps - 1)
        stride, at, kept = (self.steps - 1) / count, 0.0, []
        for _ in range(count + 1):
            kept.append(round(at))
            at += stride
        return kept[::-1]

    def start(self, y: Tensor, noise: Noise, t: float) -> Tensor:
        """The measurement itself."""
        return y

    def network_time(self, t: float) -> float:
        return float(np.linspace(FIRST_LEVEL, 1, self.steps)[int(t)] * self.steps)

    # -- training -------------------------------------------------------------------------------------------------

    def targets(self, x0: Tensor, y: Tensor, eps: Tensor, t: int) -> tuple[Tensor, ...]:
        return ((self.diffuse(x0, y, eps, t) - x0) / math.sqrt(self.forward_variances[t]),)

    def read(self, outputs: Sequence[Tensor], x_t: Tensor, y: Tensor, t: float) -> Prediction:
        x0 = x_t - math.sqrt(self.forward_variances[int(t)]) * outputs[0]
        return self.from_x0(clipped(x0, self.clip), x_t, y, t)

    def loss(self, outputs: Sequence[Tensor], x0: Tensor, y: Tensor, eps: Tensor, t: int) -> Tensor:
        return (outputs[0] - self.targets(x0, y, eps, t)[0]).square().mean()

    # -- the reverse step -----------------------------------------------------------------------------------------

    def ancestral(self, x: Tensor, y: Tensor, prediction: Prediction, t: float, u: float, noise: Noise) -> Tensor:
        """x_u given x_t and the predicted picture (b); no noise into index 0."""
        now, then = float(self.forward_variances[int(t)]), float(self.forward_variances[int(u)])
        mean = ((now - then) * prediction.x0 + then * x) / now
        if self.bridge == "ode" or u <= 0:
            return mean
        return mean + math.sqrt(then * (now - then) / now) * noise.normal("step", x)
