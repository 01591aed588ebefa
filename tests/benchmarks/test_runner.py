"""The runner: rows committed one by one, resumed without a flag, faults of methods as failed rows."""

from __future__ import annotations

import contextlib
import os
import random
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from bench_helpers import HERE, VOLATILE, bench, context, rows, suite, table

from benchmarks import suites
from benchmarks.cases.planning import Context
from benchmarks.records.store import Store
from benchmarks.runs import executors, runner
from benchmarks.runs.executors.local import Local
from benchmarks.tables import leaderboard
from operators.common.errors import RestoreError


def test_a_second_run_computes_nothing_and_gives_the_same_table(tiny: Path, tmp_path: Path) -> None:
    first = bench(tmp_path / "out", "identity")
    before = table(tmp_path / "out")
    second = bench(tmp_path / "out", "identity")
    assert (first.done, second.done, second.skipped) == (8, 0, 8)  # four pictures, the method and the baseline
    assert table(tmp_path / "out") == before


def test_every_method_sees_the_same_noise_whatever_the_limit(tiny: Path, tmp_path: Path) -> None:
    bench(tmp_path / "all", "identity")
    bench(tmp_path / "one", "identity", limit=1)
    scores = {row.key: row.scores["psnr[rgb,clip,peak=1]"].value for row in rows(tmp_path / "all")}
    for row in rows(tmp_path / "one"):
        assert scores[row.key] == row.scores["psnr[rgb,clip,peak=1]"].value


def test_another_setting_another_seed_or_other_pixels_have_another_key(tiny: Path, tmp_path: Path) -> None:
    plans = {
        "plain": runner.plan(suite("identity"), context()),
        "dtype": runner.plan(suite("identity"), Context(settings={"device": "cpu", "dtype": "float64"}, keep_first=0)),
        "seed": runner.plan(suite("identity").narrowed(seeds=2), context()),
        "crop": runner.plan(suite("identity").narrowed(crop=16), context()),
    }
    keys = {name: {item.key for item in made.items if item.role == "solver"} for name, made in plans.items()}
    assert keys["plain"] < keys["seed"] and len(keys["seed"]) == 8
    assert not keys["plain"] & keys["dtype"] and not keys["plain"] & keys["crop"]


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        ("raises", "RuntimeError: this method always fails"),
        ("not_finite", "the estimate holds 3072 NaN or infinite values"),
        ("wrong_shape", "the estimate has shape (1, 3, 32, 31), the picture (1, 3, 32, 32)"),
        ("writes_into_y", "the method changed the measurement or the operator it was given"),
        ("NeverDone", "no answer after 0.3 s (timeout)"),
    ],
)
def test_a_method_that_misbehaves_is_a_failed_row_and_the_run_goes_on(
    tiny: Path, tmp_path: Path, method: str, reason: str
) -> None:
    progress = bench(tmp_path / "out", method, "identity", timeout=0.3 if method == "NeverDone" else 60.0, limit=1)
    by_method = {row.method: row for row in rows(tmp_path / "out")}
    assert progress.failed == 1
    assert by_method[f"bench_methods:{method}"].reason == reason
    assert by_method["bench_methods:identity"].ok
    alone = bench(tmp_path / "alone", "identity", limit=1)
    assert alone.failed == 0
    good = {row.key: row.scores["psnr[rgb,clip,peak=1]"] for row in rows(tmp_path / "alone") if row.role == "solver"}
    assert (
        good[by_method["bench_methods:identity"].key]
        == by_method["bench_methods:identity"].scores["psnr[rgb,clip,peak=1]"]
    )


def test_failed_rows_stay_until_they_are_asked_for_again(tiny: Path, tmp_path: Path) -> None:
    bench(tmp_path / "out", "raises", limit=1)
    assert bench(tmp_path / "out", "raises", limit=1).done == 0
    _, again = runner.bench(suite("raises"), tmp_path / "out", context=context(limit=1), retry_failed=True)
    assert (again.done, again.failed) == (1, 1)


