"""Chi-square: whether an estimate explains its measurement up to the noise, no more and no less."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from .base import Metric
from .evidence import Evidence, Need


@dataclass(frozen=True)
class Chi2(Metric):
    """Mean squared whitened residual over the observed entries of y: 1 is right, for any noise law with a variance."""

    FAMILY: ClassVar[str] = "chi2"
    NEEDS: ClassVar[tuple[Need, ...]] = ("noise",)
    TARGET: ClassVar[float | None] = 1.0

    @property
    def name(self) -> str:
        return self.FAMILY

    def of(self, evidence: Evidence) -> Tensor:
        problem, estimate = evidence.measured()
        return problem.chi2_each(estimate.to(problem.y.device)).double().cpu()
