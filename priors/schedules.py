"""Noise schedules and the algebra between them, float64 throughout.

Every schedule writes x_t = alpha(t) x0 + sigma(t) n. A prior answers E[x0 | x0 + s n]; `s = sigma(t) / alpha(t)` and
`x = x_t / alpha(t)` carry it to any schedule, and score, noise prediction and velocity follow by algebra:

    eps = (x_t - alpha x0) / sigma          score = -eps / sigma
    VP:   alpha^2 + sigma^2 = 1             velocity v = alpha eps - sigma x0
    VE, EDM: alpha = 1                      flow: alpha = 1 - t, sigma = t, velocity = eps - x0
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Protocol

import numpy as np
from torch import Tensor

from operators.common.errors import BadInput
from operators.common.settings import Checked, Count, Positive, Range, check, checked


class Schedule(Protocol):
    """alpha(t) and sigma(t) of x_t = alpha x0 + sigma n."""

    def alpha(self, t: float) -> float:
        """Scale of the clean picture at time t."""

    def sigma(self, t: float) -> float:
        """Standard deviation of the noise at time t."""


@dataclass(frozen=True)
class VP(Checked):
    """Discrete variance-preserving schedule (Ho et al. 2020, arXiv 2006.11239): beta linear from first to last.

    t is an index 0 .. steps - 1; t = -1 is the clean picture (alpha_bar = 1).
    """

    steps: Annotated[Count, "times of the schedule"] = 1000
    first: Annotated[float, Range(above=0, below=1), "beta of the first time"] = 1e-4
    last: Annotated[float, Range(above=0, below=1), "beta of the last time"] = 2e-2

    @cached_property
    def alpha_bars(self) -> np.ndarray:
        """alpha_bar[t] = prod_{s <= t} (1 - beta_s), float64."""
        return np.cumprod(1.0 - np.linspace(self.first, self.last, self.steps))

    def alpha_bar(self, t: int) -> float:
        if not -1 <= t < self.steps:
            raise BadInput(f"time {t} is outside the schedule", wanted=f"-1 to {self.steps - 1}")
        return 1.0 if t == -1 else float(self.alpha_bars[t])

    def alpha(self, t: float) -> float:
        return float(np.sqrt(self.alpha_bar(int(t))))

    def sigma(self, t: float) -> float:
        return float(np.sqrt(1.0 - self.alpha_bar(int(t))))

    def nearest(self, noise: float) -> int:
        """The time whose noise-to-signal ratio sigma / alpha is nearest to `noise`."""
        ratios = np.sqrt((1 - self.alpha_bars) / self.alpha_bars)
        return int(np.abs(ratios - noise).argmin())


@dataclass(frozen=True)
class VE:
    """x_t = x0 + t n: the time is the noise level itself (also EDM's)."""

    def alpha(self, t: float) -> float:
        return 1.0

    def sigma(self, t: float) -> float:
        return float(t)


@dataclass(frozen=True)
class Flow:
    """Rectified flow x_t = (1 - t) x0 + t n, t in [0, 1)."""

    def alpha(self, t: float) -> float:
        if not 0 <= t < 1:
            raise BadInput(f"flow time {t} has no signal left or is negative", wanted="0 <= t < 1")
        return 1.0 - float(t)

    def sigma(self, t: float) -> float:
        return float(t)


@checked
def karras_sigmas(
    steps: int, *, sigma_min: Positive = 0.002, sigma_max: Positive = 80.0, rho: Positive = 7.0
) -> np.ndarray:
    """`steps` noise levels from sigma_max to sigma_min and a final 0 (Karras et al. 2022, arXiv 2206.00364, eq. 5)."""
    check("steps", steps, Count)
    ramp = np.linspace(0.0, 1.0, steps) if steps > 1 else np.zeros(1)
    levels = (sigma_max ** (1 / rho) + ramp * (sigma_min ** (1 / rho) - sigma_max ** (1 / rho))) ** rho
    return np.append(levels, 0.0)


def eps_from_x0(x_t: Tensor, x0: Tensor, alpha: float, sigma: float) -> Tensor:
    """The noise prediction that belongs to x0; sigma must be positive."""
    return (x_t - alpha * x0) / sigma


def x0_from_eps(x_t: Tensor, eps: Tensor, alpha: float | Tensor, sigma: float | Tensor) -> Tensor:
    """The clean estimate that belongs to a noise prediction."""
    return (x_t - sigma * eps) / alpha


def score_from_x0(x_t: Tensor, x0: Tensor, alpha: float, sigma: float) -> Tensor:
    """grad log p_t(x_t) = (alpha x0 - x_t) / sigma^2 (Tweedie)."""
    return (alpha * x0 - x_t) / sigma**2


def vp_velocity_from_x0(x_t: Tensor, x0: Tensor, alpha: float, sigma: float) -> Tensor:
    """v = alpha eps - sigma x0 (Salimans & Ho 2022, arXiv 2202.00512)."""
    return alpha * eps_from_x0(x_t, x0, alpha, sigma) - sigma * x0


def x0_from_vp_velocity(x_t: Tensor, velocity: Tensor, alpha: float | Tensor, sigma: float | Tensor) -> Tensor:
    """x0 = alpha x_t - sigma v, for alpha^2 + sigma^2 = 1."""
    return alpha * x_t - sigma * velocity


def flow_velocity_from_x0(x_t: Tensor, x0: Tensor, t: float) -> Tensor:
    """d x_t / dt = n - x0 = (x_t - x0) / t on the rectified-flow path."""
    return (x_t - x0) / t


def x0_from_flow_velocity(x_t: Tensor, velocity: Tensor, t: float) -> Tensor:
    """x0 = x_t - t v."""
    return x_t - t * velocity
