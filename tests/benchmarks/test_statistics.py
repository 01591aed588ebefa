"""Paired differences, intervals, ranks and counts: what a table may say about rows."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import pytest

from benchmarks.records.item import ScoreRow
from benchmarks.records.store import Row
from benchmarks.tables import statistics
from restore.metrics.directions import measure

PSNR = "psnr[rgb,clip,peak=1]"


def row(method: str, image: str, value: float | None, *, role: str = "solver", task: str = "t", **more: Any) -> Row:
    columns = {
        "kind": "pictures", "task": task, "data_set": "s", "image": image, "method": method, "role": role,
        "solver": method, "prior": "", "parameters": "{}", "samples": 1, "seed": 0, "status": "ok", "reason": "",
        "nfe": 3, "seconds": 2.0, "network_seconds": 1.0, "memory_mb": 10.0, "key": f"{task}{method}{image}", **more,
    }  # fmt: skip
    scores = {PSNR: ScoreRow(PSNR, value)} if columns["status"] == "ok" else {}
    return Row(columns, scores)


def table(**values: list[float]) -> list[Row]:
    roles = {"base": "baseline"}
    return [
        row(method, f"i{k}", value, role=roles.get(method, "solver"))
        for method, listed in values.items()
        for k, value in enumerate(listed)
    ]


def lines(rows: list[Row], **more: Any) -> dict[str, statistics.Line]:
    return {line.method: line for line in statistics.summarise(rows, **more)}


def test_a_constant_gain_is_found_under_any_spread_of_pictures() -> None:
    base = [20.0, 25, 30, 35, 28, 22, 31, 27]
    found = lines(table(base=base, own=[v + 0.1 for v in base]))["own"].cells[PSNR]
    assert found.gain.mean == pytest.approx(0.1) and found.verdict == "better"
    assert found.value.low is not None and found.value.low < 25 < found.value.high


def test_a_gain_that_changes_its_sign_is_not_distinguishable() -> None:
    base = [25.0] * 8
    own = [25 + 0.3 * (-1) ** k for k in range(8)]
    assert lines(table(base=base, own=own))["own"].cells[PSNR].verdict == "not distinguishable"


def test_one_picture_is_compared_with_its_baseline() -> None:
    found = lines(table(base=[20.0], own=[21.0]))["own"].cells[PSNR]
    assert found.gain.mean == pytest.approx(1.0) and found.value.mean == 21.0


def test_few_pictures_cannot_tell_and_have_no_interval() -> None:
    found = lines(table(base=[20.0] * 5, own=[21.0] * 5))["own"].cells[PSNR]
    assert found.verdict == "unknown" and found.value.low is None and found.value.mean == 21.0


def test_the_interval_covers_the_mean_of_a_known_law_about_as_often_as_it_says() -> None:
    source = np.random.default_rng(0)
    inside = 0
    for _ in range(300):
        found = statistics.interval(source.standard_normal(30))
        assert found.low is not None and found.high is not None
        inside += found.low <= 0 <= found.high
    # percentile intervals of 30 pictures fall a little short of 95 %; three standard errors are 4 %
    assert 0.89 <= inside / 300 <= 0.98


def test_intervals_are_the_same_at_every_call() -> None:
    values = np.random.default_rng(1).random(12)
    assert statistics.interval(values) == statistics.interval(values.copy())


def test_a_method_that_failed_on_a_picture_has_no_rank_unless_sets_are_intersected() -> None:
    rows = table(base=[20.0, 21, 22], good=[25.0, 26, 27])
    rows += [
        row("broken", "i0", 40.0),
        row("broken", "i1", 41.0),
        row("broken", "i2", None, status="failed", reason="NaN"),
    ]
    found = lines(rows)
    assert found["broken"].rank is None and found["broken"].unranked == "2 of 3 pictures: not ranked"
    assert (found["broken"].images, found["broken"].failed, found["broken"].reasons) == (2, 1, ("NaN",))
    assert (found["good"].rank, found["base"].rank) == (1, 2)
    shared = lines(rows, intersect=True)
    assert shared["broken"].rank == 1 and "2 pictures that all methods have" in shared["good"].unranked


def test_all_failed_divides_nothing_by_zero() -> None:
    rows = [row("own", f"i{k}", None, status="failed", reason="no") for k in range(3)]
    found = lines(rows)["own"]
    assert found.rank is None and found.nfe is None and found.seconds is None and found.failed == 3


def test_seeds_of_a_picture_are_averaged_before_pictures_are_counted() -> None:
    rows = [row("base", f"i{k}", 20.0, role="baseline") for k in range(6)]
    rows += [row("own", f"i{k}", 21.0 + s, seed=s, key=f"{k}{s}") for k in range(6) for s in range(2)]
    found = lines(rows)["own"]
    assert found.seeds == 2 and found.cells[PSNR].images == 6 and found.cells[PSNR].value.mean == 21.5


def test_an_infinite_score_is_counted_and_kept_out_of_the_mean() -> None:
    rows = table(base=[20.0, 20.0])
    rows += [row("own", "i0", 30.0), Row(row("own", "i1", 0.0).columns, {PSNR: ScoreRow(PSNR, None, "infinite")})]
    cell = lines(rows)["own"].cells[PSNR]
    assert cell.value.mean == 30.0 and cell.infinite == 1 and cell.missing == 0


def test_one_exact_estimate_does_not_make_every_other_method_a_tie() -> None:
    base = [20.0, 25, 30, 35, 28, 22, 31, 27]
    best = [v + 5 for v in base]
    exact = [math.inf, *best[1:]]
    rows = table(base=base, best=best, exact=exact)
    for one in rows:
        if one.method == "exact" and one.image == "i0":
            one.scores[PSNR] = ScoreRow(PSNR, None, flag="infinite")
    found = lines(rows)
    assert [found[name].rank for name in ("exact", "best", "base")] == [1, 2, 3]
    assert found["best"].tied and not found["base"].tied
    assert found["exact"].cells[PSNR].verdict == found["best"].cells[PSNR].verdict == "better"


def test_two_exact_methods_share_the_first_rank() -> None:
    rows = table(base=[20.0] * 8, one=[30.0] * 8, two=[30.0] * 8)
    for row_ in rows:
        if row_.role != "baseline":
            row_.scores[PSNR] = ScoreRow(PSNR, None, flag="infinite")
    found = lines(rows)
    assert found["one"].rank == found["two"].rank == 1 and found["base"].rank == 3


def test_the_baseline_entered_under_its_own_name_is_ranked_once() -> None:
    base = [20.0, 25, 30, 35, 28, 22, 31, 27]
    rows = table(base=base, again=base, other=[v + 1 for v in base])
    rows = [
        Row({**one.columns, "solver": "base"} if one.method == "again" else one.columns, one.scores) for one in rows
    ]
    found = lines(rows)
    assert found["again"].rank is None and "baseline itself" in found["again"].unranked
    assert (found["other"].rank, found["base"].rank) == (1, 2)


def test_ties_with_the_best_are_marked() -> None:
    base = [25.0] * 8
    found = lines(
        table(base=base, one=[26.0 + 0.2 * (k % 2) for k in range(8)], two=[26.2 - 0.2 * (k % 2) for k in range(8)])
    )
    assert found["two"].tied or found["one"].tied
    assert not found["base"].tied


def test_a_score_with_a_right_value_is_better_the_nearer_it_is() -> None:
    assert measure("chi2").goodness(1.1) > measure("chi2").goodness(0.5)
    assert measure("coverage[90]").goodness(0.89) > measure("coverage[90]").goodness(0.99)
    assert measure("lpips[alex,v0.1]").goodness(0.1) > measure("lpips[alex,v0.1]").goodness(0.2)


def test_ten_thousand_rows_are_summarised_in_under_a_second() -> None:
    source = np.random.default_rng(0)
    rows = [
        row(f"m{m}", f"i{k}", float(source.normal(25, 3)), task=f"t{t}", role="baseline" if m == 0 else "solver")
        for t in range(10) for m in range(10) for k in range(100)
    ]  # fmt: skip
    statistics.summarise(rows[:100])  # imports of the metrics are no part of it
    began = time.process_time()  # of this process: other work on the machine does not count
    assert len(statistics.summarise(rows)) == 100
    assert time.process_time() - began < 1.0


def test_a_reference_has_no_rank_and_takes_none_from_others() -> None:
    rows = table(base=[20.0] * 8, own=[25.0] * 8)
    rows += [row("exact draws", f"i{k}", 40.0, role="reference") for k in range(8)]
    found = lines(rows)
    assert found["exact draws"].rank is None and found["exact draws"].unranked == "reference"
    assert [found[name].rank for name in ("own", "base")] == [1, 2] and not found["own"].tied
