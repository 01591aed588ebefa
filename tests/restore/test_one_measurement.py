"""One measurement for one picture and seed, whichever door it is asked for at; decoded and drawn once a run."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import operators
import restore
from benchmarks.cases.pictures import Pictures
from benchmarks.cases.planning import Context
from benchmarks.cases.windows import Windows
from benchmarks.runs.mapping import streaming
from benchmarks.runs.mapping.request import Request, prepare
from operators import BadInput, BadType, NoiseSource
from operators.noise import REGISTRY as NOISES
from restore import solvers, tasks
from restore.reconstruction import read_result
from restore.runs import again
from restore.runs import plan as planning
from restore.tasks import measurement
from restore.tasks.given import Given
from restore.tasks.task import Task


@pytest.fixture
def picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RESTORE_CONFIG", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    data = torch.rand(3, 96, 128, generator=torch.Generator().manual_seed(5))
    return restore.write(tmp_path / "x.png", data)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the PNG files that were decoded, in their order."""
    from restore.io import png

    names: list[str] = []

    def noted(source: Any, options: Any) -> Any:
        names.append(source.path.name)
        return original.read(source, options)

    original = png.FORMAT
    monkeypatch.setattr(png, "FORMAT", dataclasses.replace(original, read=noted))
    return names


@pytest.mark.parametrize("name", ["denoise", "denoise-poisson", "sr4x", "inpaint-random", "deblur-gaussian"])
def test_five_doors_give_the_same_measurement_bit_for_bit(name: str, picture: Path, tmp_path: Path) -> None:
    settings = {"operator.boundary": "reflect"} if name == "deblur-gaussian" else {}
    task = tasks.load(name).override(settings) if settings else tasks.load(name)
    image = restore.read(picture)
    scripted = task.problem(image, seed=3)

    options = planning.RunOptions(
        task=name, input=picture, out=tmp_path / "out", seed=3, solver="tikhonov", baseline=False,
        set=tuple(f"{key}={value}" for key, value in settings.items()),
    )  # fmt: skip
    ran = planning.make(options).open(planning.RunItem("x", picture, tmp_path / "out"))[1]
    assert torch.equal(ran.y, scripted.y)

    own = restore.measure(image, scripted.operator, task.noise(), seed=3, bits=task.bits)
    assert torch.equal(own.y, scripted.y) and own.noise == scripted.noise

    request = Request(
        name, picture, tile=64, halo=8, blend=4, seed=3, solver="tikhonov",
        set=tuple(f"{key}={value}" for key, value in settings.items()),
    )  # fmt: skip
    mapped = prepare(request, Context(settings={"device": "cpu", "dtype": "float32"}), tmp_path)
    assert len(mapped.plan.items) > 1
    for item in mapped.plan.items:
        factor = item.where["factor"][0]
        top, bottom, left, right = (n // factor for n in item.where["window"])
        assert torch.equal(Windows.open(item).problem.y, scripted.y[..., top:bottom, left:right])

    result = restore.solve(scripted, solver=solvers.build("tikhonov"), seed=3).save(tmp_path / "r.h5")
    assert again.repeat(result).measurement is True
    assert torch.equal(read_result(result).arrays["y"], scripted.y)


def test_a_scan_is_measured_alike_by_a_run_a_script_and_a_repetition(tmp_path: Path) -> None:
    """Nothing local: no map cuts it. A script hands over the picture in the operator's own unit."""
    slice_ = 1000 * torch.rand(1, 48, 48, generator=torch.Generator().manual_seed(2)) - 900
    restore.write(tmp_path / "x.h5", slice_)
    options = planning.RunOptions(
        task="ct-sparse", input=tmp_path / "x.h5", out=tmp_path / "out", seed=3, solver="direct", reading={"unit": "hu"}
    )
    ran = planning.make(options).open(planning.RunItem("x", tmp_path / "x.h5", tmp_path / "out"))[1]
    task = tasks.load("ct-sparse")
    scripted = task.problem(restore.read(tmp_path / "x.h5", unit="hu"), seed=3)
    assert torch.equal(ran.y, scripted.y)
    assert torch.equal(restore.measure(scripted.truth, scripted.operator, task.noise(), seed=3).y, scripted.y)
    # The seed of the measurement is its own; a script may run with another one.
    result = restore.solve(scripted, solver="direct", seed=8).save(tmp_path / "r.h5")
    assert again.repeat(result).measurement is True


def test_what_is_said_of_a_measurement_is_the_same_as_files_and_as_arrays(picture: Path, tmp_path: Path) -> None:
    kernel = torch.rand(5, 7, generator=torch.Generator().manual_seed(1))
    restore.write(tmp_path / "k.h5", kernel[None])
    task, image = tasks.load("deblur-gaussian"), restore.read(picture)
    of_files = task.posed(image, Given.worded(sigma="0.02", kernel=tmp_path / "k.h5", shape="3,96,128"))
    of_arrays = task.measured(image, sigma=0.02, kernel=kernel, shape=(3, 96, 128))
    assert torch.equal(of_files.operator(of_files.y), of_arrays.operator(of_arrays.y))
    assert of_files.noise == of_arrays.noise
    with pytest.raises(BadInput, match="loaded"):
        _ = Given(kernel=tmp_path / "k.h5").parts


def test_a_benchmark_measures_as_a_run_does(picture: Path, tmp_path: Path) -> None:
    from benchmarks import suites
    from benchmarks.runs import runner
    from benchmarks.sets import collecting

    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "x.png").write_bytes(picture.read_bytes())
    collecting.add("own", tmp_path / "set")
    text = 'version = 1\nsummary = "one"\n[[part]]\ntasks = ["denoise"]\nsets = ["own"]\nsolvers = ["tikhonov"]\n'
    for item in runner.plan(suites.parse(text, name="one"), Context(keep_first=0)).items:
        measured = Pictures.open(item).problem.y
        assert torch.equal(measured, tasks.load("denoise").problem(restore.read(picture), seed=item.seed).y)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("denoise", {}),
        ("denoise-poisson", {}),
        ("sr4x", {}),
        ("inpaint-random", {}),
        ("demosaic", {"operator.form": "packed"}),  # fewer channels than the picture
    ],
)
def test_a_picture_too_large_for_one_piece_is_measured_in_bands_and_is_the_same(
    name: str, settings: dict[str, str], picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = tasks.load(name).override(settings)
    problem = task.problem(restore.read(picture), seed=1)
    whole = problem.y[0]
    monkeypatch.setattr(streaming, "WHOLE", 0)
    monkeypatch.setattr(streaming, "BAND", 20)
    words = tuple(f"{key}={value}" for key, value in settings.items())
    request = Request(name, picture, tile=64, halo=8, blend=4, seed=1, solver="tikhonov", set=words)
    item = prepare(request, Context(), tmp_path).plan.items[0]
    path = streaming.ensure(task, item.where, seed=1)
    height, width = whole.shape[-2:]
    streamed = streaming.part({**item.where, "y": str(path)}, "y", (0, height, 0, width))[0]
    # Reductions of bands round their sums as those of the whole do; what is stored with a depth is equal in any case.
    assert torch.equal(streamed, whole)
    height, width = item.where["size"]
    assert torch.equal(streaming.part(item.where, "x", (0, height, 0, width)), problem.truth)


def test_a_map_decodes_a_picture_for_its_name_and_for_its_measurement_and_no_window_does(
    picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decoded: list[str]
) -> None:
    monkeypatch.setattr(streaming, "WHOLE", 0)
    monkeypatch.setattr(streaming, "BAND", 20)
    request = Request("denoise", picture, tile=64, halo=8, blend=4, solver="tikhonov")
    items = prepare(request, Context(), tmp_path).plan.items
    planned = len(decoded)  # the size of a PNG is told by reading it
    for item in items:
        Windows.open(item)
    assert len(items) > 1 and len(decoded) == planned + 1 and planned <= 2


@pytest.mark.parametrize("name", NOISES)
def test_noise_drawn_channel_by_channel_and_row_by_row_is_that_of_the_whole(name: str) -> None:
    law = NOISES.build(name)
    clean = torch.rand(1, 2, 12, 7, generator=torch.Generator().manual_seed(0)) * 0.8 + 0.1
    whole = law.sample(clean, NoiseSource(4, ["picture"]))
    source = NoiseSource(4, ["picture"])
    parts = [
        torch.cat([law.sample(clean[:, c : c + 1, r : r + 5], source) for r in (0, 5, 10)], dim=2) for c in range(2)
    ]
    assert torch.equal(torch.cat(parts, dim=1), whole) == law.in_order


# -- once ------------------------------------------------------------------------------------------------------------


def test_a_run_decodes_and_measures_its_picture_once(
    picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from restore.cli import main
    from restore.runs import plan

    counts = {"read": 0, "measure": 0}
    read, measure = plan.io.read, measurement.measure

    def counted(kind: str, function: Any) -> Any:
        def call(*arguments: Any, **more: Any) -> Any:
            counts[kind] += 1
            return function(*arguments, **more)

        return call

    monkeypatch.setattr(plan.io, "read", counted("read", read))
    monkeypatch.setattr(measurement, "measure", counted("measure", measure))
    command = [
        "run",
        "--task",
        "denoise",
        "--solver",
        "tikhonov",
        "--input",
        str(picture),
        "--out",
        str(tmp_path / "o"),
    ]
    assert main([*command, "--quiet"]) == 0
    assert counts == {"read": 1, "measure": 1}


def test_a_folder_is_decoded_picture_by_picture_and_each_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decoded: list[str]
) -> None:
    from restore.cli import main

    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    for number in range(3):
        data = torch.rand(3, 24, 24, generator=torch.Generator().manual_seed(number))
        restore.write(tmp_path / "in" / f"{number}.png", data)
    assert main(["run", "--task", "denoise", "--solver", "tikhonov", "--input", "in", "--out", "out", "--quiet"]) == 0
    assert decoded == ["0.png", "1.png", "2.png"]


def test_one_entry_of_every_stack_of_a_folder_is_restored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from restore.cli import main

    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    for name in "ab":
        np.save(tmp_path / "in" / f"{name}.npy", np.random.default_rng(0).random((2, 3, 24, 24), dtype=np.float32))
    command = ["run", "--task", "denoise", "--solver", "tikhonov", "--input", "in", "--out", "out"]
    assert main([*command, "--index", "1", "--axes", "NCHW", "--quiet"]) == 0
    assert {entry.name for entry in (tmp_path / "out").iterdir()} == {"a", "b", "summary.json"}


@pytest.mark.parametrize("name", tasks.REGISTRY)
def test_a_run_builds_the_chosen_solver_and_no_other(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[str] = []
    original = solvers.build

    def noted(name: str, **settings: Any) -> Any:
        built.append(name)
        return original(name, **settings)

    monkeypatch.setattr(solvers, "build", noted)
    task = tasks.load(name)
    task.check()
    chosen = {task.sections.solver.name, task.sections.baseline.name}
    assert set(built) <= chosen


@pytest.mark.parametrize("name", tasks.REGISTRY)
def test_every_section_of_a_shipped_task_builds_what_it_names(name: str) -> None:
    task = tasks.load(name)
    for solver in solvers.REGISTRY:
        assert type(task.solver_for(solver)) is solvers.REGISTRY.load(solver)
    assert Task.from_table(task.table, name) == task


# -- restore.measure -------------------------------------------------------------------------------------------------


def test_a_number_is_the_sigma_of_gaussian_noise_and_arrays_and_paths_are_pictures(picture: Path) -> None:
    image = restore.read(picture)
    operator = operators.build("identity", image.shape)
    problems = [
        restore.measure(kind, operator, 0.02, seed=7)
        for kind in (image, image.data, image.data[None], image.data.numpy(), str(picture), picture)
    ]
    assert all(torch.equal(problem.y, problems[0].y) for problem in problems)
    assert problems[0].noise == operators.noise.Gaussian(sigma=0.02)
    assert float((problems[0].y - image.data).std()) == pytest.approx(0.02, rel=0.05)
    assert restore.measure(np.float64(image.data.numpy()), operator).y.dtype == torch.float64


def test_what_is_no_picture_no_operator_or_no_noise_is_refused(picture: Path) -> None:
    operator = operators.build("identity", (3, 96, 128))
    with pytest.raises(BadInput, match="shape"):
        restore.measure(torch.rand(3, 5, 5), operator)
    with pytest.raises(BadType, match="operator is str"):
        restore.measure(picture, "identity")  # type: ignore[arg-type]
    with pytest.raises(BadType, match="noise is str"):
        restore.measure(picture, operator, "gaussian")  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="sigma"):
        restore.measure(picture, operator, -0.1)
    with pytest.raises(BadInput, match="bits"):
        restore.measure(picture, operator, bits=17)
