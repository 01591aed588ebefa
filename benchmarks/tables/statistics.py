"""From rows to a table that says no more than the rows do.

Every method of a task sees the same measurement of a picture, so methods are compared picture by picture: the mean of
the paired differences to the baseline, with a bootstrap interval over pictures (B. Efron, R. Tibshirani 1993, section
13.3, percentiles). An interval that holds zero is "not distinguishable". Seeds of one picture are averaged first, for
they are no independent pictures. A method that failed on a picture has no rank: ranks need equal sets.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from operators.common import outside
from restore.metrics.directions import family, finite, measure

from ..records.item import BASELINE, REFERENCE, SUBMITTED
from ..records.store import Row

RESAMPLES = 2000
LEVEL = 0.95
LEAST = 6  # pictures: if all of five agree by chance, 2^-4 > 1 - LEVEL, so five cannot tell anything at this level
BETTER, WORSE, SAME, UNKNOWN = "better", "worse", "not distinguishable", "unknown"


@dataclass(frozen=True)
class Interval:
    """A mean over pictures with its bootstrap interval; low and high are None for fewer than LEAST pictures."""

    mean: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Cell:
    """One score of one method. images: pictures it was taken over; missing: pictures without it, with the first reason.

    gain: paired difference to the baseline over the pictures that both have, in the score's own unit. verdict: of the
    gain. infinite: pictures with an infinite score, which no mean holds.
    """

    metric: str
    value: Interval
    gain: Interval
    verdict: str
    images: int
    missing: int = 0
    infinite: int = 0
    reason: str = ""


@dataclass(frozen=True)
class Line:
    """One method on one task and set. rank: by the first metric, None where sets are unequal; tied: with the best."""

    kind: str
    task: str
    data_set: str
    method: str
    role: str
    solver: str
    prior: str
    parameters: str
    seeds: int
    draws: int
    images: int
    failed: int
    cells: Mapping[str, Cell]
    nfe: float | None
    seconds: float | None
    memory_mb: float | None
    network_share: float | None
    rank: int | None = None
    tied: bool = False
    unranked: str = ""
    reasons: tuple[str, ...] = ()
    keys: Mapping[str, str] = field(default_factory=dict, repr=False)


def summarise(rows: Iterable[Row], *, intersect: bool = False) -> list[Line]:
    """One line per task, set and method; tasks in the order in which they come, methods by rank.

    intersect: rank methods over the pictures that all of them have, where some failed.
    """
    groups: dict[tuple[str, str, str], dict[str, list[Row]]] = {}
    for row in rows:
        groups.setdefault((row.kind, row.task, row.data_set), {}).setdefault(row.method, []).append(row)
    lines: list[Line] = []
    for names, methods in groups.items():
        group = _group(names, methods, intersect=intersect)
        lines += sorted(group, key=lambda line: (line.rank is None, line.rank or 0))
    return lines


def _group(names: tuple[str, str, str], methods: Mapping[str, list[Row]], *, intersect: bool) -> list[Line]:
    images = list(dict.fromkeys(row.image for rows in methods.values() for row in rows))
    place = {image: k for k, image in enumerate(images)}
    metrics = list(dict.fromkeys(name for rows in methods.values() for row in rows for name in row.scores))
    tables = {name: _table(rows, metrics, place) for name, rows in methods.items()}
    base = next((tables[name] for name, rows in methods.items() if rows[0].role == BASELINE), None)
    lines = []
    for name, rows in methods.items():
        cells = {}
        for column, metric in enumerate(metrics):
            own = tables[name][:, column]
            other = None if base is None else base[:, column]
            cells[metric] = _cell(metric, own, other, rows, is_base=base is tables[name])
        lines.append(_line(names, name, rows, cells))
    return _ranked(lines, tables, metrics, intersect=intersect)


def _table(rows: Sequence[Row], metrics: Sequence[str], place: Mapping[str, int]) -> np.ndarray:
    """images x metrics: the mean over seeds, NaN where any seed has none."""
    sums = np.zeros((len(place), len(metrics)))
    counts = np.zeros((len(place), 1))
    for row in rows:
        k = place[row.image]
        counts[k] += 1
        scores = row.scores if row.ok else {}
        sums[k] += [_value(scores.get(metric)) for metric in metrics]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(sums / counts)


def _value(score: Any) -> float:
    if score is None:
        return math.nan
    if score.flag == "infinite":
        return math.inf
    return math.nan if score.value is None else float(score.value)


def _cell(metric: str, own: np.ndarray, base: np.ndarray | None, rows: Sequence[Row], *, is_base: bool) -> Cell:
    good = own[np.isfinite(own)]
    gain = Interval(None)
    verdict = ""
    if base is not None and not is_base:
        both = np.isfinite(own) & np.isfinite(base)
        gain = interval(own[both] - base[both])
        there = ~np.isnan(own) & ~np.isnan(base)
        verdict = judge(metric, own[there], base[there])
    reasons = [s.reason for row in rows if (s := row.scores.get(metric)) is not None and s.reason]
    infinite = int(np.isinf(own).sum())
    return Cell(
        metric,
        interval(good),
        gain,
        verdict,
        images=len(good),
        missing=int(np.isnan(own).sum()),
        infinite=infinite,
        reason=reasons[0] if reasons and len(good) < len(own) - infinite else "",
    )


def judge(metric: str, own: np.ndarray, base: np.ndarray) -> str:
    """Whether paired scores differ: better, worse, not distinguishable, or unknown for fewer than LEAST pictures."""
    difference = interval(np.subtract(*_bounded(_goodness(metric, own), _goodness(metric, base))))
    if difference.low is None or difference.high is None:
        return UNKNOWN
    return BETTER if difference.low > 0 else WORSE if difference.high < 0 else SAME


def _goodness(metric: str, values: np.ndarray) -> np.ndarray:
    """`Measure.goodness` of many."""
    up = measure(metric)
    if up.target is not None:
        return -np.abs(values - up.target)
    return values if up.higher else -values


def _bounded(*columns: np.ndarray) -> list[np.ndarray]:
    """The same scores with a number for infinity: by far better than any finite one, and equal to itself.

    No difference and no mean exists with infinity itself, and an exact estimate is better than any other.
    """
    finite_ones = np.concatenate([column[np.isfinite(column)] for column in columns])
    far = 10 * (1 + np.abs(finite_ones).max(initial=0.0))
    return [np.clip(column, -far, far) for column in columns]


def interval(values: np.ndarray) -> Interval:
    """Mean and percentile bootstrap interval over pictures; the resamples are the same for all methods.

    Not scipy.stats.bootstrap: it interpolates the ends, which moves kept tables, and takes 50 times as long per cell.
    """
    count = len(values)
    if count == 0:
        return Interval(None)
    mean = float(np.mean(values))
    if count < LEAST:
        return Interval(mean)
    means = _weights(count) @ values
    means.sort()
    tail = (1 - LEVEL) / 2
    low, high = means[math.floor(tail * (RESAMPLES - 1))], means[math.ceil((1 - tail) * (RESAMPLES - 1))]
    return Interval(mean, float(low), float(high))


@lru_cache(maxsize=64)
def _weights(count: int) -> np.ndarray:
    """How often each picture is drawn in each resample, over their number (RESAMPLES x count); always the same."""
    generator = np.random.Generator(np.random.PCG64(count))
    drawn = generator.integers(0, count, size=(RESAMPLES, count))
    flat = drawn + count * np.arange(RESAMPLES)[:, None]
    return np.bincount(flat.ravel(), minlength=RESAMPLES * count).reshape(RESAMPLES, count) / count


def _line(names: tuple[str, str, str], method: str, rows: Sequence[Row], cells: Mapping[str, Cell]) -> Line:
    kind, task, data_set = names
    good = [row for row in rows if row.ok]
    images = {row.image for row in rows}
    broken = {row.image for row in rows if not row.ok}
    # What a submitter did not claim is unknown, not zero.
    seconds = _mean([row.seconds for row in good if row.seconds or row.role != SUBMITTED])
    network = _mean([row.network_seconds for row in good])
    first = rows[0]
    return Line(
        kind=kind,
        task=task,
        data_set=data_set,
        method=method,
        role=first.role,
        solver=first.solver,
        prior=first.prior,
        parameters=first.parameters,
        seeds=len({row.seed for row in rows}),
        draws=max(row.samples for row in rows),
        images=len(images) - len(broken),
        failed=len(broken),
        cells=cells,
        nfe=_mean([row.nfe for row in good if row.nfe or row.role != SUBMITTED]),
        seconds=seconds,
        memory_mb=max((row.memory_mb for row in good if row.memory_mb), default=None),
        network_share=None if not seconds or network is None else network / seconds,
        reasons=tuple(dict.fromkeys(row.reason for row in rows if row.reason)),
        keys={row.image: row.key for row in sorted(rows, key=lambda r: -r.seed)},
    )


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _ranked(
    lines: list[Line], tables: Mapping[str, np.ndarray], metrics: Sequence[str], *, intersect: bool
) -> list[Line]:
    """The lines with ranks by the first metric that any method has; a reference (exact draws, say) has none."""
    import dataclasses

    column = next((c for c in range(len(metrics)) if any(np.isfinite(t[:, c]).any() for t in tables.values())), None)
    if column is None:
        return [dataclasses.replace(line, unranked="no scores") for line in lines]
    own = {line.method: tables[line.method][:, column] for line in lines}
    whole = {m: bool((np.isfinite(v) | np.isinf(v)).all()) for m, v in own.items()}
    kept = np.ones(len(next(iter(own.values()))), dtype=bool)
    if intersect:
        for values in own.values():
            kept &= ~np.isnan(values)
    rankable = [m for m in own if (intersect and kept.any()) or whole[m]]
    roles = {line.method: line.role for line in lines}
    twins = _twins(lines, tables)
    rankable = [m for m in rankable if roles[m] != REFERENCE and m not in twins]
    bounded = _bounded(*(_goodness(metrics[column], own[m][kept]) for m in rankable)) if rankable else []
    means = {m: float(np.mean(values)) for m, values in zip(rankable, bounded, strict=True)}
    order = sorted(means, key=lambda m: -means[m])
    best = order[0] if order else ""
    ranked = []
    for line in lines:
        if line.role == REFERENCE:
            ranked.append(dataclasses.replace(line, unranked="reference"))
        elif line.method in twins:
            ranked.append(dataclasses.replace(line, unranked=f"the baseline itself, {twins[line.method]}"))
        elif line.method not in means:
            have = int((~np.isnan(own[line.method])).sum())
            ranked.append(dataclasses.replace(line, unranked=f"{have} of {len(kept)} pictures: not ranked"))
        else:
            tied = line.method != best and judge(metrics[column], own[line.method][kept], own[best][kept]) in (
                SAME,
                UNKNOWN,
            )
            rank = 1 + sum(means[m] > means[line.method] for m in means)
            note = f"over the {int(kept.sum())} pictures that all methods have" if intersect and not kept.all() else ""
            ranked.append(dataclasses.replace(line, rank=rank, tied=tied, unranked=note))
    return ranked


def _twins(lines: Sequence[Line], tables: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Methods that are the task's baseline under their own name: the same solver with the same scores throughout."""
    base = next((line for line in lines if line.role == BASELINE), None)
    if base is None:
        return {}
    scores = tables[base.method]
    return {
        line.method: base.method
        for line in lines
        if line is not base
        and line.solver == base.solver
        and np.array_equal(tables[line.method], scores, equal_nan=True)
    }


def by_family(line: Line) -> dict[str, Cell]:
    """A line's cells under short names: psnr, ssim, lpips, chi2, ...; a second convention keeps its full name."""
    cells: dict[str, Cell] = {}
    for metric, cell in line.cells.items():
        short = family(metric)
        cells[metric if short in cells else short] = cell
    return cells


def settings_text(line: Line) -> str:
    """The settings of a method in one line."""
    table = outside.json_value(line.parameters, where=f"the settings of {line.method!r}")
    return ", ".join(f"{key}={value}" for key, value in table.items())


__all__ = ["Cell", "Interval", "Line", "by_family", "finite", "interval", "judge", "settings_text", "summarise"]
