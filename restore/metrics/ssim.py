"""Structural similarity in the settings of its authors.

Z. Wang, A. C. Bovik, H. R. Sheikh, E. P. Simoncelli, "Image quality assessment: from error visibility to structural
similarity", IEEE TIP 13(4), 2004, eq. 13: with local means m, variances s^2 and covariance s_xy under the window,

    SSIM = (2 m_x m_y + C1)(2 s_xy + C2) / ((m_x^2 + m_y^2 + C1)(s_x^2 + s_y^2 + C2)),   C = (K L)^2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor

from .base import CROP, FLIP, LIMIT, SPACE, Crop, Limit, Range, Space, Turnable, needs_range, prepare
from .convention import Option
from .evidence import NotApplicable
from .pixelwise import PEAK, Peak, peak_value

K1, K2 = 0.01, 0.03
SIZE, SIGMA = 11, 1.5


@dataclass(frozen=True)
class SSIM(Turnable):
    """Mean of the SSIM map over channels and the positions where the window lies inside the picture.

    Window "gauss1.5" is an 11x11 Gaussian of standard deviation 1.5, K1 = 0.01, K2 = 0.03, population covariance. The
    peak is the L of the constants; the low end of the declared range is where values are counted from. The estimate is
    clipped unless told otherwise.
    Not resampled first (the authors' script averages large pictures down; its name would be another convention).
    """

    FAMILY: ClassVar[str] = "ssim"
    HIGHER_IS_BETTER: ClassVar[bool] = True
    OPTIONS: ClassVar[tuple[Option, ...]] = (Option("window", words=("gauss1.5",)), SPACE, LIMIT, PEAK, CROP, FLIP)

    window: Annotated[Literal["gauss1.5"] | None, "of the local statistics"] = None
    space: Space = "any"
    limit: Limit | None = None
    peak: Peak = None
    crop: Crop = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "window", "gauss1.5")  # the name always says which window
        if self.limit == self._implied_limit():
            object.__setattr__(self, "limit", None)

    def _implied_limit(self) -> Limit:
        return "unclipped" if self.peak == "volume-max" else "clip"

    def picture(self, estimate: Tensor, truth: Tensor, data_range: Range) -> float:
        if truth.ndim != 3:
            raise NotApplicable(
                f"{self.FAMILY} of a volume of {tuple(truth.shape)}", do="Score its slices: B*D x C x H x W."
            )
        smallest = self._smallest() + 2 * self.crop
        if min(truth.shape[-2:]) < smallest:
            size = f"{truth.shape[-2]}x{truth.shape[-1]}"
            raise NotApplicable(
                f"a picture of {size} is too small for {self.name}", wanted=f"at least {smallest}x{smallest}"
            )
        limit = self.limit or self._implied_limit()
        if data_range is not None and self.peak != "volume-max":
            # The luminance term compares values with zero: counted from the low end, the score has no units.
            low, width = needs_range(data_range, self.FAMILY)
            estimate, truth, data_range = estimate - low, truth - low, (0.0, width)
        pair = prepare(estimate, truth, data_range, space=self.space, limit=limit, crop=self.crop)
        return float(self._index(pair.estimate, pair.truth, peak_value(self.peak, pair)).mean())

    def _smallest(self) -> int:
        """The shortest side that can be scored."""
        return SIZE

    def _index(self, estimate: Tensor, truth: Tensor, peak: float) -> Tensor:
        """The scores whose mean is the metric, from C x H x W."""
        return ssim_map(estimate, truth, peak=peak)


def ssim_map(x: Tensor, y: Tensor, *, peak: float) -> Tensor:
    """The SSIM at each position of the window inside the picture: C x H x W -> C x (H - 10) x (W - 10)."""
    mean_x, mean_y, xx, yy, xy = smooth(torch.stack([x, y, x * x, y * y, x * y]))
    c1, c2 = (K1 * peak) ** 2, (K2 * peak) ** 2
    variance_x, variance_y, covariance = xx - mean_x**2, yy - mean_y**2, xy - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return luminance * (2 * covariance + c2) / (variance_x + variance_y + c2)


def smooth(x: Tensor) -> Tensor:
    """Weighted local means under the Gaussian window, valid part only (... x H x W), one axis after the other."""
    offsets = torch.arange(SIZE, dtype=x.dtype, device=x.device) - SIZE // 2
    weights = torch.exp(-0.5 * (offsets / SIGMA) ** 2)
    weights = weights / weights.sum()
    rows = (x.shape[-2] - SIZE + 1, x.shape[-1] - SIZE + 1)
    # Eleven shifted sums: no copy of the picture per window position, and the order of the sum is fixed.
    down = sum(w * x.narrow(-2, k, rows[0]) for k, w in enumerate(weights))
    return sum(w * down.narrow(-1, k, rows[1]) for k, w in enumerate(weights))  # type: ignore[union-attr, return-value]
