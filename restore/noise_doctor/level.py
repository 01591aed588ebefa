"""Two numbers for a noisy picture: the level of its noise, and the level for a prior that knows white noise only.

A denoiser trained on white noise takes the low frequencies of correlated noise for structure, so it needs the white
level that has the same power there: about sqrt(S) times the true level, S the sum of the autocorrelation over the 3 x 3
lags. Chi-square, intervals and reports need the true level. Where the noise is white the two are one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor

from .flat import flat_patches, own_white
from .white import haar_variances, parseval_level, white_level

Kind = Literal["white", "correlated", "unseen"]

SMALL, LARGE = 8, 16  # pixels a side of the patches that are looked at
CORRELATED = 0.15  # r of the small patches above which noise (or structure) is not white
FLOORS = {SMALL: 0.78, LARGE: 0.8}  # clean photographs reach 0.75 in small patches, phone pictures 0.86 at least
STEP = 1 / 255
FAINT = (0.8 * STEP, 4 * STEP)  # noise of large patches that a camera smoothed; clean texture is mostly stronger
EVEN = 2.3  # whole picture over flat patches: below, the same faint noise lies everywhere
STRONG = (1.3, 0.65)  # the same for noise of any strength, and the floor of large patches that must go with it
TOTALS = (1.0, 5.0)  # bounds of S


@dataclass(frozen=True)
class NoiseLevel:
    """sigma: standard deviation of the noise. level: for a white-noise prior; the same where the noise is white.

    kind: "white"; "correlated" from pixel to pixel; "unseen" where even the flattest patches differ as structure does,
    so that sigma is a bound and not a measurement. white: the wavelet estimate. correlation: r of 8 x 8 patches.
    total: S of 16 x 16 patches. floor: of the 8 x 8 patches, see `FlatPatches`.
    """

    sigma: float
    level: float
    kind: Kind
    white: float
    correlation: float
    total: float
    floor: float

    def sentence(self) -> str:
        """What was found and how."""
        told = f"(correlation of neighbours {self.correlation:.2f}, white-noise estimate {self.white:.4g})"
        if self.kind == "correlated":
            return (
                f"noise sigma: {self.sigma:.4g}, estimated from wavelet bands of three scales, since the noise is "
                f"correlated {told}; a prior is given {self.level:.4g}, the white noise that is as strong at low "
                f"frequency (S {self.total:.2f})"
            )
        if self.kind == "unseen":
            return (
                f"noise sigma: at most {self.sigma:.4g}, estimated from the flattest patches: they differ as structure "
                f"does, so the picture shows no noise {told}"
            )
        return f"noise sigma: {self.sigma:.4g}, estimated from the finest wavelet coefficients; fine texture raises it"


def noise_level(y: Tensor) -> NoiseLevel:
    """The noise of a picture as stored (B x C x H x W, values about [0, 1]); of several pictures, the mean.

    Pictures under 16 pixels a side have too few flat patches: their noise is taken for white.
    """
    each = [_in_own_range(y[k : k + 1]) for k in range(len(y))]
    if len(each) == 1:
        return each[0]
    mean = {
        name: math.fsum(getattr(found, name) for found in each) / len(each)
        for name in ("sigma", "level", "white", "correlation", "total", "floor")
    }
    kinds = [found.kind for found in each]
    return NoiseLevel(kind=next(k for k in ("correlated", "white", "unseen") if k in kinds), **mean)  # type: ignore[arg-type]


def _in_own_range(y: Tensor) -> NoiseLevel:
    """Of one picture, in units of its own white: a dim picture is judged as the same picture brightened."""
    scale = own_white(y)
    found = _of_one(y if scale == 1 else y / scale)
    levels = {name: scale * getattr(found, name) for name in ("sigma", "level", "white")}
    return replace(found, **levels)


def _of_one(y: Tensor) -> NoiseLevel:
    white = white_level(y)
    if min(y.shape[-2:]) < LARGE:
        return NoiseLevel(white, white, "white", white, 0.0, 1.0, 0.0)
    small, large = flat_patches(y, SMALL), flat_patches(y, LARGE)
    found = {"white": white, "correlation": small.correlation, "total": large.total, "floor": small.floor}
    if small.correlation <= CORRELATED:
        return NoiseLevel(white, white, "white", **found)
    whole = parseval_level(haar_variances(y))
    lies_under_all = small.floor >= FLOORS[SMALL] or large.floor >= FLOORS[LARGE]
    faint_everywhere = FAINT[0] <= large.sigma <= FAINT[1] and whole <= EVEN * large.sigma
    strong_everywhere = whole <= STRONG[0] * large.sigma and large.floor >= STRONG[1]
    if large.sigma >= FAINT[0] and (lies_under_all or faint_everywhere or strong_everywhere):
        level = large.sigma * math.sqrt(min(max(large.total, TOTALS[0]), TOTALS[1]))
        return NoiseLevel(min(whole, EVEN * large.sigma), level, "correlated", **found)
    bound = min(white, small.lowest)
    return NoiseLevel(bound, bound, "unseen", **found)
