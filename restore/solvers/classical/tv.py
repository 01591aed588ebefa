"""Total-variation reconstruction by the primal-dual method of Chambolle and Pock.

Rudin, Osher, Fatemi 1992, doi:10.1016/0167-2789(92)90242-F; Chambolle, Pock 2011, doi:10.1007/s10851-010-0251-1.

    weight None:  min TV(x)  subject to  |A x - y|^2 <= (observed entries) sigma^2      (discrepancy principle)
    weight w:     min 1/2 |A x - y|^2 + w TV(x)

Both are min_x F(A x) + TV(x) and differ in one dual step (p for the data, q for the gradient, x' extrapolated):

    p <- p + s (A x' - y), then  p (1 - s eps / |p|)_+  or  p / (1 + s w)
    q <- project(q + s' grad x')
    x <- x - tau (A^H p - div q),   x' = 2 x_new - x_old,   tau (s |A|^2 + s' |grad|^2) <= 1

Any linear operator, real or complex pictures, Gaussian noise or its stand-in, sigma 0 included (then A x = y is met as
far as the iteration comes). No network.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import torch
from torch import Tensor

from operators.common.randomness import Noise
from operators.common.settings import NotNegative, Positive, Range, Steps
from priors.regularisers.tv import FIRST_SPATIAL, Kind, TotalVariation, divergence, gradient, gradient_norm

from ..base import Mean, Solver, State
from ..parts.discrepancy import noise_energy, over_pixels
from ..parts.start import start_estimate

if TYPE_CHECKING:
    from priors.base import DiffusionPrior

    from ...problem import Problem

EVERY = 10  # iterations between states


@dataclass(frozen=True)
class TV(Solver):
    """Total variation. The kinds: see priors.regularisers.tv."""

    draws: ClassVar[bool] = False
    needs_prior: ClassVar[bool] = False

    weight: Annotated[NotNegative | None, "w above, in units of the picture; none: by the discrepancy principle"] = None
    kind: Annotated[Kind, "how the gradients of the channels are summed"] = "vectorial"
    steps: Annotated[Steps, "iterations"] = 200
    balance: Annotated[
        Positive, "primal step, relative to the root mean square of the picture; changes the speed, not the answer"
    ] = 0.02
    data_share: Annotated[float, Range(1e-3, 0.999), "share of the step budget for the data term"] = 0.5

    @property
    def total(self) -> int:
        return -(-self.steps // EVERY)

    def iterate(self, problem: Problem, prior: DiffusionPrior | None, noise: Noise) -> Iterator[State]:
        operator, variation = problem.linear, TotalVariation(self.kind)
        x = ahead = start_estimate(problem)
        tau = self.balance * _rms(x)
        data_step = self.data_share / (tau * max(operator.norm(), 1e-12) ** 2)
        gradient_step = (1 - self.data_share) / (tau * gradient_norm(x.ndim - FIRST_SPATIAL) ** 2)
        radius = noise_energy(problem) ** 0.5
        p, q = torch.zeros_like(problem.y), torch.zeros_like(gradient(x))
        for step in range(1, self.steps + 1):
            p = p - over_pixels(data_step, p) * problem.residual(ahead)
            p = self._dual_data_step(p, over_pixels(data_step, p), radius)
            q = variation.project(q + over_pixels(gradient_step, q) * gradient(ahead), 1.0)
            previous, x = x, x - tau * (operator.adjoint(p) - divergence(q))
            ahead = 2 * x - previous
            if step % EVERY == 0 or step == self.steps:
                yield State(x=x, x0=x, estimate=x, step=step, info={"tv": Mean(variation.value(x))})

    def _dual_data_step(self, p: Tensor, step: Tensor, radius: float) -> Tensor:
        """The proximal map of the data term's conjugate, after the shift by y."""
        if self.weight is not None:
            return p / (1 + step * self.weight)
        size = torch.linalg.vector_norm(p.flatten(1), dim=1).reshape(step.shape)
        return p * (1 - step * radius / size.clamp_min(1e-30)).clamp_min(0)


def _rms(x: Tensor) -> Tensor:
    """Root mean square of each picture (B x 1 x ... x 1); 1 for a black one."""
    value = over_pixels((x.abs() ** 2).flatten(1).mean(1).sqrt(), x)
    return torch.where(value > 0, value, torch.ones_like(value))
