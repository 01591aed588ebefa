"""Ctrl-C: what is finished is kept, and the same command goes on to the same answer."""

from __future__ import annotations

import json

import pytest
import torch

import restore
from restore.reconstruction import read_result
from restore.runs import partial
from restore.runs.progress import Bar
from restore.runs.sampling import Finished


@pytest.fixture
def stop_at(monkeypatch):
    """Raise KeyboardInterrupt at the first step of a sample, as Ctrl-C would, until told not to."""
    original = Bar.watch

    def arrange(sample: int | None) -> None:
        def watch(self, index, state, total) -> None:
            if index == sample:
                raise KeyboardInterrupt
            original(self, index, state, total)

        monkeypatch.setattr(Bar, "watch", watch)

    return arrange


def test_an_interrupted_run_keeps_its_samples_and_continues_to_the_same_answer(fast, picture, here, stop_at) -> None:
    arguments = ("--task", "sr4x", "--input", picture, "--samples", 3, "--seed", 4, "--batch", 1)
    assert fast(*arguments, "--out", "whole").status == 0
    stop_at(2)
    ended = fast(*arguments, "--out", "out")
    assert ended.status == 130 and "The same command continues" in ended.err
    assert {p.name for p in here.iterdir()} == {"face.png", "whole", "out.partial.h5"}
    stop_at(None)
    ended = fast(*arguments, "--out", "out")
    assert ended.status == 0 and "continuing after 2 of 3" in ended.err
    assert {p.name for p in here.iterdir()} == {"face.png", "whole", "out"}
    whole, out = (read_result(here / name / "result.h5").arrays for name in ("whole", "out"))
    assert all(torch.equal(whole[key], out[key]) for key in whole)


def test_samples_of_other_settings_are_not_taken_up(fast, picture, here, stop_at) -> None:
    arguments = ("--task", "sr4x", "--input", picture, "--samples", 2, "--batch", 1, "--out", "out")
    stop_at(1)
    assert fast(*arguments).status == 130
    stop_at(None)
    ended = fast(*arguments, "--set", "solver.zeta=0.9")
    assert ended.status == 0 and "continuing" not in ended.err


def test_stopping_before_the_first_sample_leaves_nothing(fast, picture, here, stop_at) -> None:
    stop_at(0)
    ended = fast("--task", "sr4x", "--input", picture, "--out", "out")
    assert ended.status == 130 and "nothing was finished" in ended.err
    assert {p.name for p in here.iterdir()} == {"face.png"}


def test_a_folder_run_skips_what_is_done(fast, here, face, stop_at, monkeypatch) -> None:
    (here / "in").mkdir()
    for name in "abc":
        restore.write(here / f"in/{name}.png", (face * (1 - 0.1 * ord(name) / 100)))
    calls = []
    original = Bar.picture

    def picture(self, name, samples, done) -> None:
        calls.append(name)
        if name == "c" and calls.count("c") == 1:
            raise KeyboardInterrupt
        original(self, name, samples, done)

    monkeypatch.setattr(Bar, "picture", picture)
    ended = fast("--task", "sr2x", "--input", "in", "--out", "out")
    assert ended.status == 130 and "2 pictures are in out" in ended.err
    assert not json.loads((here / "out/summary.json").read_text())["complete"]
    ended = fast("--task", "sr2x", "--input", "in", "--out", "out")
    assert ended.status == 0, ended.err
    assert calls == ["a", "b", "c", "c"]
    summary = json.loads((here / "out/summary.json").read_text())
    assert summary["complete"] and [row["name"] for row in summary["images"]] == ["a", "b", "c"]


def test_a_folder_run_does_not_mix_settings(fast, here, face) -> None:
    (here / "in").mkdir()
    restore.write(here / "in/a.png", face)
    assert fast("--task", "sr2x", "--input", "in", "--out", "out").status == 0
    ended = fast("--task", "sr2x", "--input", "in", "--out", "out", "--seed", 1)
    assert ended.status == 2 and "other settings" in ended.err


def test_one_failing_picture_does_not_end_the_folder(fast, here, face, monkeypatch) -> None:
    from operators import Diverged
    from restore.runs import execute

    (here / "in").mkdir()
    for name in "ab":
        restore.write(here / f"in/{name}.png", face if name == "a" else face.flip(-1))
    original, seen = execute.solve, []

    def solve(problem, **options):
        seen.append(problem)
        if len(seen) == 1:
            raise Diverged("left the finite numbers")
        return original(problem, **options)

    monkeypatch.setattr(execute, "solve", solve)
    ended = fast("--task", "sr2x", "--input", "in", "--out", "out")
    summary = json.loads((here / "out/summary.json").read_text())
    assert ended.status == 1 and set(summary["failed"]) == {"a"}
    assert [row["name"] for row in summary["images"]] == ["b"] and summary["counts"]["psnr"] == {"ok": 1, "failed": 1}


def test_a_run_keeps_its_samples_as_they_come(fast, picture, here, monkeypatch) -> None:
    """What a kill would cost: at most the batch in work, and what was sampled since the last write."""
    kept: list[int] = []
    original = partial.keep
    monkeypatch.setattr(partial, "keep", lambda out, finished, *, key: kept.append(len(finished.samples)))
    monkeypatch.setattr(partial, "SHARE", 0)
    arguments = ("--task", "sr4x", "--input", picture, "--samples", 4, "--batch", 1, "--out", "out")
    assert fast(*arguments).status == 0
    assert kept == [1, 2, 3]
    monkeypatch.setattr(partial, "keep", original)
    assert fast(*arguments, "--overwrite").status == 0
    assert {p.name for p in here.iterdir()} == {"face.png", "out"}


def test_writing_what_is_finished_never_ends_a_run_and_costs_little_of_it(tmp_path, monkeypatch) -> None:
    clock = iter([0.0, 0.0, 1.0, 5.0, 21.5, 22.0])
    monkeypatch.setattr(partial.time, "monotonic", lambda: next(clock))
    written: list[int] = []

    def keep(out, finished, *, key) -> None:
        written.append(len(finished.samples))
        raise OSError("the disk is full")

    monkeypatch.setattr(partial, "keep", keep)
    keeper = partial.SampleKeeper(tmp_path / "out", key="k")
    for count in (1, 2, 3):  # the first takes a second; 4 s later is too soon for the next, 20.5 s later is not
        keeper(Finished(torch.zeros(count, 1)))
    assert written == [1, 3]