def test_processes_that_hang_or_die_fail_their_item_only(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.runs.executors.local.GRACE_SECONDS", 0.5)
    progress = bench(
        tmp_path / "out", "sleeps_for_ever", "ends_its_process", "identity",
        executor=Local(workers=1, threads=1), timeout=1.0, limit=1,
    )  # fmt: skip
    found = {row.method.partition(":")[2]: row for row in rows(tmp_path / "out")}
    assert progress.failed == 2
    assert found["sleeps_for_ever"].reason == "no answer after 1 s (timeout); its process was stopped"
    assert found["ends_its_process"].reason == "the process that ran it ended (exit code 7)"
    assert found["identity"].ok


def test_processes_and_this_process_give_the_same_table(tiny: Path, tmp_path: Path) -> None:
    bench(tmp_path / "here", "identity")
    bench(tmp_path / "there", "identity", executor=Local(workers=1, threads=torch.get_num_threads()))
    assert table(tmp_path / "here") == table(tmp_path / "there")


def test_killing_at_random_moments_and_starting_again_gives_the_table_of_an_unbroken_run(
    tiny: Path, tmp_path: Path
) -> None:
    """Twenty kills with SIGKILL, anywhere between two commits, in one or inside SQLite's own write."""
    program = (
        "import os, sys; sys.path.insert(0, {here!r})\n"
        "import bench_helpers as t; from pathlib import Path\n"
        "import restore.runs.judge, restore.driver, restore.solvers.classical.measurement, restore.tasks.units\n"
        "import operators.noise.gaussian\n"
        "import restore.metrics.pixelwise, restore.metrics.scores, operators.core.identity, bench_methods\n"
        "t.runner.plan(t.suite('slow_identity', 'identity'), t.context())\n"
        "while out := sys.stdin.readline().strip():\n"
        "    pid = os.fork()\n"
        "    if pid == 0:\n"
        "        t.bench(Path(out), 'slow_identity', 'identity'); os._exit(0)\n"
        "    print(pid, flush=True); print(os.waitpid(pid, 0)[1], flush=True)\n"
    )
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    generator = random.Random(0)
    # A parent that has imported everything but computed nothing may fork: the twenty starts then take no time.
    with subprocess.Popen(
        [sys.executable, "-c", program.format(here=str(HERE))],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, env=environment,
    ) as parent:  # fmt: skip
        assert run_and_kill(parent, whole, None) == 0
        longest = time_of_a_run(parent, tmp_path)
        kills = 0
        while kills < 20:
            status = run_and_kill(parent, broken, generator.uniform(0.0, 0.7 * longest))
            kills += status == signal.SIGKILL
            if status == 0:  # it was done before the kill: begin again with an empty store
                for file in broken.glob("results.sqlite*"):
                    file.unlink()
        assert run_and_kill(parent, broken, None) == 0
        assert parent.stdin is not None
        parent.stdin.close()
    assert table(broken) == table(whole)
    assert len(table(broken).splitlines()) == 12


def time_of_a_run(parent: subprocess.Popen[bytes], folder: Path) -> float:
    """Seconds of an unbroken run, its files in the cache; the least of three, for a busy machine only adds to it."""
    seconds = []
    for k in range(3):
        began = time.monotonic()
        assert run_and_kill(parent, folder / f"timed{k}", None) == 0
        seconds.append(time.monotonic() - began)
    return min(seconds)


def run_and_kill(parent: subprocess.Popen[bytes], out: Path, after: float | None) -> int:
    """Have a child run into `out`, kill it after so many seconds (None: never); how it ended."""
    assert parent.stdin is not None and parent.stdout is not None
    parent.stdin.write(f"{out}\n".encode())
    child = int(parent.stdout.readline())
    # What the parent says next is how the child ended: a child that is done is not waited for.
    if after is not None and not select.select([parent.stdout], [], [], after)[0]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    return int(parent.stdout.readline())


def test_an_edited_row_is_noticed(tiny: Path, tmp_path: Path) -> None:
    import sqlite3

    bench(tmp_path / "out", "identity", limit=1)
    database = sqlite3.connect(tmp_path / "out" / "results.sqlite")
    database.execute("UPDATE scores SET value = value + 1 WHERE metric LIKE 'psnr%'")
    database.commit()
    database.close()
    with pytest.raises(RestoreError, match="was edited"):
        rows(tmp_path / "out")


def test_a_store_of_a_newer_schema_is_refused(tmp_path: Path) -> None:
    import sqlite3

    Store(tmp_path).close()
    database = sqlite3.connect(tmp_path / "results.sqlite")
    database.execute("PRAGMA user_version=99")
    database.close()
    with pytest.raises(RestoreError, match="schema 99"):
        Store(tmp_path)


def test_a_file_that_is_no_database_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "results.sqlite").write_text("hello, this is no database at all" * 40)
    with pytest.raises(RestoreError, match="no store of results"):
        Store(tmp_path)


