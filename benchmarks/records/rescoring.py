"""Scores from kept estimates, under other conventions or by newer code, without running a method again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from operators.common.errors import BadInput
from restore.metrics import canonical

from ..cases import reopened
from ..cases.methods import Answer
from ..runs.work import score_rows
from .item import Item
from .store import Row, Store


@dataclass(frozen=True)
class Rescored:
    """rows: how many were scored again; without: rows that kept no estimate (`--estimates all` keeps every one)."""

    rows: int
    without: int


def rescore(store: Store, names: Sequence[str] = ()) -> Rescored:
    """Score all kept estimates of the latest run; names: further conventions, beside those each row has already."""
    wanted = [canonical(name) for name in names]
    problems = store.problems()
    done = without = 0
    for row in store.rows(store.last_run()["plan"]):
        if not row.ok:
            continue
        item = problems.get(row.problem)
        if item is not None and rescore_row(
            store, item, row, [*row.scores, *(n for n in wanted if n not in row.scores)]
        ):
            done += 1
        else:
            without += 1
    return Rescored(done, without)


def rescore_row(store: Store, item: Item, row: Row, names: Sequence[str]) -> bool:
    """Score the kept estimate of a row on its problem; False where it was not kept or is damaged."""
    try:
        arrays = store.estimate(row.key)
    except BadInput:
        return False
    if arrays is None or "estimate" not in arrays:
        return False
    estimate = torch.from_numpy(arrays["estimate"])[None]
    samples = torch.from_numpy(arrays["samples"])[:, None] if "samples" in arrays else estimate[None]
    case = reopened(item)
    scores = score_rows(case, case.restored(Answer(estimate, samples)), {n: n for n in names})
    # A score that cannot be had here (its network is on another machine) does not take the place of one that was.
    store.put_scores(row.key, [s for s in scores if s.value is not None or s.flag or not _is_scored(row, s.metric)])
    return True


def _is_scored(row: Row, metric: str) -> bool:
    score = row.scores.get(metric)
    return score is not None and (score.value is not None or bool(score.flag))
