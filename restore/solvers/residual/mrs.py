"""MR Sampler: exponential integrators for mean-reverting diffusion, second and third order in few steps.

Li, Fang, Zhao, Lu, Yang, Xu 2025, "MRS: A Fast Sampler for Mean Reverting Diffusion based on ODE and SDE Solvers",
arXiv 2502.07856, repository grrrute/mr-sampler. With a = alpha_t, s = sbar_t, l = ln(a / s), h = l_u - l_t, and q the
prediction (the picture "data", or the noise) as a polynomial in l through the last calls,
q(l_t + r h) = q0 + D1 r + D2 r^2:

    ode data:  x_u = s_u/s_t x + a_u (I0 q0 + I1 D1 + I2 D2) + mu (...),     I_k = int_0^1 h e^{-h(1-r)} r^k dr
    sde data:  x_u = s_u/s_t e^-h x + a_u (same, 2h for h) + mu (...) + s_u sqrt(1 - e^-2h) z
    ode noise: x_u = a_u/a_t x - s_u (J0 q0 + J1 D1 + J2 D2) + mu (...),     J_k = int_0^1 h e^{h(1-r)} r^k dr
    sde noise: x_u = a_u/a_t x - 2 s_u (same) + mu (...) + s_u sqrt(e^2h - 1) z

Two things of the released code cost it its order: l is interpolated between whole times for itself instead of computed
from the interpolated a and s, and the weight of D2 is half of I2 (J2). formulas "consistent" (default) has neither;
"released" has both. Any operator whose measurement can be brought to the grid of the picture; priors of IR-SDE.
One network call a step.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from operators.common.randomness import Noise
from operators.common.settings import Fraction, Range, Steps
from priors.residual.ir_sde import IRSDEProcess
from priors.residual.prior import ResidualPrior
from priors.residual.process import Prediction

from ..base import Solver, State
from .chain import expect_residual, sample

if TYPE_CHECKING:
    from ...problem import Problem

Grid = Literal["linear-lambda", "linspace", "karras-n", "karras-t", "leading", "trailing"]
RHO = 7.0  # of the Karras grids
MANY = 10  # from this many steps on, the step before the last keeps its full order


@dataclass(frozen=True)
class MRS(Solver):
    """MR Sampler. Published values: preset "paper" (5 to 20 steps).

    The released grids "leading" and "trailing" do not cover the span. Of what is extrapolated, "data" is stabler.
    """

    prior_kind = ResidualPrior
    process = IRSDEProcess
    needs_linear: ClassVar[bool] = False
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {"steps": 20, "order": 2, "equation": "sde", "prediction": "data", "formulas": "released"},
    }

    steps: Annotated[Steps, "network calls"] = 10
    order: Annotated[int, Range(1, 3), "of the integrator"] = 2
    equation: Annotated[Literal["ode", "sde"], "which of the two reverse equations"] = "sde"
    prediction: Annotated[Literal["data", "noise"], "what is extrapolated"] = "data"
    grid: Annotated[Grid, "the times"] = "linear-lambda"
    formulas: Annotated[Literal["consistent", "released"], "see above"] = "consistent"
    lambda_min: Annotated[float, "where the grid linear-lambda begins at the earliest"] = -5.0
    threshold: Annotated[
        Fraction | None, "quantile to which predicted pictures are compressed (dynamic thresholding), or none"
    ] = None
    threshold_max: Annotated[float, Range(1), "the most that quantile is taken for"] = 1.5
    last: Annotated[
        Literal["step", "data"], "the answer: the last step, or the predicted picture of the last time but one"
    ] = "step"

    def orders(self) -> list[int]:
        """Order of each step: as much as the history gives; of few steps the last but one is of first order."""
        count = self.steps
        return [
            min(self.order, i) if i == count or count >= MANY else min(self.order, i, count - i)
            for i in range(1, count + 1)
        ]

    def times(self, process: IRSDEProcess) -> list[float]:
        """Real times, descending, `steps` + 1 of them."""
        return time_grid(process, self.grid, self.steps, lambda_min=self.lambda_min)

    def iterate(self, problem: Problem, prior: ResidualPrior | None, noise: Noise) -> Iterator[State]:
        prior, process = expect_residual(prior, self)
        step = Multistep(self, process)
        yield from sample(problem, prior, noise, times=self.times(process), step=step, legal=True)


class Stride(NamedTuple):
    """One step: its length in lambda, and alpha and sbar where it begins and ends."""

    h: float
    a_t: float
    s_t: float
    a_u: float
    s_u: float


class Multistep:
    """The update, with the predictions of earlier times."""

    def __init__(self, method: MRS, process: IRSDEProcess) -> None:
        self.method, self.process = method, process
        self.orders = method.orders()
        self.past: list[tuple[float, Tensor]] = []  # (lambda, q), newest first

    def __call__(self, x: Tensor, mu: Tensor, prediction: Prediction, t: float, u: float, noise: Noise) -> Tensor:
        method = self.method
        q0 = self._compressed(prediction.x0) if method.prediction == "data" else prediction.eps
        order = self.orders[0]
        self.orders = self.orders[1:]
        if method.last == "data" and not self.orders:
            return self._compressed(prediction.x0)
        now = self.log_ratio(t)
        h = self.log_ratio(u) - now
        self.past = [(now, q0), *self.past][:3]
        z = noise.normal("step", x) if method.equation == "sde" else None
        alpha, sbar = self.process.alpha, self.process.sigma_bar
        span = Stride(h, alpha(t), sbar(t), alpha(u), sbar(u))
        terms = self.differences(h, order)
        move = self.from_data if method.prediction == "data" else self.from_noise
        return move(x, mu, terms, span, z)

    def log_ratio(self, t: float) -> float:
        """lambda_t = ln(alpha_t / sbar_t)."""
        if self.method.formulas == "consistent":
            return math.log(self.process.alpha(t) / self.process.sigma_bar(t))
        table = np.log(self.process.alphas / self.process.sigma_bars)
        return float(np.interp(t, np.arange(len(table)), table))

    def differences(self, h: float, order: int) -> list[Tensor]:
        """[q0, D1, D2][:order] of the polynomial through the newest `order` predictions, in units of the step h."""
        (l0, q0), *rest = self.past
        if order == 1:
            return [q0]
        (l1, q1) = rest[0]
        r = (l0 - l1) / h
        slope = (q0 - q1) / r
        if order == 2:
            return [q0, slope]
        (l2, q2) = rest[1]
        r1 = (l1 - l2) / h
        bend = (slope - (q1 - q2) / r1) / (r + r1)
        return [q0, slope + bend * r, bend]

    def _weighted(self, terms: list[Tensor], weights: list[float]) -> Tensor:
        if self.method.formulas == "released":
            weights = [weights[0], weights[1], weights[2] / 2]
        return sum((w * q for w, q in zip(weights[1:], terms[1:], strict=False)), start=weights[0] * terms[0])

    def from_data(self, x: Tensor, mu: Tensor, terms: list[Tensor], span: Stride, z: Tensor | None) -> Tensor:
        """x_u from predictions of the picture."""
        h, a_t, s_t, a_u, s_u = span
        if z is None:
            moved = a_u * self._weighted(terms, decaying(h))
            return s_u / s_t * x + moved + mu * (1 - s_u / s_t + s_u / s_t * a_t - a_u)
        moved, faded = a_u * self._weighted(terms, decaying(2 * h)), math.exp(-2 * h)
        centre = mu * (1 - a_u / a_t * faded - a_u * (1 - faded))
        return s_u / s_t * math.exp(-h) * x + moved + centre + s_u * math.sqrt(1 - faded) * z

    def from_noise(self, x: Tensor, mu: Tensor, terms: list[Tensor], span: Stride, z: Tensor | None) -> Tensor:
        """x_u from predictions of the noise."""
        h, a_t, _, a_u, s_u = span
        moved = s_u * self._weighted(terms, growing(h))
        centre = a_u / a_t * x + mu * (1 - a_u / a_t)
        return centre - moved if z is None else centre - 2 * moved + s_u * math.sqrt(math.expm1(2 * h)) * z

    def _compressed(self, x0: Tensor) -> Tensor:
        """Dynamic thresholding (Saharia et al. 2022, arXiv 2205.11487)."""
        if self.method.threshold is None:
            return x0
        size = torch.quantile(x0.abs().flatten(1), self.method.threshold, dim=1)
        size = size.clamp(1, self.method.threshold_max).reshape(-1, *[1] * (x0.ndim - 1))
        return torch.minimum(torch.maximum(x0, -size), size) / size


def decaying(h: float) -> list[float]:
    """I_k = int_0^1 h e^{-h (1 - r)} r^k dr, k = 0 .. 2: I_k = 1 - k I_{k-1} / h."""
    first = -math.expm1(-h)
    second = 1 - first / h
    return [first, second, 1 - 2 * second / h]


def growing(h: float) -> list[float]:
    """J_k = int_0^1 h e^{h (1 - r)} r^k dr, k = 0 .. 2: J_k = k J_{k-1} / h - 1."""
    first = math.expm1(h)
    second = first / h - 1
    return [first, second, 2 * second / h - 1]


def time_grid(process: IRSDEProcess, grid: Grid, steps: int, *, lambda_min: float = -5.0) -> list[float]:
    """steps + 1 real times, descending.

    A process whose sbar_0 is 0 has no finite lambda there: its grids end at t = 1 instead of 0.
    """
    end = 0.0 if process.sigma_bars[0] > 0 else 1.0
    last = float(process.steps)
    if grid == "linspace":
        return [float(t) for t in np.linspace(last, end, steps + 1)]
    if grid == "karras-t":
        return [float(t) for t in _karras(last, 1.0, steps)]
    if grid == "leading":
        return [float(t) for t in np.arange(steps, -1, -1) * max(int(last // (steps + 1)), 1) + end]
    if grid == "trailing":
        return [float(t) for t in np.arange(steps + 1, 0, -1) * last / (steps + 1)]
    times = np.arange(process.steps + 1)[int(end) :]
    ratios = (process.sigma_bars / process.alphas)[int(end) :]
    if grid == "karras-n":
        return [float(t) for t in np.interp(_karras(ratios[-1], ratios[0], steps), ratios, times)]
    levels = -np.log(ratios)
    wanted = np.linspace(max(levels[-1], lambda_min), levels[0], steps + 1)
    return [float(t) for t in np.interp(-wanted, -levels, times)]


def _karras(first: float, last: float, steps: int) -> np.ndarray:
    ramp = np.linspace(0, 1, steps + 1)
    return (first ** (1 / RHO) + ramp * (last ** (1 / RHO) - first ** (1 / RHO))) ** RHO
