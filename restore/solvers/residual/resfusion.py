"""Resfusion: ordinary ancestral sampling from the point where the state no longer depends on the picture.

Shi, Zheng, Xu, Dong, Pan, Xie, He, Li, Fu 2024, arXiv 2311.14900, repository nkicsl/Resfusion. With the process of
priors.residual.resfusion:

    x_T' = sqrt(ah) y + sqrt(1 - ah) z at sqrt(ah) = 1/2
    x_u  = (x_t - beta / sqrt(1 - ah_t) resnoise) / sqrt(alpha) + sqrt(betahat) z,   resnoise = eps + w R

Any operator whose measurement can be brought to the grid of the picture. One network call a step.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from operators.common.randomness import Noise
from operators.common.settings import Steps
from priors.residual.prior import ResidualPrior
from priors.residual.resfusion import ResfusionProcess

from ..base import Solver, State
from .chain import expect_residual, sample

if TYPE_CHECKING:
    from ...problem import Problem

PUBLISHED = 5


@dataclass(frozen=True)
class Resfusion(Solver):
    """Resfusion. Published: all T' times, 5 of a schedule of 12."""

    prior_kind = ResidualPrior
    process = ResfusionProcess
    needs_linear: ClassVar[bool] = False

    steps: Annotated[Steps | None, "times visited; none: all that the prior was trained on, as published"] = None

    @property
    def total(self) -> int:
        return PUBLISHED if self.steps is None else self.steps

    def iterate(self, problem: Problem, prior: ResidualPrior | None, noise: Noise) -> Iterator[State]:
        prior, process = expect_residual(prior, self)
        yield from sample(problem, prior, noise, times=process.times(self.steps), step=process.ancestral, legal=True)
