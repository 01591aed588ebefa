"""The arithmetic of the scaling table, on outcomes whose times are known."""

from __future__ import annotations

import pytest

from benchmarks.records.item import Outcome
from benchmarks.studies import scaling


def outcome(process: int, began: float, ended: float) -> Outcome:
    return Outcome("k", "ok", machine={"process": process, "began": began, "ended": ended})


# Two processes: items of 2 s with 0.5 s between them, and of 4 s with 1 s between them.
TWO = [outcome(7, 2.5 * k, 2.5 * k + 2) for k in range(4)] + [outcome(8, 5.0 * k, 5.0 * k + 4) for k in range(3)]


def test_the_rate_of_workers_is_the_sum_of_the_rates_of_each_without_its_start() -> None:
    chains = scaling.chains(reversed(TWO))
    assert sorted(map(len, chains)) == [3, 4]
    assert sum(map(scaling.rate, chains)) == pytest.approx(1 / 2.5 + 1 / 5)


def test_a_process_that_did_two_items_tells_nothing() -> None:
    assert scaling.chains(TWO[:2]) == []


def test_the_client_is_busy_when_workers_ask_as_often_as_it_answers() -> None:
    way = scaling.Way("dask", 2, 8, 1.0, 0.1, 0.01, 2.0, 100.0)
    # 1/100 s to send an item and 1/400 s to commit it: 80 items a second, 800 workers at 10 s each.
    assert scaling.saturation([way], 400.0, 10) == pytest.approx(800)


def test_the_table_compares_with_one_worker_of_the_same_executor() -> None:
    ways = [scaling.Way(name, n, 8, 2.0, 0.1, 0.01, n * 0.45, 50.0) for name in ("processes", "dask") for n in (1, 2)]
    text = scaling.report(ways, 400.0, 50.0, {"item": 1, "outcome": 2, "kept": 3})
    assert "| dask | 2 | 0.900 | 2.00 | 2.00 | 0.100 | 10.0 | 0.50% |" in text
