"""Regression: one call of a network from the measurement to the picture, without any randomness; the control.

Any operator whose measurement can be brought to the grid of the picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from operators.common.randomness import Noise
from operators.common.settings import Steps
from priors.residual.prior import ResidualPrior
from priors.residual.regression import RegressionProcess

from ..base import Solver, State
from .chain import expect_residual, sample

if TYPE_CHECKING:
    from ...problem import Problem


@dataclass(frozen=True)
class Regression(Solver):
    """One call of a network."""

    prior_kind = ResidualPrior
    process = RegressionProcess
    needs_linear: ClassVar[bool] = False

    draws: ClassVar[bool] = False
    steps: Annotated[Steps, "most calls; one is all there is"] = 1

    @property
    def total(self) -> int:
        return 1

    def iterate(self, problem: Problem, prior: ResidualPrior | None, noise: Noise) -> Iterator[State]:
        prior, process = expect_residual(prior, self)
        yield from sample(problem, prior, noise, times=process.times(), step=process.answer)
