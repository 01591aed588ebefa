"""Scores that are means over pixels: PSNR, RMSE, MAE, and the RMSE of the colour-difference channels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor

from operators.common.errors import BadInput
from operators.common.settings import Positive

from .base import (
    CROP,
    FLIP,
    LIMIT,
    SPACE,
    Crop,
    Limit,
    Metric,
    Prepared,
    Range,
    Space,
    Turnable,
    keep_limits,
    needs_range,
    prepare,
)
from .base import cut as cut_border
from .colour import chroma_bt601
from .convention import Option
from .evidence import NotApplicable

PEAK = Option("peak", words=("volume-max",), key="peak", number=float)
Peak = Annotated[
    Positive | Literal["volume-max"] | None,
    "in the picture's units, or the largest value of the truth; none: the width of the declared range",
]


@dataclass(frozen=True)
class Pixelwise(Metric):
    """A mean over all channels and pixels of one picture or volume.

    Space "y601" is studio-range luma (gray as it is). Limit "refuse"s an estimate outside the declared range, "clip"s
    it, clips and rounds both to 8 bits ("round8"), or scores it "unclipped"; None is "clip" for y601, which speaks of
    stored pictures, else "refuse".
    """

    OPTIONS: ClassVar[tuple[Option, ...]] = (SPACE, LIMIT, CROP)

    space: Space = "any"
    limit: Limit | None = None
    crop: Crop = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        # A limit that says what the rest of the name says already is the same convention, and must compare equal.
        if self.limit == self._implied_limit():
            object.__setattr__(self, "limit", None)

    def _implied_limit(self) -> Limit:
        return "clip" if self.space == "y601" else "refuse"

    def _pair(self, estimate: Tensor, truth: Tensor, data_range: Range) -> Prepared:
        limit = self.limit if self.limit is not None else self._implied_limit()
        return prepare(estimate, truth, data_range, space=self.space, limit=limit, crop=self.crop)


@dataclass(frozen=True)
class PSNR(Turnable, Pixelwise):
    """10 log10(peak^2 / MSE) in dB, one MSE over all channels; infinite for equal pictures.

    With peak "volume-max", the largest value of the truth, the whole volume taken together, the estimate is scored
    unclipped. Of y601 the peak is 255 codes.
    """

    FAMILY: ClassVar[str] = "psnr"
    UNIT: ClassVar[str] = "dB"
    HIGHER_IS_BETTER: ClassVar[bool] = True
    OPTIONS: ClassVar[tuple[Option, ...]] = (SPACE, LIMIT, PEAK, CROP, FLIP)

    peak: Peak = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.space == "y601" and self.peak is not None:
            raise BadInput(
                "psnr[y601] with a peak of its own", do="Its peak is 255 codes by definition: leave the option out."
            )

    def _implied_limit(self) -> Limit:
        return "unclipped" if self.peak == "volume-max" else super()._implied_limit()

    def picture(self, estimate: Tensor, truth: Tensor, data_range: Range) -> float:
        pair = self._pair(estimate, truth, data_range)
        mean_square = float((pair.estimate - pair.truth).square().mean())
        peak = peak_value(self.peak, pair)
        return math.inf if mean_square == 0 else 10 * math.log10(peak**2 / mean_square)


@dataclass(frozen=True)
class RMSE(Pixelwise):
    """Root of the mean squared error over all channels, in the picture's units (y601: codes / 255)."""

    FAMILY: ClassVar[str] = "rmse"

    def picture(self, estimate: Tensor, truth: Tensor, data_range: Range) -> float:
        pair = self._pair(estimate, truth, data_range)
        return math.sqrt(float((pair.estimate - pair.truth).square().mean()))


@dataclass(frozen=True)
class MAE(Pixelwise):
    """Mean absolute error over all channels, in the picture's units (y601: codes / 255)."""

    FAMILY: ClassVar[str] = "mae"

    def picture(self, estimate: Tensor, truth: Tensor, data_range: Range) -> float:
        pair = self._pair(estimate, truth, data_range)
        return float((pair.estimate - pair.truth).abs().mean())


@dataclass(frozen=True)
class ChromaRMSE(Metric):
    """Root of the mean squared error of Cb and Cr (BT.601, full range), in shares of the declared range.

    A denoiser that washes colours out can still have a good PSNR; this number shows it.
    The estimate is clipped by default.
    """

    FAMILY: ClassVar[str] = "chroma-rmse"
    OPTIONS: ClassVar[tuple[Option, ...]] = (Option("coding", words=("bt601",)), LIMIT, CROP)

    coding: Annotated[Literal["bt601"] | None, "matrix of the colour differences"] = None
    limit: Limit | None = None
    crop: Crop = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "coding", "bt601")  # the name always says which matrix
        if self.limit == "clip":
            object.__setattr__(self, "limit", None)

    def picture(self, estimate: Tensor, truth: Tensor, data_range: Range) -> float:
        if truth.shape[0] != 3 or truth.is_complex():
            raise NotApplicable(
                f"the pictures have {truth.shape[0]} channels", wanted="3 real ones (RGB) for colour differences"
            )
        _, width = needs_range(data_range, self.FAMILY)
        estimate, truth = keep_limits(estimate, truth, data_range, self.limit or "clip")
        error = chroma_bt601(cut_border(estimate - truth, self.crop)) / width
        return math.sqrt(float(torch.mean(error.square())))


def peak_value(peak: float | str | None, pair: Prepared) -> float:
    """The largest signal a convention compares the error with."""
    if peak == "volume-max":
        most = float(pair.truth.max())
        if most <= 0:
            raise NotApplicable(
                f"the largest value of the truth is {most:.6g}", wanted="a positive one for 'volume-max'"
            )
        return most
    if peak is not None:
        return float(peak)
    if pair.width is None:
        raise NotApplicable(
            "the pictures have no declared range to take the peak from", do="Name it: peak=NUMBER or volume-max."
        )
    return pair.width
