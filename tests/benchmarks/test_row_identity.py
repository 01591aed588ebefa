"""What a row's key and its seal depend on: nothing that moves a number may be left out."""

from __future__ import annotations

import dataclasses
import sqlite3
from pathlib import Path

import numpy as np
import pytest
import torch
from bench_helpers import bench, context, rows, suite

from benchmarks.cases import pictures
from benchmarks.records import store as stores
from benchmarks.records import submission
from benchmarks.records.store import Store
from benchmarks.runs import runner
from benchmarks.tables import statistics
from operators import BadInput, RestoreError


def solver_item():
    made = runner.plan(suite("identity"), context()).items
    return next(item for item in made if item.role == "solver")


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("prior", ["", "0" * 64]),
        ("code", "0" * 16),
        ("samples", 7),
        ("seed", 9),
        ("image", "0" * 64),
        ("settings", {"device": "elsewhere"}),
        ("method", ["solver", "other", {}]),
        ("task", ["plain", 2]),
    ],
)
def test_every_part_of_an_identity_changes_the_key(tiny: Path, part: str, value: object) -> None:
    item = solver_item()
    assert part in item.identity
    other = dataclasses.replace(item, identity={**item.identity, part: value})
    assert other.key != item.key


def test_noise_and_measurement_are_part_of_what_names_a_row_and_a_measurement(tiny: Path) -> None:
    item = solver_item()
    physics = item.identity["physics"]
    assert set(physics) >= {"operator", "noise", "measurement", "input"}
    for part, change in (("noise", {"name": "gaussian", "sigma": 0.2}), ("measurement", {"bits": 8})):
        other = dataclasses.replace(item, identity={**item.identity, "physics": {**physics, part: change}})
        assert other.key != item.key and other.problem != item.problem


def test_other_weights_under_one_name_have_another_key(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = context(), context()
    monkeypatch.setattr(type(one), "prior_sha256", lambda self, name: "a" * 64 if self is one else "b" * 64)
    keys = [{item.key for item in runner.plan(suite("identity"), each).items} for each in (one, two)]
    assert not keys[0] & keys[1]


@pytest.mark.parametrize(
    ("column", "value"),
    [("seconds", 0.001), ("nfe", 999), ("memory_mb", 1.0), ("status", "failed"), ("prior_sha256", "f" * 64)],
)
def test_a_row_edited_in_any_column_that_a_table_shows_is_noticed(
    tiny: Path, tmp_path: Path, column: str, value: object
) -> None:
    bench(tmp_path / "out", "identity", limit=1)
    with sqlite3.connect(tmp_path / "out" / stores.FILE) as database:
        database.execute(f"UPDATE rows SET {column} = ?", (value,))
    database.close()
    with pytest.raises(RestoreError, match="was edited"):
        rows(tmp_path / "out")


@pytest.mark.parametrize(("height", "width", "size"), [(9, 8, 4), (10, 7, 3), (5, 5, 5), (4, 9, 6)])
def test_a_centre_crop_leaves_equally_much_on_both_sides(height: int, width: int, size: int) -> None:
    picture = torch.arange(float(height * width)).reshape(1, height, width)
    crop = pictures.centre_crop(picture, size)
    for axis, side in ((1, height), (2, width)):
        kept = min(side, size)
        first = int(crop[0, 0, 0]) // width if axis == 1 else int(crop[0, 0, 0]) % width
        assert crop.shape[axis] == kept
        # An odd rest leaves the extra pixel after the crop, as in every published centre crop.
        assert first == (side - kept) // 2


def test_the_interval_of_a_gain_is_that_of_paired_differences() -> None:
    """Scores vary by 10 dB between pictures and the gain by .01: unpaired resampling could not see it."""
    base = np.linspace(20, 30, 12)
    own = base + 0.05 + 0.01 * np.cos(np.arange(12))
    paired = statistics.interval(own - base)
    assert paired.low is not None and paired.high is not None
    assert statistics.judge("psnr[rgb,clip,peak=1]", own, base) == statistics.BETTER
    assert 0.04 < paired.low < paired.high < 0.06


def test_the_same_pairs_in_another_order_are_judged_alike_and_shuffled_pairs_are_not() -> None:
    base = np.linspace(20, 30, 12)
    own = base + 0.05
    order = np.random.default_rng(0).permutation(12)
    metric = "psnr[rgb,clip,peak=1]"
    assert statistics.judge(metric, own[order], base[order]) == statistics.judge(metric, own, base) == "better"
    assert statistics.judge(metric, own[order], base) == "not distinguishable"


# -- submissions -----------------------------------------------------------------------------------------------------


@pytest.fixture
def submitted(tiny: Path, tmp_path: Path) -> tuple[Path, Store]:
    """A run with two seeds, and the measurements themselves as somebody's estimates."""
    runner.bench(suite("identity").narrowed(seeds=2), tmp_path / "out", context=context())
    store = Store(tmp_path / "out", create=False)
    folder = tmp_path / "theirs"
    submission.measurements(store, folder)
    for path in folder.rglob("*.json"):
        path.unlink()
    (folder / "submission.toml").write_text('method = "theirs"\n')
    return folder, store


def test_a_submission_is_about_the_measurements_of_the_first_seed(submitted: tuple[Path, Store]) -> None:
    folder, store = submitted
    assert submission.submit(folder, store) == 4
    merged = [row for row in store.rows(store.last_run()["plan"]) if row.role == "submitted"]
    assert {row.seed for row in merged} == {0} and len(merged) == 4


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_submission_with_one_value_that_is_not_finite_is_refused(submitted: tuple[Path, Store], value: float) -> None:
    folder, store = submitted
    path = sorted(folder.rglob("*.npy"))[0]
    estimate = np.load(path)
    estimate[0, 3, 5] = value
    np.save(path, estimate)
    with pytest.raises(BadInput, match="1 NaN or infinite"):
        submission.submit(folder, store)


@pytest.mark.parametrize("claim", ["seconds = nan", "seconds = inf", "seconds = -1", f"nfe = {10**26}", "nfe = -3"])
def test_a_claim_that_no_method_can_make_is_refused(submitted: tuple[Path, Store], claim: str) -> None:
    folder, store = submitted
    (folder / "submission.toml").write_text(f'method = "theirs"\n{claim}\n')
    with pytest.raises(BadInput, match=claim.split()[0]):
        submission.submit(folder, store)


# -- task files ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    ["version = true", "version = 1.5", "[measurement]\nbits = true", "[input]\ncrop_to_multiple = true"],
)
def test_true_is_no_whole_number_in_a_task_file(tmp_path: Path, line: str) -> None:
    from bench_helpers import TASK

    from restore import tasks

    text = TASK.replace("version = 1\n", "") if line.startswith("version") else TASK
    path = tmp_path / "odd.toml"
    path.write_text(f"{line}\n{text}" if line.startswith("version") else f"{text}\n{line}\n")
    with pytest.raises(RestoreError, match=line.split()[-3]):
        tasks.load(str(path))
