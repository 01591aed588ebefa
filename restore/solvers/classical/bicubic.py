"""The measurement enlarged to the size of the picture, as MATLAB's imresize does.

Keys 1981, doi:10.1109/TASSP.1981.1163711, with a = -1/2; clipped to [0, 1] as a stored picture would be.

Any operator whose measurement is a smaller picture, any noise. No settings, no network.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from operators import BadInput
from operators.common.randomness import Noise
from operators.resampling.matrices import resize

from ..base import Solver, State

if TYPE_CHECKING:
    from priors.base import DiffusionPrior

    from ...problem import Problem


@dataclass(frozen=True)
class Bicubic(Solver):
    """Bicubic enlargement of y."""

    draws: ClassVar[bool] = False
    needs_prior: ClassVar[bool] = False
    needs_linear: ClassVar[bool] = False
    needs_gaussian: ClassVar[bool] = False

    def iterate(self, problem: Problem, prior: DiffusionPrior | None, noise: Noise) -> Iterator[State]:
        measured, wanted = problem.operator.output_shape, problem.operator.input_shape
        if len(measured) != len(wanted) or measured[0] != wanted[0]:
            raise BadInput(
                f"the measurement has shape {tuple(measured)}, the picture {tuple(wanted)}",
                do="Choose another solver, or another baseline, for this operator.",
            )
        x = resize(problem.y, size=(wanted[-2], wanted[-1])).clamp(0, 1)
        yield State(x=x, x0=x, estimate=x, step=0)
