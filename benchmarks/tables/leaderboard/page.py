"""The leaderboard as one HTML file that needs nothing else: table, plot and pictures."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from importlib import resources
from typing import Any

from restore.metrics.directions import measure

from ...records.store import Store
from ..statistics import LEVEL, Cell, Line, by_family, settings_text
from .gallery import gallery
from .tables import Board, families, flat, number, rank_text


def render(board: Board, store: Store) -> str:
    """The HTML text of a board."""
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_part), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    script = _part("page.js")
    names = families(board.lines)
    pictures, notes = gallery(store, board.rows)
    data = {"lines": [flat(line, names) for line in board.lines], "scores": _scores(board.lines), "gallery": pictures}
    return environment.get_template("page.html.j2").render(
        board=board,
        style=Markup(resources.files("restore.report").joinpath("page.css").read_text("utf-8") + _part("page.css")),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        # Inside a data block only "<" could end it.
        data=Markup(json.dumps(data, allow_nan=False).replace("<", "\\u003c")),
        columns=[{"name": name, **_heading(name, board.lines)} for name in names],
        rows=[_row(k, line, names, pictures) for k, line in enumerate(board.lines)],
        tasks=list(dict.fromkeys(line.task for line in board.lines)),
        sets=list(dict.fromkeys(line.data_set for line in board.lines if line.data_set)),
        level=f"{LEVEL:.0%}",
        pictures=len({(row.data_set, row.image) for row in board.rows}),
        failed=sum(not row.ok for row in board.rows),
        notes=[*board.notes, *notes],
    )


def _heading(name: str, lines: Sequence[Line]) -> dict[str, Any]:
    conventions = list(dict.fromkeys(cells[name].metric for line in lines if name in (cells := by_family(line))))
    return {"conventions": conventions, "words": measure(conventions[0]).words}


def _scores(lines: Sequence[Line]) -> dict[str, Any]:
    """How the plot must read a score: which way is up, or which value is right."""
    table = {}
    for line in lines:
        for name, cell in by_family(line).items():
            one = measure(cell.metric)
            table[name] = {"higher": one.higher, "target": one.target, "words": one.words}
    return table


def _row(index: int, line: Line, names: Sequence[str], pictures: dict[str, Any]) -> dict[str, Any]:
    cells = by_family(line)
    numbers = (line.nfe, line.seconds, line.memory_mb, line.network_share)
    shown = (number(line.nfe, 0), number(line.seconds, 2), number(line.memory_mb, 0))
    share = "-" if line.network_share is None else f"{line.network_share:.0%}"
    return {
        "index": index,
        "line": line,
        "rank": rank_text(line),
        "settings": settings_text(line),
        "cells": [_cell(cells.get(name)) for name in names],
        "costs": list(zip(numbers, (*shown, share), strict=True)),
        "has_pictures": f"{line.task}|{line.data_set}" in pictures,
    }


def _cell(cell: Cell | None) -> dict[str, Any]:
    if cell is None:
        return {"sort": "", "text": "", "interval": "", "gain": "", "verdict": "", "title": ""}
    value, gain = cell.value, cell.gain
    text = number(value.mean) if value.mean is not None else "infinite" if cell.infinite else "-"
    interval = f"{number(value.low)} to {number(value.high)}" if value.low is not None else ""
    if cell.missing and cell.images:
        interval += f"{'; ' if interval else ''}n = {cell.images}"
    difference = ""
    if gain.mean is not None:
        difference = f"{'+' if gain.mean >= 0 else ''}{number(gain.mean)}"
    return {
        "sort": "" if value.mean is None else repr(value.mean),
        "text": text,
        "interval": interval,
        "gain": difference,
        "verdict": cell.verdict,
        "title": cell.metric + (f": {cell.reason}" if cell.reason else ""),
    }


def _part(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text("utf-8")
