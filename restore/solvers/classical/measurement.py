"""The measurement itself, where it is a picture of the right shape: what any method has to beat.

    x = y clipped to [0, 1]

Any operator that keeps the picture's shape, any noise. No settings, no network.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from operators import BadInput
from operators.common.randomness import Noise

from ..base import Solver, State

if TYPE_CHECKING:
    from priors.base import DiffusionPrior

    from ...problem import Problem


@dataclass(frozen=True)
class Measurement(Solver):
    """y, clipped to [0, 1]."""

    draws: ClassVar[bool] = False
    needs_prior: ClassVar[bool] = False
    needs_linear: ClassVar[bool] = False
    needs_gaussian: ClassVar[bool] = False

    def iterate(self, problem: Problem, prior: DiffusionPrior | None, noise: Noise) -> Iterator[State]:
        measured, wanted = tuple(problem.operator.output_shape), tuple(problem.operator.input_shape)
        if measured != wanted:
            raise BadInput(
                f"the measurement has shape {measured}, the picture {wanted}",
                do="Choose another solver, or another baseline, for this operator.",
            )
        x = problem.y.clamp(0, 1)
        yield State(x=x, x0=x, estimate=x, step=0)
