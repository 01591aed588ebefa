"""What every metric shares: one picture at a time, refusals before numbers, the options of colour, range and border."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor

from operators.common.errors import BadInput
from operators.common.settings import Checked, Natural

from .checks import check_inside, check_pair, check_range, range_text
from .colour import luma_bt601
from .convention import Option, spell
from .directions import Measure
from .evidence import Evidence, Need, NotApplicable

Range = tuple[float, float] | None

Space = Annotated[
    Literal["any", "rgb", "y601", "magnitude"], "channels as they are, 1 or 3 of them, their luma, or their magnitudes"
]
Limit = Annotated[
    Literal["refuse", "clip", "round8", "unclipped"], "what is done with an estimate outside the declared range"
]
Crop = Annotated[Natural, "border pixels left out at each side"]

SPACE = Option("space", words=("any", "rgb", "y601", "magnitude"))
LIMIT = Option("limit", words=("refuse", "clip", "round8", "unclipped"))
CROP = Option("crop", key="crop", number=int)
FLIP = Option("flip", words=("flip",))

# A value may leave its range by this share of the width: the rounding of float32 arithmetic, not an overshoot.
_ROUNDING = 1e-5
# Clipping mends an overshoot, not a wrong unit: a mean further outside than this share of the width is refused.
_MEAN_SLACK = 0.1


@dataclass(frozen=True)
class Metric(Checked):
    """A number for each picture under a fixed convention; entries of a batch never touch each other.

    NEEDS: what it asks of the evidence. HIGHER_IS_BETTER, TARGET: which way is up, or the value that is right. A metric
    of two pictures implements `picture`; one that asks for anything else implements `of`.
    """

    FAMILY: ClassVar[str] = ""
    UNIT: ClassVar[str] = ""
    NEEDS: ClassVar[tuple[Need, ...]] = ("truth",)
    HIGHER_IS_BETTER: ClassVar[bool] = False
    TARGET: ClassVar[float | None] = None
    OPTIONS: ClassVar[tuple[Option, ...]] = ()

    @property
    def name(self) -> str:
        """The canonical name, from which `parse` builds an equal metric."""
        defaults = {f.name: f.default for f in dataclasses.fields(self)}
        return spell(self.FAMILY, self.OPTIONS, dataclasses.asdict(self), defaults)

    @property
    def measure(self) -> Measure:
        """Whether more or less is better, or which value is right."""
        return Measure(higher=self.HIGHER_IS_BETTER, target=self.TARGET)

    def of(self, evidence: Evidence) -> Tensor:
        """The score of each batch entry, B numbers in float64; NotApplicable where what it needs is not there."""
        return self(evidence.estimate, evidence.compared(), data_range=evidence.data_range)

    def __call__(self, estimate: Tensor, truth: Tensor, *, data_range: Range = (0.0, 1.0)) -> Tensor:
        """The score of each batch entry, B numbers in float64 on the CPU.

        estimate, truth: B x C x H x W (some metrics take volumes B x C x D x H x W), same shape, floating point,
        finite. data_range: lowest and highest legal value of the truth in the picture's units, None where there are
        none. BadInput where shapes differ, a value is not finite, or the range is left (unless the convention clips);
        NotApplicable where the metric is not defined for such pictures; BadType for anything but floating point.
        """
        check_pair(estimate, truth)
        check_range(data_range)
        with torch.inference_mode():
            pairs = zip(_plain(estimate), _plain(truth), strict=True)
            values = [self.picture(self._placed(one, other), other, data_range) for one, other in pairs]
        return torch.tensor(values, dtype=torch.float64, device="cpu")

    def picture(self, estimate: Tensor, truth: Tensor, data_range: Range) -> float:
        """The score of one pair, C x ..., double precision on the CPU."""
        needs = " and ".join(self.NEEDS)
        raise NotApplicable(f"{self.FAMILY} is no function of two pictures: it needs {needs}", do="Use Metric.of.")

    def _placed(self, estimate: Tensor, truth: Tensor) -> Tensor:
        """The estimate as it is laid on the truth (both C x ...)."""
        return estimate


@dataclass(frozen=True)
class Turnable(Metric):
    """A score that may forgive a half turn, which some measurements (the size of a spectrum) leave open."""

    flip: Annotated[
        Literal["flip"] | None, "scores the estimate or its point reflection, whichever is nearer the truth"
    ] = None

    def _placed(self, estimate: Tensor, truth: Tensor) -> Tensor:
        return estimate if self.flip is None else nearer(estimate, truth)


@dataclass(frozen=True)
class Prepared:
    """A pair ready for arithmetic: colours chosen, limits kept, border cut; `width` of the legal range or None."""

    estimate: Tensor
    truth: Tensor
    width: float | None


def prepare(estimate: Tensor, truth: Tensor, data_range: Range, *, space: Space, limit: Limit, crop: int) -> Prepared:
    """One pair (C x ...) in the colour space, range and border of a convention."""
    if space == "magnitude":
        estimate, truth = estimate.abs(), truth.abs()
    elif truth.is_complex():
        raise NotApplicable(
            "the pictures are complex", do="Name a convention of magnitudes, such as psnr[magnitude,volume-max]."
        )
    if space in ("rgb", "y601") and truth.shape[0] not in (1, 3):
        raise NotApplicable(f"the pictures have {truth.shape[0]} channels", wanted=f"1 or 3 for {space!r}")
    estimate, truth = keep_limits(estimate, truth, data_range, limit)
    width = None if data_range is None else data_range[1] - data_range[0]
    if space == "y601" and truth.shape[0] == 3:
        low, width = needs_range(data_range, "y601")
        # Luma of stored pictures: codes of 0..1, whatever the declared range was.
        estimate, truth, width = luma_bt601((estimate - low) / width), luma_bt601((truth - low) / width), 1.0
    return Prepared(cut(estimate, crop), cut(truth, crop), width)


def nearer(estimate: Tensor, truth: Tensor) -> Tensor:
    """The estimate or its point reflection (conjugated where complex), by the squared error of the whole picture.

    estimate, truth: C x ... x H x W. Complex pictures are compared by magnitude: lost phases leave theirs open too.
    Neither colours, limits nor borders of a convention matter here, so that all scores of a picture choose alike.
    """
    turned = estimate.flip(tuple(range(1, estimate.ndim))).conj()
    values = (estimate.abs(), turned.abs(), truth.abs()) if truth.is_complex() else (estimate, turned, truth)
    as_is, half_turn = (float((x - values[2]).square().sum()) for x in values[:2])
    return turned if half_turn < as_is else estimate


def keep_limits(estimate: Tensor, truth: Tensor, data_range: Range, limit: Limit) -> tuple[Tensor, Tensor]:
    """The pair, with the estimate clipped (and rounded) where the convention says so, else BadInput out of range."""
    if data_range is None:
        if limit in ("clip", "round8"):
            raise NotApplicable(f"the convention has {limit!r}, and the pictures have no declared range")
        return estimate, truth
    low, high = data_range
    slack = _ROUNDING * (high - low)
    check_inside(truth, low - slack, high + slack, "the truth", data_range, "Check its units.")
    if limit == "refuse":
        do = "Clip it, or name a convention that does, such as psnr[rgb,clip,peak=1]."
        check_inside(estimate, low - slack, high + slack, "the estimate", data_range, do)
        return estimate, truth
    mean, far = float(estimate.mean()), _MEAN_SLACK * (high - low)
    if not low - far <= mean <= high + far:
        raise BadInput(
            f"the mean of the estimate is {mean:.6g}",
            wanted=f"a picture in {range_text(data_range)}",
            do="Check its units.",
        )
    if limit == "unclipped":
        return estimate, truth
    estimate = estimate.clamp(low, high)
    if limit == "round8":
        estimate, truth = (
            low + torch.round((x - low) / (high - low) * 255) / 255 * (high - low) for x in (estimate, truth)
        )
    return estimate, truth


def needs_range(data_range: Range, what: str) -> tuple[float, float]:
    """Lowest value and width of the range; NotApplicable where none is declared."""
    if data_range is None:
        raise NotApplicable(f"{what!r} needs the range of the pictures, and none is declared")
    return data_range[0], data_range[1] - data_range[0]


def cut(x: Tensor, crop: int) -> Tensor:
    """The picture (C x ... x H x W) without `crop` pixels at each side."""
    if crop == 0:
        return x
    if min(x.shape[-2:]) <= 2 * crop:
        smallest = 2 * crop + 1
        raise NotApplicable(
            f"a picture of {_size(x)} has nothing left after crop={crop}", wanted=f"at least {smallest}x{smallest}"
        )
    return x[..., crop:-crop, crop:-crop]


def _plain(x: Tensor) -> Tensor:
    kind = torch.complex128 if x.is_complex() else torch.float64
    return x.detach().to(device="cpu", dtype=kind)


def _size(x: Tensor) -> str:
    return f"{x.shape[-2]}x{x.shape[-1]}"
