"""Scores of pictures under named conventions, and how they are written: never a made-up number, never a NaN token."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from operators.common.errors import BadInput, MissingExtra, Unavailable

from . import DEFAULT_CONVENTIONS
from .base import NotApplicable, Range
from .checks import check_pair, check_range
from .names import parse

DEFAULT_NAMES = {family: DEFAULT_CONVENTIONS[family] for family in ("psnr", "ssim", "lpips")}

INFINITE, MINUS_INFINITE, NOT_A_NUMBER = "infinite", "minus-infinite", "not-a-number"
_FLAGS = {INFINITE: math.inf, MINUS_INFINITE: -math.inf, NOT_A_NUMBER: math.nan}


@dataclass(frozen=True)
class Score:
    """One metric over a batch.

    metric: canonical name. value: mean over the batch, None where the metric cannot be computed; reason: why
    not, in one sentence that ends with what to do. values: the score of each entry, empty where value is None.
    """

    metric: str
    value: float | None
    reason: str | None = None
    values: tuple[float, ...] = ()


@dataclass(frozen=True)
class Summary:
    """A mean that says over how many pictures it was taken and how many have no score."""

    mean: float | None
    ok: int
    failed: int

    def __str__(self) -> str:
        mean = "-" if self.mean is None else f"{self.mean:.4g}"
        return f"{mean} (n = {self.ok}{f', {self.failed} failed' if self.failed else ''})"


def evaluate(
    estimate: Tensor, truth: Tensor, names: Sequence[str] | Mapping[str, str], *, data_range: Range = (0.0, 1.0)
) -> dict[str, Score]:
    """The scores of a batch under each convention.

    estimate, truth: B x C x H x W (or B x C x D x H x W), same shape, finite. names: conventions, or a table of them
    under shorter keys (`{"psnr": "psnr[y601,crop=4]"}`); the result has the same keys. data_range: see `Metric`.
    BadInput for input that no number can be right for (shapes, NaN, range, unknown names). A metric that is not defined
    for such pictures, or whose network cannot be had, has the value None and a reason; the others are computed.
    """
    check_pair(estimate, truth)
    check_range(data_range)
    table = dict(names) if isinstance(names, Mapping) else {name: name for name in names}
    metrics = {key: parse(name) for key, name in table.items()}
    scores = {}
    for key, metric in metrics.items():
        try:
            values = tuple(metric(estimate, truth, data_range=data_range).tolist())
        except (NotApplicable, Unavailable, MissingExtra) as error:
            scores[key] = Score(metric.name, None, str(error))
        else:
            mean = sum(values) / len(values) if values else None
            scores[key] = Score(metric.name, mean, None if values else "the batch is empty", values)
    return scores


def score_pair(
    estimate: Tensor,
    truth: Tensor,
    names: Sequence[str] | Mapping[str, str] = DEFAULT_NAMES,
    *,
    data_range: Range = (0.0, 1.0),
) -> dict[str, Score]:
    """The scores of two pictures (H x W, C x H x W, or a batch of one); otherwise as `evaluate`."""
    batches = []
    for what, x in (("estimate", estimate), ("truth", truth)):
        if x.ndim < 2:
            raise BadInput(f"{what} has shape {tuple(x.shape)}", wanted="a picture, C x H x W")
        batches.append(x.reshape(1, 1, *x.shape) if x.ndim == 2 else x[None] if x.ndim == 3 else x)
    return evaluate(batches[0], batches[1], names, data_range=data_range)


def summarize(values: Iterable[float | None]) -> Summary:
    """The mean of the scores that are there, and how many are not (None)."""
    listed = list(values)
    known = [value for value in listed if value is not None]
    mean = sum(known) / len(known) if known else None
    return Summary(mean, ok=len(known), failed=len(listed) - len(known))


def to_json(value: float | None) -> tuple[float | None, str | None]:
    """A number as JSON can hold it, and a flag where it cannot: inf -> (None, "infinite")."""
    if value is None or math.isfinite(value):
        return value, None
    if math.isnan(value):
        return None, NOT_A_NUMBER
    return None, INFINITE if value > 0 else MINUS_INFINITE


def from_json(value: float | None, flag: str | None) -> float | None:
    """The number that `to_json` wrote."""
    return value if flag is None else _FLAGS[flag]


def as_metrics_json(scores: Mapping[str, Score]) -> dict[str, Any]:
    """The part of `metrics.json` that scores fill: one number or null per key, `conventions`, `reasons`, `flags`.

    An infinite value is null with the flag "infinite"; `flags` is left out where it would be empty.
    """
    numbers: dict[str, float | None] = {}
    reasons: dict[str, str] = {}
    flags: dict[str, str] = {}
    for key, score in scores.items():
        numbers[key], flag = to_json(score.value)
        if flag is not None:
            flags[key] = flag
            reasons[key] = "infinite: the pictures are equal" if flag == INFINITE else flag
        elif score.value is None:
            reasons[key] = score.reason or "not computed"
    conventions = {key: score.metric for key, score in scores.items()}
    return {**numbers, "conventions": conventions, "reasons": reasons, **({"flags": flags} if flags else {})}
