"""What the field shows first: filtered back-projection, zero filling, demosaicking, decoding.

    x = A.direct(y)

Any operator with a quick reconstruction of its own (A^+ y of a linear one that names no other), any noise. No settings,
no network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from ..parts.one_step import OneStep

if TYPE_CHECKING:
    from ...problem import Problem


@dataclass(frozen=True)
class Direct(OneStep):
    """The operator's own quick reconstruction, not clipped."""

    def answer(self, problem: Problem) -> tuple[Tensor, Mapping[str, float]]:
        return problem.operator.direct(problem.y), {}
