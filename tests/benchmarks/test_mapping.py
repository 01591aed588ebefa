"""Large pictures in windows and stacks in slices: the same answers as whole, resumed after any kill, or refused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from bench_helpers import HERE

import restore
from benchmarks.cases.planning import Context
from benchmarks.cases.windows import Windows
from benchmarks.runs import executors, mapping
from benchmarks.runs.mapping.grid import Tiling, cut
from benchmarks.runs.mapping.request import Request, prepare
from operators import image_id
from operators.common.errors import BadInput, RestoreError
from restore.tasks.given import Given

BLUR = """
version = 1
summary = "a blur that sees four pixels far"
[operator]
name = "blur"
kernel = "gaussian"
boundary = "reflect"
size = 9
sigma = 1.5
[noise]
name = "gaussian"
sigma = 0.01
[solver]
name = "tikhonov"
rho = 0.1
rtol = 1e-5
iterations = 200
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RESTORE_CONFIG", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "blur.toml").write_text(BLUR)
    return tmp_path


def smooth(*shape: int) -> torch.Tensor:
    """Values in [0.1, 0.9] that vary over some ten pixels."""
    wide = torch.rand(1, 1, *(n // 8 + 2 for n in shape[-2:]), generator=torch.Generator().manual_seed(3))
    plane = torch.nn.functional.interpolate(wide, size=shape[-2:], mode="bicubic")[0, 0].clamp(0, 1)
    shades = torch.linspace(0.8, 1.0, int(np.prod(shape[:-2]))).reshape(*shape[:-2], 1, 1)
    return (0.1 + 0.8 * plane * shades).float()


def context() -> Context:
    return Context(settings={"device": "cpu", "dtype": "float32"})


def done(folder: Path, request: Request, out: str = "out.h5", **more: Any) -> torch.Tensor:
    executor = more.pop("executor", None) or executors.make("serial")
    finished = mapping.restore_file(request, folder / out, context=context(), executor=executor, **more)
    assert finished.path is not None
    assert not mapping.work_folder(finished.path).exists()
    return torch.from_numpy(np.asarray(h5py.File(finished.path)["estimate"]))


def test_windows_of_a_deblurred_picture_equal_the_whole_of_it(folder: Path) -> None:
    """Oracle: `restore.solve` on the whole measurement, itself no part of this machinery."""
    task = restore.tasks.load(folder / "blur.toml")
    measured = task.problem(smooth(1, 120, 136), seed=0).y[0]
    restore.write(folder / "y.h5", measured)
    whole = restore.solve(task.measured(restore.read(folder / "y.h5")), None, task.solver_for()).estimate[0]
    tiled = done(folder, Request("blur.toml", folder / "y.h5", measured=True, tile=80, halo=24, blend=8))
    # What a rim invents decays by e about every four pixels; 24 leave a thousandth of the contrast.
    assert float((tiled - whole).abs().max()) < 1e-3
    seam = done(folder, Request("blur.toml", folder / "y.h5", measured=True, tile=80, halo=4, blend=8), "seam.h5")
    assert float((seam - whole).abs().max()) > 1e-3  # the halo is what makes them equal


@pytest.mark.parametrize(
    ("task", "settings", "tolerance"),
    [
        ("denoise", (), 0.0),
        ("denoise-poisson", (), 0.0),
        ("inpaint-random", ("noise.sigma=0.1",), 0.0),
        ("deblur-gaussian", ("operator.size=9", "operator.sigma=1.5"), 1e-6),  # FFTs of other sizes round differently
        ("sr2x", (), 1 / 255 + 1e-6),  # on the edge between two grey levels that rounding decides
    ],
)
def test_a_place_is_measured_alike_in_all_windows_that_see_it(
    folder: Path, task: str, settings: tuple[str, ...], tolerance: float
) -> None:
    restore.write(folder / "x.h5", smooth(3, 200, 168))
    seen: list[torch.Tensor] = []
    for tile in (80, 112):
        request = Request(task, folder / "x.h5", tile=tile, halo=8, blend=0, set=settings)
        mapped = prepare(request, context(), folder)
        factor = mapped.plan.items[0].where["factor"][0]
        y = torch.full((3, 200 // factor, 168 // factor), torch.nan)
        for item in mapped.plan.items:
            part = Windows.open(item).problem.y[0]
            top, bottom, left, right = (n // factor for n in item.where["window"])
            known = y[:, top:bottom, left:right]
            assert float((known - part).abs().nan_to_num().max()) <= tolerance
            y[:, top:bottom, left:right] = part
        seen.append(y)
    assert float((seen[0] - seen[1]).abs().max()) <= tolerance


@pytest.mark.parametrize("task", ["deblur-gaussian", "sr4x", "inpaint-random"])
def test_without_noise_windows_hold_the_measurement_of_the_whole_picture(folder: Path, task: str) -> None:
    picture = smooth(3, 160, 128)
    restore.write(folder / "x.h5", picture)
    chosen = restore.tasks.load(task).override({"noise.sigma": 0.0})
    whole = chosen.problem(picture, seed=0).y[0]
    mapped = prepare(Request(task, folder / "x.h5", tile=96, halo=8, set=("noise.sigma=0.0",)), context(), folder)
    for item in mapped.plan.items:
        factor = item.where["factor"][0]
        top, bottom, left, right = (n // factor for n in item.where["window"])
        problem = Windows.open(item).problem
        # One grey level where the measurement has eight bits: rounding decides on their edges.
        assert (
            float((problem.y[0] - whole[:, top:bottom, left:right]).abs().max())
            <= (1 / 255 if chosen.bits else 0) + 1e-6
        )
        assert problem.truth is not None and torch.equal(
            problem.truth[0], picture[(slice(None), *(slice(*item.where["window"][k : k + 2]) for k in (0, 2)))]
        )


def test_slices_are_restored_exactly_as_one_by_one(folder: Path) -> None:
    stack = smooth(3, 40, 36)
    with h5py.File(folder / "stack.h5", "w") as file:
        file["volume"] = stack.numpy()
    request = Request("denoise", folder / "stack.h5", {"axes": "DHW"}, solver="tikhonov", seed=4)
    together = done(folder, request)
    task = restore.tasks.load("denoise").override({"solver.name": "tikhonov"})
    assert together.shape == stack.shape
    for index in range(3):
        image = restore.read(folder / "stack.h5", axes="DHW", index=index)
        alone = restore.solve(task.problem(image, seed=4), None, task.solver_for(), seed=4)
        assert alone.provenance["image_ids"] == [image_id(stack[index][None])]
        assert torch.equal(together[index], alone.estimate[0, 0])


def test_a_complex_volume_is_put_together_and_its_spread_is_real(folder: Path) -> None:
    generator = torch.Generator().manual_seed(2)
    volume = torch.complex(*(torch.rand(2, 24, 20, generator=generator) for _ in range(2)))
    with h5py.File(folder / "volume.h5", "w") as file:
        file["volume"] = volume.numpy()
    request = Request("mri4x", folder / "volume.h5", {"axes": "DHW"}, solver="tikhonov", samples=2)
    answer = done(folder, request)
    assert answer.shape == volume.shape and answer.is_complex()
    with h5py.File(folder / "out.h5") as file:
        assert file["std"].dtype == np.float32


def test_a_store_that_cannot_be_written_is_one_line_and_keeps_what_is_committed(folder: Path) -> None:
    from benchmarks.records.store import FILE, Store

    store = Store(folder / "store")
    store.pixels("one", lambda: "1")
    pages = store._database.execute("PRAGMA page_count").fetchone()[0]
    store._database.execute(f"PRAGMA max_page_count = {pages}")  # as a full disk would have it
    with pytest.raises(RestoreError, match="run the same command again"):
        for number in range(1000):
            store.pixels(f"{number}" * 50, lambda: "2")
    store.close()
    again = Store(folder / "store")
    assert again.pixels("one", lambda: "3") == "1" and (folder / "store" / FILE).is_file()
    again.close()


def test_pages_of_a_tiff_are_a_stack_and_draws_leave_their_spread(folder: Path) -> None:
    import tifffile

    tifffile.imwrite(folder / "pages.tif", (255 * smooth(2, 40, 36)).numpy().astype(np.uint8))
    request = Request("denoise", folder / "pages.tif", solver="diffpir", set=("solver.steps=1",), prior="natural:bands")
    with h5py.File(folder / "out.h5", "w"):
        pass
    with pytest.raises(BadInput, match="exists"):
        done(folder, request)
    request = Request("denoise", folder / "pages.tif", solver="tikhonov", samples=2)
    assert done(folder, request, overwrite=True).shape == (2, 40, 36)
    with h5py.File(folder / "out.h5") as file:
        assert file["std"].shape == (2, 40, 36) and file["estimate"].attrs["axes"] == "DHW"


def test_a_finished_file_is_kept_and_another_request_does_not_replace_it(folder: Path) -> None:
    restore.write(folder / "x.h5", smooth(1, 70, 70))
    request = Request("denoise", folder / "x.h5", tile=64, halo=8, blend=4, solver="tikhonov")
    done(folder, request)
    before = (folder / "out.h5").stat().st_mtime_ns
    again = mapping.restore_file(request, folder / "out.h5", context=context(), executor=executors.make("serial"))
    assert again.progress is None and (folder / "out.h5").stat().st_mtime_ns == before
    other = Request("denoise", folder / "x.h5", tile=64, halo=8, blend=4, solver="tikhonov", seed=1)
    with pytest.raises(BadInput, match="--overwrite"):
        done(folder, other)
    assert (folder / "out.h5").stat().st_mtime_ns == before and not (folder / "out.h5.work").exists()


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (Request("ct-sparse", Path("x.h5"), {"unit": "hu"}, tile=64), "is not local"),
        (Request("cs4x", Path("x.h5"), tile=64), "is not local"),
        (Request("deblur-motion", Path("x.h5"), tile=64), "operator.boundary=reflect"),
        (Request("mri4x", Path("x.h5"), tile=64), "tile 0"),
        (Request("denoise", Path("x.h5"), tile=64, halo=40), "larger --tile"),
        (Request("denoise", Path("x.h5"), tile=16), "at least 64"),
        (Request("denoise", Path("x.h5"), given=Given(sigma=0.1)), "--measured"),
        (Request("inpaint-random", Path("x.h5"), tile=64, measured=True), "--mask FILE"),
        (Request("denoise", Path("none.h5"), tile=64), "no such file"),
    ],
)
def test_what_cannot_be_cut_is_refused_in_one_line_and_leaves_nothing(
    folder: Path, request_: Request, said: str
) -> None:
    restore.write(folder / "x.h5", smooth(3, 96, 96))
    there = set(folder.iterdir())
    with pytest.raises(RestoreError, match=said) as told:
        done(folder, request_)
    assert "\n" not in str(told.value) and set(folder.iterdir()) == there


def test_windows_cover_a_picture_once_and_lie_on_the_grid() -> None:
    for size in (64, 97, 201, 256):
        for tiling in (Tiling(64, (7, 7), 5), Tiling(64, (8, 8), 4, (4, 4)), Tiling(80, (16, 16), 0, (16, 16))):
            covered = np.zeros((size, size), dtype=int)
            for window in cut(size, size, tiling):
                top, bottom, left, right = window.keep
                covered[top:bottom, left:right] += 1
                assert window.solve[0] % tiling.grid[0] == 0 and window.solve[2] % tiling.grid[1] == 0
                assert (window.solve[1] - window.solve[0]) < tiling.tile + tiling.grid[0]
            assert covered.min() >= 1


PROGRAM = """
import sys; sys.path.insert(0, {here!r})
from pathlib import Path
from benchmarks.runs import executors, mapping
from benchmarks.cases.planning import Context
from benchmarks.runs.mapping.request import Request
request = Request("denoise", Path("x.h5"), tile=64, halo=4, blend=4, solver="bench_methods:slow_identity")
mapping.restore_file(request, Path(sys.argv[1]), context=Context(settings={{"device": "cpu", "dtype": "float32"}}),
                     executor=executors.make("serial"), tell=lambda *_: print("piece", flush=True))
"""


def test_a_run_that_is_killed_goes_on_and_ends_in_the_same_file(folder: Path) -> None:
    restore.write(folder / "x.h5", smooth(3, 240, 240))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", PROGRAM.format(here=str(HERE))]
    request = Request("denoise", Path("x.h5"), tile=64, halo=4, blend=4, solver="bench_methods:slow_identity")
    whole = done(folder, request, "whole.h5")
    with subprocess.Popen([*command, "killed.h5"], stdout=subprocess.PIPE, text=True, env=environment) as running:
        assert running.stdout is not None
        for _ in range(5):
            assert running.stdout.readline() == "piece\n"
        running.send_signal(signal.SIGKILL)
    assert not (folder / "killed.h5").exists() and (folder / "killed.h5.work").is_dir()
    pieces: list[Any] = []
    resumed = done(folder, request, "killed.h5", tell=lambda *one: pieces.append(one))
    assert 0 < len(pieces) <= 25 - 5
    assert torch.equal(resumed, whole)
    assert (folder / "killed.h5").read_bytes() == (folder / "whole.h5").read_bytes()
