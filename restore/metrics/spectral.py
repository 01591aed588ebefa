"""Scores of pictures with many bands: spectral angle and ERGAS."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor

from operators.common.settings import Positive

from .base import CROP, Crop, Metric, Range, cut
from .convention import Option
from .evidence import NotApplicable


@dataclass(frozen=True)
class SAM(Metric):
    """Mean angle between the spectra of estimate and truth, over pixels whose two spectra are not zero.

    R. H. Yuhas, A. F. H. Goetz, J. W. Boardman 1992: arccos of the normalised inner product. Blind to
    brightness.
    """

    FAMILY: ClassVar[str] = "sam"
    OPTIONS: ClassVar[tuple[Option, ...]] = (Option("unit", words=("degrees", "radians")), CROP)

    unit: Annotated[Literal["degrees", "radians"] | None, "of the angle; none: degrees"] = None
    crop: Crop = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "unit", self.unit or "degrees")

    def picture(self, estimate: Tensor, truth: Tensor, data_range: Range) -> float:
        one, other = _bands(estimate, truth, self.crop, self.FAMILY)
        norms = one.norm(dim=0), other.norm(dim=0)
        counted = (norms[0] > 0) & (norms[1] > 0)
        if not bool(counted.any()):
            raise NotApplicable("all spectra are zero: no angle is defined")
        # atan2 of the two half-angle chords: arccos loses half its digits where spectra are nearly parallel.
        a, b = (x[:, counted] / n[counted] for x, n in zip((one, other), norms, strict=True))
        angle = 2 * torch.atan2((a - b).norm(dim=0), (a + b).norm(dim=0))
        mean = float(angle.mean())
        return math.degrees(mean) if self.unit == "degrees" else mean


@dataclass(frozen=True)
class ERGAS(Metric):
    """100 ratio sqrt(mean over bands of (RMSE of the band / mean of the true band)^2); 0 for equal pictures.

    L. Wald 2000, "Quality of high resolution synthesised images".
    """

    FAMILY: ClassVar[str] = "ergas"
    OPTIONS: ClassVar[tuple[Option, ...]] = (Option("ratio", key="ratio", number=float), CROP)

    ratio: Annotated[
        Positive | None, "size of a fine pixel over that of a coarse one; 1, as none, where nothing was enlarged"
    ] = None
    crop: Crop = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "ratio", 1.0 if self.ratio is None else float(self.ratio))

    def picture(self, estimate: Tensor, truth: Tensor, data_range: Range) -> float:
        one, other = _bands(estimate, truth, self.crop, self.FAMILY)
        means = other.flatten(1).mean(1)
        if bool((means == 0).any()):
            raise NotApplicable("a band of the truth has mean 0: its relative error is not defined")
        relative = (one - other).flatten(1).square().mean(1) / means**2
        return 100 * float(self.ratio or 1.0) * math.sqrt(float(relative.mean()))


def _bands(estimate: Tensor, truth: Tensor, crop: int, family: str) -> tuple[Tensor, Tensor]:
    if truth.ndim != 3 or truth.is_complex() or truth.shape[0] < 2:
        raise NotApplicable(f"pictures of shape {tuple(truth.shape)}", wanted=f"two real bands or more for {family}")
    return cut(estimate, crop), cut(truth, crop)
