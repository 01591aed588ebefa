"""Regression: one call of a network from the measurement to the picture, without any randomness; the control.

Any operator whose measurement can be brought to the grid of the picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from operators.common.randomness import Noise

from ..base import Solver, State, check_range
from .chain import expect_residual, sample

if TYPE_CHECKING:
    from priors.residual.prior import ResidualPrior

    from ...problem import Problem


@dataclass(frozen=True)
class Regression(Solver):
    """Regression. steps: most calls; one is all there is."""

    prior_kind: ClassVar[str] = "regression"
    needs_linear: ClassVar[bool] = False

    steps: int = 1

    def __post_init__(self) -> None:
        check_range("steps", self.steps, 1)

    @property
    def total(self) -> int:
        return 1

    def iterate(self, problem: Problem, prior: ResidualPrior | None, noise: Noise) -> Iterator[State]:
        known, process = expect_residual(prior, self)
        yield from sample(problem, known, noise, times=process.times(), step=process.answer)
