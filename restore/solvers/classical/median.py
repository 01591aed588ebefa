"""Every value replaced by the middle one of its neighbourhood: impulses go, edges stay.

J. Tukey 1977, "Exploratory data analysis"; the filter is kornia's.

    x[p] = median { z[q] : |q - p| <= r in each axis },     z = A.direct(y)

Any operator with a quick reconstruction, any noise; channel by channel. No network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from torch import Tensor

from operators.common.settings import NotNegative

from ..parts.filtering import filtered, windowed
from ..parts.one_step import OneStep

if TYPE_CHECKING:
    from ...problem import Problem

# Largest share of the picture's variance that is noise, and the window that was best up to it.
SIZES = ((0.25, 3), (0.5, 5), (float("inf"), 7))


@dataclass(frozen=True)
class Median(OneStep):
    """A median filter."""

    size: Annotated[
        Literal[1, 3, 5, 7, 9, 11] | None,
        "side of the window in pixels; none: by the share of the variance that is noise",
    ] = None
    sigma: Annotated[NotNegative | None, "noise level of the filtered picture; none: known or estimated"] = None

    def answer(self, problem: Problem) -> tuple[Tensor, Mapping[str, float]]:
        x, level = filtered(problem, self.sigma, self._middle)
        return x, {"level": level}

    def _middle(self, planes: Tensor, level: float) -> Tensor:
        from kornia.filters import median_blur

        size = self._size(planes, level) if self.size is None else self.size
        return planes if size == 1 else windowed(planes, size // 2, lambda band: median_blur(band, size))

    @staticmethod
    def _size(planes: Tensor, level: float) -> int:
        spread = float(planes.double().var(correction=0))
        if level == 0 or spread == 0:
            return 1
        return next(size for most, size in SIZES if level**2 / spread <= most)
