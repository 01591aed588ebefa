"""The measurement itself, where it is a picture of the right shape: what any method has to beat.

    x = y clipped to [0, 1]

Any operator that keeps the picture's shape, any noise. No settings, no network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from operators import BadInput

from ..parts.one_step import OneStep

if TYPE_CHECKING:
    from ...problem import Problem


@dataclass(frozen=True)
class Measurement(OneStep):
    """y, clipped to [0, 1]."""

    def answer(self, problem: Problem) -> tuple[Tensor, Mapping[str, float]]:
        measured, wanted = tuple(problem.operator.output_shape), tuple(problem.operator.input_shape)
        if measured != wanted:
            raise BadInput(
                f"the measurement has shape {measured}, the picture {wanted}",
                do="Choose another solver, or another baseline, for this operator.",
            )
        return problem.y.clamp(0, 1), {}
