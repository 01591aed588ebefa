"""Neighbours averaged by their distance in the plane and in value: noise goes, edges stay.

C. Tomasi, R. Manduchi 1998, doi:10.1109/ICCV.1998.710815; the filter is kornia's. That the width in value should follow
the noise, and the width in the plane need not: M. Zhang, B. Gunturk 2008, doi:10.1109/TIP.2008.2006658.

    x[p] = sum_q w[p, q] z[q] / sum_q w[p, q],     z = A.direct(y)
    w[p, q] = exp(-|p - q|^2 / (2 reach^2) - |z[p] - z[q]|^2 / (2 C (tolerance sigma)^2)),  over all C channels at once

Any operator with a quick reconstruction, any noise. No network.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from torch import Tensor

from operators.common.settings import NotNegative, Range

from ..parts.filtering import filtered, windowed
from ..parts.one_step import OneStep

if TYPE_CHECKING:
    from ...problem import Problem


@dataclass(frozen=True)
class Bilateral(OneStep):
    """A bilateral filter whose width in value follows the noise."""

    reach: Annotated[float, Range(0.3, 10), "standard deviation in the plane, in pixels; windows end at twice that"] = (
        1.8
    )
    tolerance: Annotated[float, Range(above=0), "standard deviation in value, over that of the noise"] = 1.5
    sigma: Annotated[NotNegative | None, "noise level of the filtered picture; none: known or estimated"] = None

    def answer(self, problem: Problem) -> tuple[Tensor, Mapping[str, float]]:
        x, level = filtered(problem, self.sigma, self._averaged)
        return x, {"level": level}

    def _averaged(self, planes: Tensor, level: float) -> Tensor:
        from kornia.filters import bilateral_blur

        if level == 0:
            return planes
        width = self.tolerance * level * math.sqrt(planes.shape[1])
        radius = math.ceil(2 * self.reach)
        return windowed(
            planes,
            radius,
            lambda band: bilateral_blur(
                band, 2 * radius + 1, width, (self.reach, self.reach), color_distance_type="l2"
            ),
        )
