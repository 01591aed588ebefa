"""Input that cannot be used: one line, exit status 2, nothing written."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

import restore


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else b"" for p in sorted(folder.rglob("*"))}


def prepare(here: Path, face: torch.Tensor) -> None:
    """The broken and the good files that the cases below name."""
    restore.write(here / "good.png", face)
    content = (here / "good.png").read_bytes()
    (here / "cut.png").write_bytes(content[: len(content) // 2])
    (here / "empty.png").write_bytes(b"")
    (here / "text.png").write_text("this is no picture")
    (here / "folder").mkdir()
    (here / "folder/readme.txt").write_text("no pictures here")
    np.save(here / "nan.npy", np.full((48, 48), np.nan, np.float32))
    np.save(here / "large.npy", (face.permute(1, 2, 0).numpy() * 255).astype(np.float32))
    np.save(here / "pickled.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    np.save(here / "stack.npy", np.zeros((5, 48, 48), np.float32))
    np.save(here / "zero_kernel.npy", np.zeros((5, 5), np.float32))
    np.save(here / "small_mask.npy", np.ones((5, 5), np.float32))
    np.save(here / "bands.npy", np.zeros((48, 48, 28), np.float32))
    (here / "bad.toml").write_text("version = 1\n[operator\n")
    (here / "odd.toml").write_text('version = 1\nsummary = "x"\n[operator]\nname = "identity"\n[nose]\nsigma = 1\n')
    (here / "occupied").mkdir()
    (here / "occupied/thesis.tex").write_text("years of work")


FAULTS = {
    "missing file": ("--input", "nope.png"),
    "folder without pictures": ("--input", "folder"),
    "empty file": ("--input", "empty.png"),
    "text renamed": ("--input", "text.png"),
    "truncated file": ("--input", "cut.png"),
    "not a number": ("--input", "nan.npy"),
    "values to 255": ("--input", "large.npy"),
    "pickled array": ("--input", "pickled.npy"),
    "axes unsaid": ("--input", "stack.npy"),
    "index beyond": ("--input", "stack.npy", "--axes", "NHW", "--index", 9),
    "too many channels": ("--input", "bands.npy", "--axes", "HWC"),
    "pixel limit": ("--input", "good.png", "--max-pixels", 100),
    "unknown unit": ("--input", "good.png", "--unit", "parsec"),
    "unknown task": ("--input", "good.png", "--task", "sr5x"),
    "task file not TOML": ("--input", "good.png", "--task", "bad.toml"),
    "task file with unknown section": ("--input", "good.png", "--task", "odd.toml"),
    "task file missing": ("--input", "good.png", "--task", "none.toml"),
    "unknown solver": ("--input", "good.png", "--solver", "difpir"),
    "prior given where none is used": ("--input", "good.png", "--solver", "tv"),
    "unknown section": ("--input", "good.png", "--set", "solvr.steps=3"),
    "unknown key": ("--input", "good.png", "--set", "solver.stps=3"),
    "unknown operator parameter": ("--input", "good.png", "--set", "operator.factr=2"),
    "wrong type": ("--input", "good.png", "--set", "solver.zeta=much"),
    "out of range": ("--input", "good.png", "--set", "solver.zeta=7.5"),
    "not key=value": ("--input", "good.png", "--set", "solver.zeta"),
    "unknown metric": ("--input", "good.png", "--set", "metrics.psnr=pnsr[rgb]"),
    "unknown preset": ("--input", "good.png", "--set", "solver.preset=papr"),
    "negative seed": ("--input", "good.png", "--seed", -1),
    "seed beyond 63 bits": ("--input", "good.png", "--seed", 2**63),
    "no samples": ("--input", "good.png", "--samples", 0),
    "samples no number": ("--input", "good.png", "--samples", "many"),
    "unknown device": ("--input", "good.png", "--device", "abacus"),
    "device not here": ("--input", "good.png", "--device", "cuda:63"),
    "unknown dtype": ("--input", "good.png", "--dtype", "float7"),
    "tile too small": ("--input", "good.png", "--tile", 3),
    "unknown noise place": ("--input", "good.png", "--noise", "gpu"),
    "sigma without measured": ("--input", "good.png", "--sigma", 0.1),
    "negative sigma": ("--input", "good.png", "--measured", "--sigma", -0.1),
    "sigma no number": ("--input", "good.png", "--measured", "--sigma", "little"),
    "kernel for a task without one": ("--input", "good.png", "--measured", "--kernel", "zero_kernel.npy"),
    "kernel of zeros": ("--input", "good.png", "--measured", "--task", "deblur-motion", "--kernel", "zero_kernel.npy"),
    "mask of another size": ("--input", "good.png", "--measured", "--task", "inpaint-box", "--mask", "small_mask.npy"),
    "no mask to be seen": ("--input", "good.png", "--measured", "--task", "inpaint-box"),
    "shape that does not fit": ("--input", "good.png", "--measured", "--shape", "3,50,50"),
    "peak for Gaussian noise": ("--input", "good.png", "--measured", "--peak", 30),
    "out is a file": ("--input", "good.png", "--out", "good.png"),
    "out below a file": ("--input", "good.png", "--out", "good.png/out"),
    "out holds other files": ("--input", "good.png", "--out", "occupied", "--overwrite"),
    "unknown option": ("--input", "good.png", "--sampels", 3),
    "missing prior file": ("--input", "good.png", "--prior", "none.safetensors"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_one_line_status_2_and_writes_nothing(fault, fast, here, face) -> None:
    prepare(here, face)
    before = snapshot(here)
    ended = fast("--task", "sr4x", *FAULTS[fault])
    assert ended.status == 2, (ended.status, ended.out, ended.err)
    assert ended.out == "" and ended.err.count("\n") == 1, ended.err
    assert ended.err.startswith("restore: ") and "Traceback" not in ended.err
    assert snapshot(here) == before


def test_an_existing_result_is_kept_without_overwrite(fast, picture, here) -> None:
    fast("--task", "sr4x", "--input", picture, "--out", "out")
    before = snapshot(here)
    ended = fast("--task", "sr4x", "--input", picture, "--out", "out", "--seed", 1)
    assert ended.status == 2 and "--overwrite" in ended.err
    assert snapshot(here) == before
    ended = fast("--task", "sr4x", "--input", picture, "--out", "out", "--seed", 1, "--overwrite")
    assert ended.status == 0 and snapshot(here) != before


def test_a_failure_while_writing_leaves_the_old_result_and_no_debris(fast, picture, here, monkeypatch) -> None:
    fast("--task", "sr4x", "--input", picture, "--out", "out")
    before = snapshot(here)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "report.html")

    monkeypatch.setattr("restore.report.write", full)
    ended = fast("--task", "sr4x", "--input", picture, "--out", "out", "--seed", 1, "--overwrite")
    assert ended.status == 2 and "No space left" in ended.err
    assert snapshot(here) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_place_is_found_before_any_work(fast, picture, here) -> None:
    (here / "locked").mkdir(mode=0o555)
    ended = fast("--task", "sr4x", "--input", picture, "--out", "locked/out")
    assert ended.status == 2 and "permission" in ended.err


def test_pickled_input_is_never_executed(fast, here) -> None:
    import pickle

    class Bomb:
        def __reduce__(self) -> tuple:
            return Path.touch, (here / "canary",)

    for name in ("bomb.npy", "bomb.safetensors", "bomb.png"):
        (here / name).write_bytes(pickle.dumps(Bomb()))
        assert fast("--task", "sr4x", "--input", name).status == 2
    assert fast("--task", "sr4x", "--prior", "bomb.safetensors").status == 2
    assert not (here / "canary").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("score", "a.png", "b.png"),
        ("rerun", "none.h5"),
        ("report", "none.h5"),
        ("tasks", "sr5x"),
        ("solvers", "difpir", "--json"),
        ("train", "naturel"),
        ("train", "natural", "--data", "nowhere"),
        ("doctor", "--fetch", "everything"),
        ("doctor", "--operator", "nofile.py:A"),
        ("rune",),
    ],
)
def test_every_command_ends_bad_input_in_one_line(arguments, command, here) -> None:
    ended = command(*arguments)
    assert ended.status == 2 and ended.err.count("\n") == 1 and ended.out == ""
    assert list(here.iterdir()) == []


def test_weights_to_go_on_from_are_read_before_the_pictures(command, here) -> None:
    (here / "torn.safetensors").write_bytes(b"junk")
    ended = command("train", "natural", "--data", ".", "--weights", "torn.safetensors")
    assert ended.status == 2 and ended.err.count("\n") == 1 and "torn.safetensors is not a whole" in ended.err
    assert [p.name for p in here.iterdir()] == ["torn.safetensors"]
