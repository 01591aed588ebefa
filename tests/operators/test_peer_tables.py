"""Contests are timed within their budget, and their tables say what was measured."""

from __future__ import annotations

import json
import time

import pytest

from benchmarks.peers.contest import FAMILIES, GROWTH, OURS, Calls, Contest, contests
from benchmarks.peers.page import page, table
from benchmarks.peers.speed import Budget, measure, too_much
from benchmarks.studies import laws


def row(name, forward, *, side=256, adjoint=None, contest="blur", **more):
    times = {"forward_ms": forward} | ({} if adjoint is None else {"adjoint_ms": adjoint})
    return {"contest": contest, "size": f"{side}x{side}", "contestant": name, "side": side, **times, **more}


def absent():
    raise ImportError("no peer here")


def test_every_contestant_has_a_row_and_an_absent_one_its_reason() -> None:
    contest = Contest("c", "s", {OURS: lambda: Calls(lambda: 1, lambda: 2), "peer": absent, "large": absent})
    rows = list(measure(contest, Budget(seconds=1e-4), without={"large": "not run: over 4 GB"}))
    assert [r["contestant"] for r in rows] == [OURS, "peer", "large"]
    assert rows[0]["forward_ms"] > 0 and rows[0]["adjoint_ms"] > 0
    assert [r["reason"] for r in rows[1:]] == ["no peer here", "not run: over 4 GB"]


def test_a_call_beyond_the_limit_is_made_once() -> None:
    calls = []

    def slow() -> None:
        calls.append(1)
        time.sleep(0.02)

    (found,) = measure(Contest("c", "s", {OURS: lambda: Calls(slow)}), Budget(seconds=1.0, longest=0.01))
    assert len(calls) == 1 and found["forward_ms"] >= 20


def test_larger_pictures_are_left_to_those_that_can_afford_them() -> None:
    budget = Budget(longest=10, gigabytes=4)
    assert too_much(row("a", 2400, adjoint=10), 512, budget) is None
    assert too_much(row("a", 10, adjoint=2600), 512, budget) == "not run: over 10 s"
    assert too_much(row("a", 10, memory_mb=1100.0), 512, budget) == "not run: over 4 GB"
    assert too_much({**row("a", 10), "reason": "absent"}, 512, budget) == "absent"


def test_tables_set_sizes_side_by_side_and_compare_with_the_best_peer() -> None:
    rows = [
        row(OURS, 1.0, adjoint=2.0, memory_mb=12.3),
        row("slow", 30.0, adjoint=5.0),
        row("fast", 3.0),
        row(OURS, 4.0, adjoint=8.0, side=512),
        {"contest": "blur", "size": "s", "contestant": "slow", "side": 512, "reason": "not run: over 10 s"},
    ]
    lines = table(rows).splitlines()
    assert lines[2] == "| blur | 256x256 | restore | 1 / 2 | 12 | 3.0x / 2.5x | 4 / 8 |  | - / - |"
    assert "not run: over 10 s" in lines[3]


def test_growth_is_the_exponent_between_the_first_amount_and_the_last() -> None:
    rows = [row(f"{n} views", n**1.5, contest="scan") for n in (45, 90, 180)]
    assert table(rows).splitlines()[-1].endswith("| 1.50 |")


@pytest.mark.parametrize("family", [*FAMILIES, GROWTH])
def test_contests_keep_their_names_at_every_size(family) -> None:
    small, large = (list(contests(family, side)) for side in (64, 128))
    names = [c.name for c in small]
    assert names == [c.name for c in large] and len(set(names)) == len(names)
    assert all((OURS in c.contestants) == (family != GROWTH) for c in small)


def test_the_page_holds_a_table_for_every_family_that_was_measured(tmp_path) -> None:
    machine = {"processor": "x86_64", "threads": 2, "torch": "2"}
    stored = {"command": "python -m x", "machine": machine, "rows": [row(OURS, 1.0)]}
    (tmp_path / "speed-mri.json").write_text(json.dumps(stored))
    text = page(tmp_path)
    assert "## Magnetic resonance" in text and "## Blur" not in text and "2 threads" in text


def test_the_table_of_laws_merges_cases_and_names_what_broke() -> None:
    collector = laws.Collector(())
    collector.cells = {
        ("blur", "map is linear"): laws.LawCell(kept={"ok"}, cases=3),
        ("blur", "solve solves"): laws.LawCell(kept={"32", "64"}, cases=6),
        ("hdr", "map is linear"): laws.LawCell(),
        ("mask", "solve solves"): laws.LawCell(kept={"64"}, broken=["single-mask-3x12x12"], cases=1),
    }
    text = laws.table(collector)
    assert "| blur | 9 | ok | 64 32 |" in text and "| hdr | 0 | – | – |" in text and "| mask | 1 | – | FAIL |" in text
    assert "10 cases kept, 1 broken." in text and "- mask, solve solves: single-mask-3x12x12" in text
