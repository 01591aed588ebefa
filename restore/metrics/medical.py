"""Scores that MRI and CT papers report: HFEN, NMSE, RMSE in Hounsfield units."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor

from .base import CROP, Crop, Metric, Range, cut
from .convention import Option
from .evidence import NotApplicable

LOG_SIZE, LOG_SIGMA = 15, 1.5
AIR_HU = -900.0


@dataclass(frozen=True)
class HFEN(Metric):
    """High-frequency error norm: |LoG(x) - LoG(t)| / |LoG(t)| with a rotation-symmetric Laplacian of Gaussian.

    S. Ravishankar, Y. Bresler 2011, doi:10.1109/TMI.2010.2090538. The filter has 15 x 15 taps of standard
    deviation 1.5 that sum to zero; positions where it lies inside the picture. Complex pictures: their magnitudes.
    """

    FAMILY: ClassVar[str] = "hfen"
    OPTIONS: ClassVar[tuple[Option, ...]] = (Option("filter", words=("log1.5",)), CROP)

    filter: Annotated[Literal["log1.5"] | None, "Laplacian of Gaussian"] = None
    crop: Crop = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "filter", "log1.5")

    def picture(self, estimate: Tensor, truth: Tensor, data_range: Range) -> float:
        if truth.ndim != 3 or min(truth.shape[-2:]) < LOG_SIZE + 2 * self.crop:
            raise NotApplicable(f"a picture of shape {tuple(truth.shape)}", wanted=f"sides of at least {LOG_SIZE}")
        one, other = (log_filter(cut(x.abs() if x.is_complex() else x, self.crop)) for x in (estimate, truth))
        size = float(other.norm())
        if size == 0:
            raise NotApplicable("the truth has no high frequencies: its HFEN is not defined")
        return float((one - other).norm()) / size


@dataclass(frozen=True)
class NMSE(Metric):
    """|x - t|^2 / |t|^2 over a whole picture or volume, as fastMRI reports it (J. Zbontar et al. 2018, eq. 16)."""

    FAMILY: ClassVar[str] = "nmse"
    OPTIONS: ClassVar[tuple[Option, ...]] = (Option("space", words=("any", "magnitude")), CROP)

    space: Annotated[Literal["any", "magnitude"], "values as they are, complex ones too, or magnitudes"] = "any"
    crop: Crop = 0

    def picture(self, estimate: Tensor, truth: Tensor, data_range: Range) -> float:
        one, other = (cut(x.abs() if self.space == "magnitude" else x, self.crop) for x in (estimate, truth))
        size = float(other.abs().square().sum())
        if size == 0:
            raise NotApplicable("the truth is zero: its NMSE is not defined")
        return float((one - other).abs().square().sum()) / size


@dataclass(frozen=True)
class RMSEHU(Metric):
    """Root mean squared error in Hounsfield units, of pictures that are in them."""

    FAMILY: ClassVar[str] = "rmse-hu"
    UNIT: ClassVar[str] = "HU"
    OPTIONS: ClassVar[tuple[Option, ...]] = (Option("region", words=("all", "body")), CROP)

    region: Annotated[Literal["all", "body"] | None, "pixels; body: of the truth above -900 HU"] = None
    crop: Crop = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "region", self.region or "all")

    def picture(self, estimate: Tensor, truth: Tensor, data_range: Range) -> float:
        if data_range is None or data_range[1] - data_range[0] < 500 or truth.is_complex():
            raise NotApplicable("the pictures are not in Hounsfield units", do="Use rmse for pictures in other units.")
        one, other = cut(estimate, self.crop), cut(truth, self.crop)
        counted = other > AIR_HU if self.region == "body" else torch.ones_like(other, dtype=torch.bool)
        if not bool(counted.any()):
            raise NotApplicable("no pixel of the truth lies above -900 HU")
        return math.sqrt(float((one - other)[counted].square().mean()))


def log_filter(x: Tensor) -> Tensor:
    """Laplacian of Gaussian of C x H x W, valid part only."""
    offsets = torch.arange(LOG_SIZE, dtype=x.dtype) - LOG_SIZE // 2
    squares = offsets[:, None] ** 2 + offsets[None] ** 2
    gauss = torch.exp(-squares / (2 * LOG_SIGMA**2))
    kernel = gauss * (squares - 2 * LOG_SIGMA**2) / (LOG_SIGMA**4 * gauss.sum())
    kernel = kernel - kernel.mean()
    return torch.nn.functional.conv2d(x[:, None], kernel[None, None])[:, 0]
