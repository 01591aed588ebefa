"""The laws of operators as a table: operator x law x precision, from the tests themselves.

    python -m benchmarks.studies.laws --write docs/operator-laws.md
    python -m benchmarks.studies.laws blur mask

Needs pytest and the folder `tests` of the repository, and for the whole table deepinv (`least_squares`). Cells of
several settings and sizes of an operator are merged: one that fails makes the cell fail.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from operators import BadInput

from . import least_squares

LAWS = Path(__file__).resolve().parents[2] / "tests" / "operators" / "test_laws.py"
PRECISIONS = {torch.float64: "64", torch.float32: "32"}
INTRODUCTION = """# Laws that the operators keep

`python -m benchmarks.studies.laws --write docs/operator-laws.md` runs `tests/operators/test_laws.py` and writes this
page: every operator of the registry with its defaults and the further settings listed there, on odd, even, square and
oblong pictures of one and three channels (volumes where it is made for them).

64, 32: kept in double and in single precision. ok: kept, where the law chooses the precision itself (double, unless it
is about single). –: the law does not apply (adjoints of operators that are not linear, singular values that no fast
basis has). FAIL: broken for at least one setting, size or precision. Tolerances: `tests/operators/laws.py`.
"""


@dataclass
class LawCell:
    """What became of one law for one operator."""

    kept: set[str] = field(default_factory=set)  # precisions, "ok" where the law has none of its own
    broken: list[str] = field(default_factory=list)  # names of failed cases
    cases: int = 0

    def __str__(self) -> str:
        if self.broken:
            return "FAIL"
        return " ".join(sorted(self.kept, reverse=True)) or "–"


class Collector:
    """A pytest plugin that keeps the outcome of each case by operator and law."""

    def __init__(self, only: Sequence[str]) -> None:
        self.only = only
        self.cells: dict[tuple[str, str], LawCell] = {}
        self._items: dict[str, tuple[str, str, str]] = {}

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        kept = []
        for item in items:
            parameters = item.callspec.params
            name = (parameters.get("any_operator") or parameters["case"])[0]
            if self.only and name not in self.only:
                continue
            law = item.originalname.removeprefix("test_").replace("_", " ")
            self._items[item.nodeid] = name, law, PRECISIONS.get(parameters.get("dtype"), "ok")
            kept.append(item)
        items[:] = kept

    def pytest_runtest_logreport(self, report: Any) -> None:
        name, law, precision = self._items[report.nodeid]
        cell = self.cells.setdefault((name, law), LawCell())
        if report.failed:
            cell.broken.append(report.nodeid.partition("[")[2].rstrip("]"))
        elif report.when == "call" and report.passed:
            cell.cases += 1
            cell.kept.add(precision)


def collect(only: Sequence[str] = ()) -> Collector:
    """Outcomes of the law tests of these operators (all without a name), run in this process."""
    import pytest

    collector = Collector(only)
    quiet = ["-p", "no:terminal", "-p", "no:cacheprovider", "-o", "addopts=--import-mode=importlib"]
    code = pytest.main([*quiet, str(LAWS)], plugins=[collector])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        raise BadInput(
            f"pytest ended with {code!s} before any law was checked", do=f"Run: python -m pytest {LAWS.name}"
        )
    return collector


def table(collector: Collector) -> str:
    """Markdown: a line for each operator, a column for each law, the laws in words, and what failed."""
    names, laws = (_in_order(key[i] for key in collector.cells) for i in (0, 1))
    lines = ["| operator | cases | " + " | ".join(str(i + 1) for i in range(len(laws))) + " |"]
    lines.append("|---|---:|" + ":-:|" * len(laws))
    for name in names:
        cells = [collector.cells.get((name, law), LawCell()) for law in laws]
        lines.append(f"| {name} | {sum(c.cases for c in cells)} | " + " | ".join(map(str, cells)) + " |")
    lines += ["", *(f"{i + 1}. {law}" for i, law in enumerate(laws))]
    broken = [f"- {name}, {law}: {case}" for (name, law), c in collector.cells.items() for case in c.broken]
    passed = sum(c.cases for c in collector.cells.values())
    lines += ["", f"{passed} cases kept, {len(broken)} broken.", *broken]
    return "\n".join(lines) + "\n"


def _in_order(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status, 1 where a law is broken, with the table on standard output."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("operator", nargs="*", help="names of the registry; default: all")
    parser.add_argument("--write", type=Path, help="write a page to this file (all operators)")
    options = parser.parse_args(arguments)
    if options.write and options.operator:
        parser.error("--write is for the whole table: leave the names out")
    collector = collect(options.operator)
    page = table(collector)
    if not options.operator:
        page = f"{page}\n{least_squares.section()}"
    sys.stdout.write(page)
    if options.write:
        options.write.write_text(f"{INTRODUCTION}\n{page}")
    return int(any(cell.broken for cell in collector.cells.values()))


if __name__ == "__main__":
    sys.exit(main())
