"""The picture as a local linear function of itself: flat places are averaged, edges kept.

K. He, J. Sun, X. Tang 2013, doi:10.1109/TPAMI.2012.213, section 3.2 (self-guided) and 3.5 (colour); the filter
is kornia's.

    x[p] = mean over windows w around p of a_w^T z[p] + b_w,     z = A.direct(y)
    a_w = (S_w + eps I)^-1 S_w,   b_w = (I - a_w^T) m_w,   eps = strength sigma^2,   m_w, S_w: mean and covariance in w

For RGB all three channels guide each one; other pictures are filtered channel by channel. Any operator with a quick
reconstruction, any noise. No network.
"""

from __future__ import annotations

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
class Guided(OneStep):
    """A self-guided filter whose regularisation follows the noise."""

    radius: Annotated[int, Range(1, 50), "of the windows, in pixels"] = 2
    strength: Annotated[float, Range(above=0), "regularisation, over the variance of the noise"] = 4.0
    sigma: Annotated[NotNegative | None, "noise level of the filtered picture; none: known or estimated"] = None

    def answer(self, problem: Problem) -> tuple[Tensor, Mapping[str, float]]:
        x, level = filtered(problem, self.sigma, self._regressed)
        return x, {"level": level}

    def _regressed(self, planes: Tensor, level: float) -> Tensor:
        from kornia.filters import guided_blur

        if level == 0:
            return planes
        guides = planes if planes.shape[1] == 3 else planes.flatten(0, 1)[:, None]
        # Means of windows of coefficients, which are of windows themselves: a pixel sees two radii far.
        filtered = windowed(
            guides,
            2 * self.radius,
            lambda band: guided_blur(band, band, 2 * self.radius + 1, self.strength * level**2),
        )
        return filtered.reshape(planes.shape)
