"""`--out` belongs to one run at a time; links are not replaced; Ctrl-C ends with 130, once or twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import restore
from operators import BadInput
from operators.common import atomic
from operators.common.atomic import atomic_folder, atomic_path, claimed
from operators.common.outside import WriteError
from restore.cli import main
from restore.runs import execute, plan

ROOT = Path(restore.__file__).parents[1]
COMMAND = ("run", "--task", "denoise", "--solver", "tikhonov", "--input", "x.png", "--quiet", "--no-baseline")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    restore.write("x.png", torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0)))
    return tmp_path


def test_a_folder_that_another_run_writes_now_is_refused(here: Path, capsys) -> None:
    with claimed(here / "out"):
        assert main([*COMMAND, "--out", "out"]) == 2
        assert "another run is writing it now" in capsys.readouterr().err
    assert main([*COMMAND, "--out", "out"]) == 0
    assert {p.name for p in here.iterdir()} == {"x.png", "out"}


def test_of_two_runs_that_were_planned_for_one_new_folder_the_second_refuses(here: Path) -> None:
    options = plan.RunOptions("denoise", here / "x.png", here / "out", solver="tikhonov", baseline=False)
    first, second = plan.make(options), plan.make(options)
    execute.execute(first, quiet=True)
    with pytest.raises(BadInput, match="exists"):
        execute.execute(second, quiet=True)


def test_two_processes_that_begin_at_once_leave_one_result_and_one_refusal(here: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "restore", *COMMAND, "--out", "deep/new/out"]
    pair = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    told = [process.communicate(timeout=120)[1] for process in pair]
    assert sorted(process.returncode for process in pair) == [0, 2], told
    assert {p.name for p in (here / "deep" / "new").iterdir()} == {"out"}


def test_what_a_killed_run_left_is_cleared_and_what_it_moved_aside_is_put_back(tmp_path: Path) -> None:
    target = tmp_path / "out"
    (tmp_path / ".out.restore-new-abc").mkdir()
    (tmp_path / ".out.restore-old-abc" / "kept").mkdir(parents=True)
    (tmp_path / ".out.restore-old-abc" / "kept" / "result.h5").touch()
    (tmp_path / ".out.lock").touch()
    (tmp_path / ".out-2.restore-new-abc").mkdir()  # of another name
    with claimed(target), atomic_folder(target) as stage:
        assert [p.name for p in target.iterdir()] == ["result.h5"]
        (stage / "new").touch()
    assert {p.name for p in tmp_path.iterdir()} == {"out", ".out-2.restore-new-abc"}
    assert [p.name for p in target.iterdir()] == ["new"]


def test_the_unfinished_file_of_a_killed_process_is_removed_by_the_next_write(tmp_path: Path) -> None:
    script = (
        "import os, signal\nfrom operators.common.atomic import atomic_path\n"
        "with atomic_path('a.txt') as part:\n    part.write_text('half')\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", script], env=environment, cwd=tmp_path, check=False, timeout=60)
    assert [p.suffix for p in tmp_path.iterdir()] == [".txt"] and not (tmp_path / "a.txt").exists()
    kept = {f"{atomic._part_of(os.getppid())}{'0' * 12}.txt", f".restore-{'0' * 12}-1-{'0' * 12}.txt", ".restore-mine"}
    for name in kept:  # of a process that lives, of another machine, of somebody else
        (tmp_path / name).touch()
    with atomic_path(tmp_path / "b.txt") as part:
        part.write_text("whole")
    assert {p.name for p in tmp_path.iterdir()} == {"b.txt", *kept}


def test_rerun_claims_its_out_and_finds_a_bad_place_before_any_work(here: Path, capsys, monkeypatch) -> None:
    from restore.runs import again

    assert main([*COMMAND, "--out", "out"]) == 0
    with claimed(here / "b.h5"):
        assert main(["rerun", "out/result.h5", "--out", "b.h5", "--overwrite"]) == 2
    assert "another run is writing it now" in capsys.readouterr().err
    monkeypatch.setattr(again, "solve", lambda *given, **settings: pytest.fail("computed before the place was known"))
    for bad in ("out", "x.png", "x.png/b.h5", "/proc/nothing/b.h5"):
        assert main(["rerun", "out/result.h5", "--out", bad]) == 2
        told = capsys.readouterr().err
        assert told.startswith("restore: ") and told.count("\n") == 1
    monkeypatch.undo()
    monkeypatch.chdir(here)
    assert main(["rerun", "out/result.h5", "--out", "new/b.h5"]) == 0
    assert {p.name for p in here.iterdir()} == {"x.png", "out", "new"}


def test_import_claims_its_name(here: Path, capsys) -> None:
    torch.save({"state_dict": {}}, here / "net.pth")
    with claimed(here / "priors" / "net.safetensors"):
        assert main(["import", "net.pth", "--format", "rddm", "--out", "priors"]) == 2
        assert "another run is writing it now" in capsys.readouterr().err
    assert main(["import", "net.pth", "--format", "rddm", "--out", "priors"]) == 2  # of no known layout
    assert "another run" not in capsys.readouterr().err
    assert {p.name for p in here.iterdir()} == {"x.png", "net.pth"}  # nothing half-made


def test_folders_that_were_made_for_nothing_are_gone_again(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="stop"), claimed(tmp_path / "a" / "b" / "out"):
        raise ValueError("stop")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(WriteError), claimed(tmp_path / "file" / "out"):
        pass


@pytest.mark.parametrize("overwrite", [(), ("--overwrite",)])
@pytest.mark.parametrize("leads", ["empty", "nowhere", "out", "full"])
def test_a_link_as_out_is_refused_and_stays(here: Path, capsys, leads: str, overwrite: tuple[str, ...]) -> None:
    (here / "empty").mkdir()
    if leads == "full":
        assert main([*COMMAND, "--out", "full"]) == 0
    (here / "out").symlink_to(leads)
    before = sorted(p.name for p in here.rglob("*"))
    assert main([*COMMAND, "--out", "out", *overwrite]) == 2
    assert "symbolic link" in capsys.readouterr().err
    assert (here / "out").is_symlink() and sorted(p.name for p in here.rglob("*")) == before


@pytest.mark.parametrize("out", ["x.png", "x.png/out", "loop/out", "n" * 300, "/proc/nothing/out"])
def test_a_place_where_no_folder_can_be_is_refused_in_one_line(here: Path, capsys, out: str) -> None:
    (here / "loop").symlink_to("loop")
    assert main([*COMMAND, "--out", out]) == 2
    told = capsys.readouterr().err
    assert told.startswith("restore: ") and told.count("\n") == 1
    assert {p.name for p in here.iterdir()} == {"x.png", "loop"}


@pytest.mark.parametrize("presses", [1, 2, 5])
@pytest.mark.parametrize("wait", [0.3, 2.5])
def test_control_c_ends_with_130_however_often_it_is_pressed(here: Path, presses: int, wait: float) -> None:
    script = (
        "import sys, time, signal, os\nsys.argv[1:] = {words!r}\nsys.stderr.write('on\\n')\n"
        "from restore.__main__ import main\nsys.exit(main())\n"
    ).format(words=["run", "--task", "sr4x", "--samples", "50", "--out", "out"])
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, "-c", script], env=environment, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    process.stderr.readline()
    time.sleep(wait)
    for _ in range(presses):
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        time.sleep(0.02)
    told = process.communicate(timeout=60)[1]
    assert process.returncode == 130, told
    assert "Traceback" not in told
    assert not (here / "out").exists()
