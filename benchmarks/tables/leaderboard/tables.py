"""The lines of a leaderboard as flat rows, and as CSV, Markdown and JSON.

Equal runs give equal files, but for columns with "seconds", "memory" or "date" in their names.
"""

from __future__ import annotations

import csv
import io
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from restore.metrics.directions import measure

from ...records.store import Row, Store
from ...sets.datasets import registry
from .. import populations
from ..statistics import LEAST, LEVEL, RESAMPLES, Cell, Line, by_family, settings_text, summarise

SCHEMA = 1
DIGITS = 6
_DANGER = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class Board:
    """What the latest run of a store says. missing: planned rows that are not there yet."""

    suite: str
    command: str
    notes: tuple[str, ...]
    machine: Mapping[str, Any]
    date: str
    lines: tuple[Line, ...]
    rows: tuple[Row, ...]
    missing: int
    others: int
    tuned_on: tuple[str, ...]


def gather(store: Store, *, intersect: bool = False) -> Board:
    """The board of a store: its latest plan, summarised."""
    run = store.last_run()
    rows = store.rows(run["plan"])
    return Board(
        suite=run["suite"],
        command=without_out(run["command"]),
        notes=tuple(run["notes"]),
        machine=run["machine"],
        date=run["date"],
        lines=tuple(populations.fill(summarise(rows, intersect=intersect), rows, store)),
        rows=tuple(rows),
        missing=len(run["plan"]) - len(rows),
        others=len(store.keys()) - len(rows),
        tuned_on=tuple(name for name, data_set in registry().items() if data_set.tuning),
    )


def without_out(command: str) -> str:
    """The command without the folder it wrote to: it changes no number."""
    words = shlex.split(command)
    kept = [w for k, w in enumerate(words) if w != "--out" and (k == 0 or words[k - 1] != "--out")]
    return shlex.join(w for w in kept if not w.startswith("--out="))


def families(lines: Sequence[Line]) -> list[str]:
    """Short names of all scores, in the order in which tasks name them."""
    return list(dict.fromkeys(name for line in lines for name in by_family(line)))


def flat(line: Line, names: Sequence[str]) -> dict[str, Any]:
    """One line as a row of plain numbers and words."""
    row: dict[str, Any] = {
        "kind": line.kind,
        "task": line.task,
        "set": line.data_set,
        "rank": line.rank,
        "tied_with_best": line.tied,
        "rank_note": line.unranked,
        "method": line.method,
        "role": line.role,
        "solver": line.solver,
        "prior": line.prior,
        "settings": settings_text(line),
        "pictures": line.images,
        "failed": line.failed,
        "seeds": line.seeds,
        "draws": line.draws,
        "nfe": _rounded(line.nfe),
    }
    cells = by_family(line)
    for name in names:
        row |= _columns(name, cells.get(name))
    return {
        **row,
        "seconds": _rounded(line.seconds),
        "memory_mb": _rounded(line.memory_mb),
        "network_share_of_seconds": _rounded(line.network_share),
        "reasons": "; ".join(line.reasons),
    }


def _columns(name: str, cell: Cell | None) -> dict[str, Any]:
    empty = cell is None
    value, gain = (None, None) if cell is None else (cell.value, cell.gain)
    return {
        name: None if value is None else _rounded(value.mean),
        f"{name}_low": None if value is None else _rounded(value.low),
        f"{name}_high": None if value is None else _rounded(value.high),
        f"{name}_gain": None if gain is None else _rounded(gain.mean),
        f"{name}_gain_low": None if gain is None else _rounded(gain.low),
        f"{name}_gain_high": None if gain is None else _rounded(gain.high),
        f"{name}_verdict": "" if empty or cell is None else cell.verdict,
        f"{name}_pictures": 0 if cell is None else cell.images,
        f"{name}_infinite": 0 if cell is None else cell.infinite,
        f"{name}_convention": "" if cell is None else cell.metric,
        f"{name}_reason": "" if cell is None else cell.reason,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{DIGITS}g}")


def json_text(board: Board) -> str:
    """Everything, for machines."""
    names = families(board.lines)
    content = {
        "schema": SCHEMA,
        "suite": board.suite,
        "command": board.command,
        "tuned_on": list(board.tuned_on),
        "interval": {"level": LEVEL, "method": "percentile bootstrap over pictures", "resamples": RESAMPLES},
        "missing_rows": board.missing,
        "notes": list(board.notes),
        "machine": dict(board.machine),
        "date": board.date,
        "rows": [flat(line, names) for line in board.lines],
    }
    return json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def csv_text(board: Board) -> str:
    """One row per line; text that a spreadsheet would take for a formula gets an apostrophe."""
    names = families(board.lines)
    buffer = io.StringIO()
    writer: Any = None
    for line in board.lines:
        row = {key: _safe(value) for key, value in flat(line, names).items()}
        if writer is None:
            writer = csv.DictWriter(buffer, list(row), lineterminator="\n")
            writer.writeheader()
        writer.writerow(row)
    return buffer.getvalue()


