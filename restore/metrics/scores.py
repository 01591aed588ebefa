"""Scores of pictures under named conventions, and how they are written: never a made-up number, never a NaN token."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from operators.common.errors import BadInput, MissingExtra, Unavailable

from . import DEFAULT_CONVENTIONS
from .base import Metric, Range
from .checks import check_pair, check_range
from .evidence import Evidence, NotApplicable
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
            scores[key] = _meant(metric.name, values)
    return scores


def appraise(evidence: Evidence, names: Mapping[str, str]) -> dict[str, Score]:
    """The scores of an answer by the keys of `names`, each from what it needs; None with a reason where it cannot be.

    An estimate that no comparison with the truth can be right for (its mean far outside the range, say) has none of
    them, with that reason: whatever made it is kept.
    """
    metrics = {key: parse(name) for key, name in names.items()}
    pairs = {key: metric.name for key, metric in metrics.items() if metric.NEEDS == ("truth",)}
    compared = _compared(evidence, pairs)
    return {key: compared[key] if key in pairs else _scored(metric, evidence) for key, metric in metrics.items()}


def _compared(evidence: Evidence, names: Mapping[str, str]) -> dict[str, Score]:
    """Scores of estimate and truth, all or none."""
    try:
        one, other = (_single(x) for x in (evidence.estimate, evidence.compared()))
        return evaluate(one, other, names, data_range=evidence.data_range)
    except BadInput as error:
        return {key: Score(name, None, str(error)) for key, name in names.items()}


def _scored(metric: Metric, evidence: Evidence) -> Score:
    try:
        values = tuple(metric.of(evidence).tolist())
    except (BadInput, Unavailable, MissingExtra) as error:
        return Score(metric.name, None, str(error))
    return _meant(metric.name, values)


def _meant(name: str, values: tuple[float, ...]) -> Score:
    """The mean over the batch."""
    return Score(name, sum(values) / len(values), None, values) if values else Score(name, None, "the batch is empty")


def _single(x: Tensor) -> Tensor:
    return x.to(torch.complex64 if x.is_complex() else torch.float32)


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
    numbers = [value for value in listed if value is not None]
    mean = sum(numbers) / len(numbers) if numbers else None
    return Summary(mean, ok=len(numbers), failed=len(listed) - len(numbers))


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
