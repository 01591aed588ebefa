"""The numbers kept in the repository can be had again: a slice of the smoke suite is run and compared."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import suites
from benchmarks.cases.planning import Context
from benchmarks.records.store import Store
from benchmarks.runs import runner
from benchmarks.tables import leaderboard

KEPT = Path(__file__).parents[2] / "benchmarks" / "results" / "smoke.json"


def test_a_slice_of_the_smoke_suite_gives_the_kept_numbers(tmp_path: Path) -> None:
    kept = {(line["task"], line["method"]): line for line in json.loads(KEPT.read_text())["rows"]}
    chosen = suites.load("smoke").narrowed(tasks=("sr4x",), solvers=("tikhonov",))
    runner.bench(chosen, tmp_path, context=Context(settings={"device": "cpu", "dtype": "float32"}))
    store = Store(tmp_path, create=False)
    leaderboard.write(store)
    store.close()
    again = json.loads((tmp_path / "leaderboard.json").read_text())["rows"]
    assert {line["method"] for line in again} == {"tikhonov", "bicubic (baseline)"}
    for line in again:
        expected = kept[line["task"], line["method"]]
        assert line["psnr"] == pytest.approx(expected["psnr"], abs=1e-3)  # dB: other processors, other thread counts
        assert line["ssim"] == pytest.approx(expected["ssim"], abs=1e-4)
        assert line["psnr_convention"] == expected["psnr_convention"]
        assert (line["pictures"], line["failed"], line["nfe"]) == (2, 0, 0.0)
