"""The pictures behind a row of the table: truth, measurement and every method's estimate, drawn on one scale."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

from operators.common import outside
from operators.common.errors import BadInput
from restore.report.embed import data_uri, shrink
from restore.report.panels import looks

from ...records.store import Row, Store

MOST_PIXELS = 65536  # of one picture on the page
MOST_BYTES = 60_000_000  # of all pictures together
CAPTIONS = {"truth": "Truth", "measurement": "Measurement"}


def gallery(store: Store, rows: Iterable[Row]) -> tuple[dict[str, list[dict[str, Any]]], list[str]]:
    """Pictures by "task|set", and notes. Only rows whose estimate was kept have one; the first seed is shown."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        if row.ok and row.seed == 0 and store.estimate_path(row.key).is_file():
            groups.setdefault((row.task, row.data_set, row.image), []).append(row)
    sections: dict[str, list[dict[str, Any]]] = {}
    notes: list[str] = []
    size = 0
    for (task, data_set, image), members in groups.items():
        if size > MOST_BYTES:
            notes.append("not all pictures are on this page: it would be too large")
            break
        panels = _panels(store, members)
        size += sum(len(panel["uri"]) for panel in panels)
        if panels:
            sections.setdefault(f"{task}|{data_set}", []).append({"image": image, "panels": panels})
    return sections, notes


def _panels(store: Store, members: list[Row]) -> list[dict[str, Any]]:
    pictures: dict[str, torch.Tensor] = {}
    beside: dict[str, torch.Tensor] = {}
    for row in members:
        try:
            arrays = store.estimate(row.key) or {}
        except BadInput:
            continue
        beside |= {name: torch.from_numpy(arrays[name]) for name in CAPTIONS if name in arrays}
        if "estimate" in arrays:
            pictures[row.method] = torch.from_numpy(arrays["estimate"])
    if not pictures:
        return []
    unit = (
        outside.json_value(members[0].physics, where=f"the physics of row {members[0].key[:12]}")
        .get("input", {})
        .get("unit", "[0,1]")
    )
    shown = looks({**beside, **pictures}, unit=unit)
    return [_panel(name, look.pixels, look.rule) for name, look in shown.items()]


def _panel(name: str, pixels: np.ndarray, rule: str) -> dict[str, Any]:
    small, factor = shrink(pixels, most=MOST_PIXELS)
    note = f"; drawn {factor} times smaller" if factor > 1 else ""
    return {
        "name": name,
        "caption": CAPTIONS.get(name, name),
        "uri": data_uri(small),
        "width": int(small.shape[1]),
        "height": int(small.shape[0]),
        "rule": rule + note,
    }
