"""What all solvers have in common that compute one picture from the measurement, and are done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor

from operators.common.randomness import Noise

from ..base import Solver, State

if TYPE_CHECKING:
    from priors.base import DiffusionPrior

    from ...problem import Problem


@dataclass(frozen=True)
class OneStep(Solver):
    """Base of solvers that use no prior, draw nothing, and take any operator and noise law."""

    draws: ClassVar[bool] = False
    needs_prior: ClassVar[bool] = False
    needs_linear: ClassVar[bool] = False
    needs_gaussian: ClassVar[bool] = False

    def answer(self, problem: Problem) -> tuple[Tensor, Mapping[str, float]]:
        """The estimate, B x input_shape in the units of the problem, and what the trace tells of it.

        Raises BadInput for a problem whose measurement does not do.
        """
        raise TypeError(f"{type(self).__name__} does not implement answer")

    def iterate(self, problem: Problem, prior: DiffusionPrior | None, noise: Noise) -> Iterator[State]:
        """The answer, as the only state."""
        x, told = self.answer(problem)
        yield State(x=x, x0=x, estimate=x, step=0, info=told)
