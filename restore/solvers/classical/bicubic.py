"""The measurement enlarged to the size of the picture, as MATLAB's imresize does.

Keys 1981, doi:10.1109/TASSP.1981.1163711, with a = -1/2; clipped to [0, 1] as a stored picture would be.

Any operator whose measurement is a smaller picture, any noise. No settings, no network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from operators import BadInput
from operators.resampling.matrices import resize

from ..parts.one_step import OneStep

if TYPE_CHECKING:
    from ...problem import Problem


@dataclass(frozen=True)
class Bicubic(OneStep):
    """Bicubic enlargement of y."""

    def answer(self, problem: Problem) -> tuple[Tensor, Mapping[str, float]]:
        measured, wanted = problem.operator.output_shape, problem.operator.input_shape
        if len(measured) != len(wanted) or measured[0] != wanted[0]:
            raise BadInput(
                f"the measurement has shape {tuple(measured)}, the picture {tuple(wanted)}",
                do="Choose another solver, or another baseline, for this operator.",
            )
        return resize(problem.y, size=(wanted[-2], wanted[-1])).clamp(0, 1), {}