def test_a_score_asked_for_later_is_taken_from_the_kept_estimate(tiny: Path, tmp_path: Path) -> None:
    keeping = Context(settings={"device": "cpu", "dtype": "float32"}, keep_all=True)
    runner.bench(suite("identity"), tmp_path / "out", context=keeping)
    before = {row.key: row.date for row in rows(tmp_path / "out")}
    wanted = suite("identity", metrics='mae = "mae[rgb,clip]"')
    _, progress = runner.bench(wanted, tmp_path / "out", context=keeping)
    found = rows(tmp_path / "out")
    assert progress.done == 0
    assert all(row.scores["mae[rgb,clip]"].value is not None and row.date == before[row.key] for row in found)


def test_rows_without_an_estimate_are_computed_again_for_a_new_score(tiny: Path, tmp_path: Path) -> None:
    bench(tmp_path / "out", "identity")
    wanted = suite("identity", metrics='mae = "mae[rgb,clip]"')
    _, progress = runner.bench(wanted, tmp_path / "out", context=context())
    assert progress.done == 8


def test_rows_of_an_older_metric_stay_until_their_successors_are_there(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench(tmp_path / "out", "identity")
    before = {row.key for row in rows(tmp_path / "out")}
    monkeypatch.setattr(runner, "metric_version", lambda name: "newer")

    class Stopped(Exception):
        pass

    def stop(*_: object) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        runner.bench(suite("identity"), tmp_path / "out", context=context(), tell=stop)
    assert {row.key for row in rows(tmp_path / "out")} == before


def test_a_missing_set_is_one_line_that_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RESTORE_DATA", raising=False)
    monkeypatch.setenv("RESTORE_CONFIG", str(tmp_path))
    with pytest.raises(RestoreError) as told:
        runner.bench(suites.load("standard"), tmp_path / "out", context=context())
    assert not (tmp_path / "out").exists()
    assert "restore data add set14 FOLDER" in str(told.value) and "\n" not in str(told.value)


@pytest.mark.parametrize("name", suites.names())
def test_suites_that_ship_can_be_read(name: str) -> None:
    assert suites.load(name).parts


def test_an_unknown_key_of_a_suite_is_an_error_with_a_suggestion() -> None:
    with pytest.raises(RestoreError, match="Did you mean 'solvers'"):
        suites.parse('version = 1\nsummary = "x"\n[[part]]\ntasks = ["{task}"]\nsolver = []\n', name="x")


def test_equal_runs_give_equal_tables_but_for_seconds_memory_and_dates(tiny: Path, tmp_path: Path) -> None:
    import csv
    import json

    for name in ("one", "two"):
        bench(tmp_path / name, "identity", "raises")
        store = Store(tmp_path / name, create=False)
        leaderboard.write(store)
        store.close()
    tables = []
    for name in ("one", "two"):
        content = json.loads((tmp_path / name / "leaderboard.json").read_text())
        content = {k: v for k, v in content.items() if not any(word in k for word in VOLATILE)}
        content["rows"] = [{k: v for k, v in r.items() if not any(w in k for w in VOLATILE)} for r in content["rows"]]
        with (tmp_path / name / "leaderboard.csv").open(newline="") as file:
            listed = [{k: v for k, v in r.items() if not any(w in k for w in VOLATILE)} for r in csv.DictReader(file)]
        tables.append((content, listed))
    assert tables[0] == tables[1]


def test_the_executor_of_an_option_is_the_one_it_names() -> None:
    assert isinstance(executors.make("serial"), executors.Serial)
    assert executors.make("", workers=2, threads=1).workers == 2  # type: ignore[attr-defined]
    with pytest.raises(RestoreError, match="unknown scheduler"):
        executors.make("nonsense")
