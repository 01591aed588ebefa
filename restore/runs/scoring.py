"""Scores of files: two pictures, or two folders whose files are paired by stem."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from operators import BadInput

from .. import io
from ..metrics import as_metrics_json, parse, score_pair, summarize

SCHEMA = 1


def score_paths(
    estimate: Path, truth: Path, names: Sequence[str], *, reading: Mapping[str, Any], allow_missing: bool = False
) -> dict[str, Any]:
    """The table that `restore score --json` prints (keys of metrics.json), with `notes` for the error stream.

    names: metric conventions. reading: array options for both files. For folders `images` holds each picture's scores
    and the top level their means, with `counts` of the pictures they were taken over. BadInput where the paths do not
    match.
    """
    keys = _keys(names)
    for path in (estimate, truth):
        if not path.exists():
            raise BadInput(f"{path} does not exist", do="Check the path.")
    single = io.holds_one(estimate)
    if single != io.holds_one(truth):
        raise BadInput(f"{estimate} and {truth} are a file and a folder", wanted="two files or two folders")
    if single:
        return _pair(estimate, truth, keys, reading)
    matched = io.pair_by_stem(estimate, truth, allow_missing=allow_missing)
    rows: list[dict[str, Any]] = []
    notes = [f"no partner for {path}" for path in (*matched.only_first, *matched.only_second)]
    notes += [f"skipped {path}: {reason}" for path, reason in matched.skipped]
    for one, other in matched.pairs:
        row = _pair(one, other, keys, reading)
        notes += [f"{one.stem}: {note}" for note in row.pop("notes")]
        rows.append({"name": one.stem, **row})
    return _means(rows, keys, notes)


def _pair(estimate: Path, truth: Path, keys: Mapping[str, str], reading: Mapping[str, Any]) -> dict[str, Any]:
    one, other = io.read(estimate, **reading), io.read(truth, **reading)
    value_range = other.meta.value_range if other.meta.unit == "[0,1]" else None
    table = as_metrics_json(score_pair(one.data, other.data, keys, data_range=value_range))
    return {"schema": SCHEMA, **table, "notes": [*one.meta.notes, *other.meta.notes]}


def _means(rows: list[dict[str, Any]], keys: Mapping[str, str], notes: list[str]) -> dict[str, Any]:
    means = {key: summarize([row[key] for row in rows]) for key in keys}
    reasons = {
        key: next((row["reasons"][key] for row in rows if key in row["reasons"]), "not computed")
        for key, mean in means.items()
        if mean.failed
    }
    return {
        "schema": SCHEMA,
        **{key: mean.mean for key, mean in means.items()},
        "conventions": rows[0]["conventions"],
        "reasons": reasons,
        "counts": {key: {"ok": mean.ok, "failed": mean.failed} for key, mean in means.items()},
        "images": rows,
        "notes": notes,
    }


def _keys(names: Sequence[str]) -> dict[str, str]:
    """Conventions under the name of their family; a second one of a family under its full name."""
    keys: dict[str, str] = {}
    for name in names:
        metric = parse(name)
        family = metric.name.partition("[")[0]
        keys[metric.name if family in keys else family] = metric.name
    return keys
