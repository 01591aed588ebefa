"""FID and KID of a leaderboard: one number for all pictures of a method, from the estimates that were kept.

A suite that names one of them keeps every estimate. Features are computed when the tables are written, and remembered
beside the estimates. Where there are too few pictures, or the network cannot be had, the cell is empty and says why.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from operators.common.errors import RestoreError
from restore.metrics import distribution, parse
from restore.metrics.population import Population

from ..records.store import Row, Store, read_arrays, write_arrays
from .statistics import Cell, Interval, Line


def fill(lines: Sequence[Line], rows: Sequence[Row], store: Store) -> list[Line]:
    """The lines with the cells of distances between sets of pictures filled in."""
    filled = []
    for line in lines:
        cells = dict(line.cells)
        for name, cell in line.cells.items():
            metric = _population(name)
            if metric is not None and line.images:
                cells[name] = _cell(cell, metric, _own(line, rows), store)
        filled.append(dataclasses.replace(line, cells=cells))
    return filled


def _population(name: str) -> Population | None:
    if name.partition("[")[0] not in ("fid", "kid"):
        return None
    metric = parse(name)
    return metric if isinstance(metric, Population) else None


def _own(line: Line, rows: Sequence[Row]) -> list[Row]:
    """The finished rows behind a line."""
    same = (line.kind, line.task, line.data_set, line.method)
    return [row for row in rows if row.ok and (row.kind, row.task, row.data_set, row.method) == same]


def _cell(cell: Cell, metric: Population, rows: list[Row], store: Store) -> Cell:
    pictures = {row.image: row for row in rows}
    try:
        if len(pictures) < metric.least:
            reason = f"{len(pictures)} pictures, and {metric.FAMILY} needs {metric.least}"
            return dataclasses.replace(cell, value=Interval(None), missing=len(pictures), reason=reason)
        kept = [row for row in rows if store.estimate_path(row.key).is_file()]
        if len(kept) < len(rows):
            reason = f"{len(rows) - len(kept)} of {len(rows)} estimates were not kept (--estimates all keeps every one)"
            return dataclasses.replace(cell, value=Interval(None), missing=len(pictures), reason=reason)
        both = [_features(row, store) for row in kept]
        # Seeds are further estimates of a picture; its truth counts once.
        truths = {row.image: truth for row, (_, truth) in zip(kept, both, strict=True)}
        value = metric.distance(torch.stack([one for one, _ in both]), torch.stack(list(truths.values())))
    except RestoreError as error:
        return dataclasses.replace(cell, value=Interval(None), missing=len(pictures), reason=str(error))
    return dataclasses.replace(
        cell, value=Interval(value), gain=Interval(None), verdict="", images=len(pictures), missing=0, reason=""
    )


def _features(row: Row, store: Store) -> tuple[Tensor, Tensor]:
    """Features of a kept estimate and of its truth, clipped to [0, 1], gray repeated."""
    path = store.folder / "features" / f"{row.key}.h5"
    if not path.is_file() or path.stat().st_mtime_ns < store.estimate_path(row.key).stat().st_mtime_ns:
        arrays = read_arrays(store.estimate_path(row.key))
        shown = [_shown(torch.from_numpy(arrays[name])) for name in ("estimate", "truth")]
        one, other = distribution.inception_features(shown).float().numpy()
        write_arrays(Path(path), {"estimate": one, "truth": other})
    stored: dict[str, Any] = read_arrays(path)
    return torch.from_numpy(stored["estimate"]), torch.from_numpy(stored["truth"])


def _shown(picture: Tensor) -> Tensor:
    clipped = picture.clamp(0, 1)
    return clipped.expand(3, *clipped.shape[1:]) if clipped.shape[0] == 1 else clipped
