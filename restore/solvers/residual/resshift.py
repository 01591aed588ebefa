"""ResShift: from the noisy measurement to the picture in a few steps that shift the residual out.

Yue, Wang, Loy 2023, arXiv 2307.12348, repository zsyOAOA/ResShift. With the process of priors.residual.resshift:

    x_T = y + kappa sqrt(eta_T) z
    ancestral:     x_u ~ N(eta_u/eta_t x_t + (eta_t - eta_u)/eta_t x0, kappa^2 eta_u (eta_t - eta_u)/eta_t I)
    deterministic: x_u = k x0 + m x_t + j y, the noise of x_t kept (Wang et al. 2024, SinSR)

Any operator whose measurement can be brought to the grid of the picture. One network call a step; the answer is the x0
of the last one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from operators.common.randomness import Noise
from operators.common.settings import Steps
from priors.residual.prior import ResidualPrior
from priors.residual.resshift import ResShiftProcess

from ..base import Solver, State
from .chain import expect_residual, sample

if TYPE_CHECKING:
    from ...problem import Problem

LARGEST_PUBLISHED = 15


@dataclass(frozen=True)
class ResShift(Solver):
    """ResShift. Fewer steps than the prior's leave out the noisiest, as the released respacing does; not advised."""

    prior_kind = ResidualPrior
    process = ResShiftProcess
    needs_linear: ClassVar[bool] = False

    steps: Annotated[Steps | None, "times visited; none: all the prior was trained on (4 or 15), as published"] = None
    sampler: Annotated[Literal["ancestral", "deterministic"], "ancestral is published"] = "ancestral"

    @property
    def total(self) -> int:
        return LARGEST_PUBLISHED if self.steps is None else self.steps

    def iterate(self, problem: Problem, prior: ResidualPrior | None, noise: Noise) -> Iterator[State]:
        prior, process = expect_residual(prior, self)
        step = process.ancestral if self.sampler == "ancestral" else process.deterministic
        yield from sample(problem, prior, noise, times=process.times(self.steps), step=step)
