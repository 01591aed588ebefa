"""Rows of contests as Markdown: a table for each family, sizes side by side, and the page that holds them all.

    python -m benchmarks.peers.page docs/speed.md

writes the page from the rows that are stored, without measuring anything.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from operators import BadInput

from .contest import FAMILIES, GROWTH, OURS

RESULTS = Path(__file__).resolve().parent.parent / "results"
Row = Mapping[str, Any]
WAYS = ("forward_ms", "adjoint_ms")
TITLES = {
    "blur": "Blur",
    "resampling": "Resampling",
    "sensing": "Compressed sensing",
    "ct": "Tomography",
    "mri": "Magnetic resonance",
    "spectral": "Spectral pictures",
    "nonlinear": "Operators that are not linear, and scattering",
    GROWTH: "How costs grow",
}
NOTES = {
    "nonlinear": '"Adjoint" is the vector-Jacobian product where the map is not linear.',
    GROWTH: "Our operators alone. `grows as`: the exponent p of cost = amount^p, from the first amount to the last.",
}
INTRODUCTION = """# Operators beside their peers

    pip install "restore[peers]"
    python -m benchmarks.peers.speed --all --page docs/speed.md
    python -m benchmarks.peers.speed --family ct --size 256 --threads 2

The first measures everything and writes this page (`python -m benchmarks.peers.page docs/speed.md` writes it from the
rows in `benchmarks/results/speed-FAMILY.json`); the second shows one family.

Times are the smallest of many turns, taken in rotation within one process, float32: forward / adjoint in milliseconds.
"ahead" is the best peer's time over ours. A peer that computes something else says so in its name. MB: growth of the
resident set of a fresh process over building the operator, one forward and one adjoint call, pictures and libraries not
counted (`benchmarks/peers/memory.py`). A call of more than 10 s is timed once and its memory is not measured; what
would take longer than that, or more than 4 GB, going by the size before, is not run.
"""
MEASURED = "Measured by `{command}` on {threads} threads of an {processor} processor with torch {torch}."


def page(folder: Path) -> str:
    """The whole page from the rows of each family found in the folder."""
    tables: dict[str, dict[str, Any]] = {}
    for family in (*FAMILIES, GROWTH):
        path = folder / f"speed-{family}.json"
        if path.is_file():
            tables[family] = json.loads(path.read_text())
    if not tables:
        raise BadInput(f"no speed-FAMILY.json in {folder.name}", do="Run: python -m benchmarks.peers.speed --all")
    parts = [INTRODUCTION]
    for family, stored in tables.items():
        measured = MEASURED.format(command=stored["command"].strip(), **stored["machine"])
        parts.append(f"## {TITLES[family]}\n\n{measured} {NOTES.get(family, '')}".rstrip())
        parts.append(f"{table(stored['rows'])}\n")
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def table(rows: Sequence[Row]) -> str:
    """Markdown: a line for each contestant, and for each size its times, its memory, and for ours how far ahead."""
    sides = list(dict.fromkeys(row.get("side", 0) for row in rows))
    peers = any(row["contestant"] == OURS for row in rows)
    last = "ahead" if peers else "grows as"
    heads = [f"{side or 'ms'}{': ms' if side else ''} | MB | {last}" for side in sides]
    lines = [
        "| contest | size | contestant | " + " | ".join(heads) + " |",
        "|---|---|---|" + "---:|---:|---:|" * len(sides),
    ]
    for contest, name in dict.fromkeys((row["contest"], row["contestant"]) for row in rows):
        own = [row for row in rows if (row["contest"], row["contestant"]) == (contest, name)]
        cells = []
        for side in sides:
            row = next((row for row in own if row.get("side", 0) == side), None)
            cells.append("| |" if row is None else _cells(row, [r for r in rows if _same(r, row)]))
        lines.append(f"| {contest} | {own[0]['size']} | {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _same(a: Row, b: Row) -> bool:
    return (a["contest"], a.get("side")) == (b["contest"], b.get("side"))


def _cells(row: Row, same: Sequence[Row]) -> str:
    """Times, memory, and how they compare: three cells."""
    if "reason" in row:
        return f"{row['reason']} | | "
    times = " / ".join(f"{row[way]:.3g}" if row[way] < 1000 else f"{row[way]:.0f}" for way in WAYS if way in row)
    grown = f"{row['memory_mb']:.0f}" if "memory_mb" in row else ""
    if any(r["contestant"] == OURS for r in same):
        return f"{times} | {grown} | {_ahead(row, same)}"
    return f"{times} | {grown} | {_exponents(row, same)}"


def _ahead(row: Row, same: Sequence[Row]) -> str:
    if row["contestant"] != OURS:
        return ""
    others = [r for r in same if r is not row]
    return " / ".join(
        f"{min(times) / row[way]:.1f}x" if (times := [r[way] for r in others if way in r]) else "-"
        for way in WAYS
        if way in row
    )


def _exponents(row: Row, same: Sequence[Row]) -> str:
    """For the last of several amounts ("45 views", "90 views", ...): slope of time over amount, both logarithmic."""
    if row is not same[-1] or len(same) == 1:
        return ""
    span = math.log(_amount(row) / _amount(same[0]))
    return " / ".join(f"{math.log(row[way] / same[0][way]) / span:.2f}" for way in _shared(row, same[0]))


def _shared(a: Row, b: Row) -> Iterable[str]:
    return (way for way in WAYS if way in a and way in b)


def _amount(row: Row) -> float:
    return float(str(row["contestant"]).split()[0])


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(RESULTS))
