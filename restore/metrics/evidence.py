"""What an answer is judged by, and what a metric may ask of it: truth, samples, noise, references."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from torch import Tensor

from operators.common.errors import BadInput

if TYPE_CHECKING:
    from ..problem import Problem

Need = Literal["truth", "samples", "noise", "references"]

# Why there is no number of one answer, where a need is not met.
MISSING: Mapping[Need, str] = {
    "truth": "no ground truth: chi-square and the residual picture are the judge",
    "samples": "it needs --samples 2 or more",
    "noise": "the measurement has no noise",
}


class NotApplicable(BadInput):
    """The metric is not defined for this kind of picture (too small, wrong channels, no range); others may be."""


@dataclass(frozen=True)
class Evidence:
    """An answer of B pictures and what is known beside it; NotApplicable is raised for what is asked and not known.

    estimate, truth: B x C x ..., samples: S x B x C x ..., all in one unit. data_range: lowest and highest legal value
    of the truth in that unit, None where there are none. posed: the problem, and the estimate in the problem's units.
    """

    estimate: Tensor
    truth: Tensor | None = None
    samples: Tensor | None = None
    data_range: tuple[float, float] | None = (0.0, 1.0)
    posed: tuple[Problem, Tensor] | None = None

    def compared(self) -> Tensor:
        """The truth."""
        if self.truth is None:
            raise NotApplicable(MISSING["truth"])
        return self.truth

    def drawn(self) -> tuple[Tensor, Tensor]:
        """Two samples or more (one has no spread), and the truth."""
        truth = self.compared()
        if self.samples is None or len(self.samples) < 2:
            raise NotApplicable(MISSING["samples"])
        return self.samples, truth

    def measured(self) -> tuple[Problem, Tensor]:
        """The problem and the estimate in its units, where the measurement has noise."""
        if self.posed is None or self.posed[0].sigma == 0:
            raise NotApplicable(MISSING["noise"])
        return self.posed
