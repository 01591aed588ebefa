"""What the field shows first: filtered back-projection, zero filling, demosaicking, decoding.

    x = A.direct(y)

Any operator with a quick reconstruction of its own (A^+ y of a linear one that names no other), any noise. No settings,
no network.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from operators.common.randomness import Noise

from ..base import Solver, State

if TYPE_CHECKING:
    from priors.base import DiffusionPrior

    from ...problem import Problem


@dataclass(frozen=True)
class Direct(Solver):
    """The operator's own quick reconstruction, not clipped."""

    draws: ClassVar[bool] = False
    needs_prior: ClassVar[bool] = False
    needs_linear: ClassVar[bool] = False
    needs_gaussian: ClassVar[bool] = False

    def iterate(self, problem: Problem, prior: DiffusionPrior | None, noise: Noise) -> Iterator[State]:
        x = problem.operator.direct(problem.y)
        yield State(x=x, x0=x, estimate=x, step=0)
