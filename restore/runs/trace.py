"""The trace: one line of numbers for each state, of the first sample of each picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from torch import Tensor

from ..problem import Problem
from ..solvers.base import Mean, State

Row = Mapping[str, float]


def row(posed: Problem, state: State) -> dict[str, float]:
    """One line, in the picture's units. posed: the pictures; state: of a batch that begins with their first samples."""
    pictures = len(posed.y)
    numbers: dict[str, float] = {"step": float(state.step)}
    if state.sigma is not None:
        numbers["sigma"] = posed.scale * float(state.sigma)
    numbers["residual_rms"] = posed.y_scale * _rms(posed.residual(state.estimate[:pictures].detach()), posed)
    for key, value in state.info.items():
        numbers[key] = value.of(pictures) if isinstance(value, Mean) else float(value)
    return numbers


def _rms(residual: Tensor, posed: Problem) -> float:
    return float((residual.abs() ** 2).sum().div(max(posed.observed_count * len(residual), 1)).sqrt())


def merged(traces: Sequence[tuple[Sequence[Row], int]]) -> list[Row]:
    """The trace of pictures that ran in several batches: means over all pictures, root mean squares for residuals.

    traces: the rows of each batch and how many pictures it held. One that ended early counts with its last row.
    """
    if len(traces) == 1:
        return list(traces[0][0])
    steps = max((len(rows) for rows, _ in traces), default=0)
    aligned = [[(rows[min(step, len(rows) - 1)], count) for rows, count in traces if rows] for step in range(steps)]
    return [_mean(rows) for rows in aligned]


def _mean(rows: Sequence[tuple[Row, int]]) -> Row:
    total = max(sum(count for _, count in rows), 1)
    mean = {key: sum(row[key] * count for row, count in rows) / total for key in rows[0][0]}
    mean["step"] = max(row["step"] for row, _ in rows)
    mean["residual_rms"] = math.sqrt(sum(row["residual_rms"] ** 2 * count for row, count in rows) / total)
    return mean