def _safe(value: Any) -> Any:
    if isinstance(value, str):
        return "'" + value if value.startswith(_DANGER) else value
    return "" if value is None else value


def markdown(board: Board) -> str:
    """A table for each task and set."""
    out = [f"# {board.suite}", "", *([f"    {board.command}", ""] if board.command else [])]
    groups: dict[tuple[str, str], list[Line]] = {}
    for line in board.lines:
        groups.setdefault((line.task, line.data_set), []).append(line)
    for (task, data_set), lines in groups.items():
        out += [f"## {task}{f', {data_set}' if data_set else ''}", "", *_group(lines), ""]
    out += [
        f"Values are means over pictures, in brackets {LEVEL:.0%} bootstrap intervals; gains are paired differences "
        "to the baseline, over the same noise: = marks those not distinguishable from zero, ? those over fewer than "
        f"{LEAST} pictures, which cannot tell. Ranks are by the first score; ~ marks methods not distinguishable from "
        "the best. Seconds and NFE of submitted methods are their authors' claims.",
        f"Settings were tuned on {', '.join(board.tuned_on) or 'nothing'}."
        + (f" {board.missing} planned rows are missing." if board.missing else ""),
        *board.notes,
        "",
    ]
    return "\n".join(out)


def _group(lines: Sequence[Line]) -> list[str]:
    names = families(lines)
    first = {name: next(by_family(line)[name] for line in lines if name in by_family(line)) for name in names}
    head = [
        "rank",
        "method",
        "pictures",
        "failed",
        *(f"{first[n].metric} ({measure(first[n].metric).words})" for n in names),
    ]
    head += ["draws", "NFE", "seconds", "memory, MB", "network share of seconds"]
    out = ["| " + " | ".join(_cell_text(h) for h in head) + " |", "|" + "---|" * len(head)]
    for line in sorted(lines, key=lambda one: (one.rank is None, one.rank or 0)):
        cells = by_family(line)
        shown = [rank_text(line), line.method, str(line.images), str(line.failed)]
        shown += [score_text(cells.get(name)) for name in names]
        shown += [str(line.draws), number(line.nfe, 0), number(line.seconds, 2), number(line.memory_mb, 0)]
        shown.append("-" if line.network_share is None else f"{line.network_share:.0%}")
        out.append("| " + " | ".join(_cell_text(s) for s in shown) + " |")
    out += [f"- {line.method}: {reason}" for line in lines for reason in line.reasons]
    out += [f"- {first[n].metric}: no value, {cell.reason}" for n in names if (cell := _silent(lines, n)) is not None]
    return out


def _silent(lines: Sequence[Line], name: str) -> Cell | None:
    """The first cell that has pictures without a score, and says why."""
    return next((c for line in lines if (c := by_family(line).get(name)) is not None and c.reason), None)


def rank_text(line: Line) -> str:
    """The rank as tables show it: 2, "2 ~" where it is shared, - where there is none."""
    if line.rank is None:
        return "-"
    return f"{line.rank}{' ~' if line.tied else ''}"


def score_text(cell: Cell | None) -> str:
    """27.53 [26.1, 28.9] +1.53; "infinite" where a score is."""
    if cell is None or (cell.value.mean is None and not cell.infinite):
        return "-"
    if cell.value.mean is None:
        return "infinite"
    text = number(cell.value.mean)
    if cell.value.low is not None and cell.value.high is not None:
        text += f" [{number(cell.value.low)}, {number(cell.value.high)}]"
    if cell.gain.mean is not None:
        mark = {"not distinguishable": " =", "unknown": " ?"}.get(cell.verdict, "")
        text += f" {'+' if cell.gain.mean >= 0 else ''}{number(cell.gain.mean)}{mark}"
    text += f" ({cell.infinite} infinite)" if cell.infinite else ""
    return text + (f" (n = {cell.images})" if cell.missing else "")


def number(value: float | None, digits: int | None = None) -> str:
    """Four digits that matter, or a fixed number after the point."""
    if value is None:
        return "-"
    if digits is None:
        digits = 2 if abs(value) >= 10 else 3 if abs(value) >= 1 else 4
    return f"{value:.{digits}f}"


def _cell_text(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
