"""What a picture's file says reaches the physics: pixels, angles, filters, trajectories; the user has the last word."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest
import torch

import operators
import restore
from benchmarks.cases.planning import Context
from benchmarks.cases.windows import Windows
from benchmarks.runs.mapping.request import Request, prepare
from operators import REGISTRY, BadInput
from operators.common.metadata import Acquisition, Camera, Facts, Geometry, Spectrum
from restore import tasks
from restore.io import Image, Metadata
from restore.tasks.sections import parse

IDENTITY = tuple(tuple(float(i == j) for j in range(4)) for i in range(4))
EVERYTHING = Facts(
    geometry=Geometry("DHW", (2.0, 0.75, 0.75), IDENTITY),
    camera=Camera(cfa="GRBG", black=(64.0, 66.0, 63.0, 65.0), white=4095.0, gain=0.5, read=2.0),
    spectral=Spectrum(wavelengths=(450.0, 550.0), widths=(10.0, 12.0), bad=(1,)),
    acquisition=Acquisition(
        angles=tuple(0.1 * k for k in range(8)), source=500.0, detector=400.0, trajectory=((0.0, 1.0),), coils=4
    ),
)


def image(data: torch.Tensor, unit: str = "as stored", **facts: object) -> Image:
    """A picture in memory whose file would have said these facts."""
    return Image(data, Metadata("npy", "", "scan", unit, (0.0, 1.0), 32, "float32", "CHW", **facts))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", REGISTRY)
def test_every_operator_answers_for_a_file_and_never_overrules_the_user(name: str) -> None:
    operator = REGISTRY.load(name)
    shape, silent = (3, 8, 8, 8)[-operator.spatial - 1 :], Facts()
    known = {**REGISTRY.parameters(name)}
    for output_shape in (None, shape):
        told = operator.informed_by(EVERYTHING, output_shape, {})
        assert {*told.settings, *told.arrays, *told.sizes} <= set(known)
        fixed = operator.informed_by(EVERYTHING, output_shape, {}, fixed=set(known))
        assert fixed == operator.informed_by(silent, output_shape, {}, fixed=set(known))
        assert not fixed.settings and not fixed.arrays


def test_typed_metadata_survives_json_and_older_metadata_is_read() -> None:
    meta = dataclasses.replace(
        image(torch.zeros(1, 4, 4)).meta, **{p.name: getattr(EVERYTHING, p.name) for p in dataclasses.fields(Facts)}
    )
    assert Metadata.from_dict(json.loads(json.dumps(meta.as_dict(), allow_nan=False))) == meta
    older = {key: value for key, value in meta.as_dict().items() if not hasattr(Facts, key)}
    assert Metadata.from_dict(older).geometry is None


@pytest.mark.parametrize(
    "make",
    [
        lambda: Geometry("HW", (1.0,)),
        lambda: Geometry("HH", (1.0, 1.0)),
        lambda: Geometry("HW", (0.0, 1.0)),
        lambda: Geometry(affine=((1.0,) * 4,) * 3),
        lambda: Camera(black=(100.0,), white=64.0),
        lambda: Acquisition(angles=(math.nan,)),
    ],
)
def test_impossible_metadata_is_refused(make) -> None:
    with pytest.raises(BadInput):
        make()


def test_the_pixel_of_a_ct_picture_is_that_of_its_file() -> None:
    slice_ = image(torch.zeros(1, 16, 16), "hu", geometry=Geometry("HW", (0.75, 0.75)))
    problem = tasks.load("ct-sparse").problem(slice_)
    assert problem.operator.pixel == 0.75 and any("0.75 mm, as the file says" in n for n in problem.recipe["notes"])
    recipe = dict(problem.recipe)
    assert tasks.rebuild(recipe, problem.y, recipe.pop("arrays")).operator.pixel == 0.75
    mine = tasks.load("ct-sparse").override({"operator.pixel": 0.6}).problem(slice_)
    assert mine.operator.pixel == 0.6 and not any("as the file says" in note for note in mine.recipe["notes"])
    oblong = image(torch.zeros(1, 16, 16), "hu", geometry=Geometry("HW", (0.5, 0.75)))
    problem = tasks.load("ct-sparse").problem(oblong)
    assert problem.operator.pixel == 0.5 and any("not square" in note for note in problem.recipe["notes"])


def test_the_angles_and_cells_of_a_sinogram_are_those_of_its_file() -> None:
    angles = tuple((0.1 * math.sqrt(k)) for k in range(9))
    x = torch.rand(1, 1, 20, 20)
    scanner = operators.build("ct-parallel", (1, 20, 20), angles=angles, detectors=20, pixel=0.25)
    facts = {"geometry": Geometry("W", (0.25,)), "acquisition": Acquisition(angles=angles)}
    task = tasks.load("ct-sparse")
    problem = task.measured(image(scanner(x)[0], **facts))
    torch.testing.assert_close(problem.operator(x), scanner(x))
    notes = " ".join(problem.recipe["notes"])
    assert "the file's own, 9" in notes and "equidistant" not in notes and "0.25 mm" in notes
    given = torch.linspace(0, 3, 9, dtype=torch.float64)
    mine = task.measured(image(scanner(x)[0], **facts), arrays={"angles": given})
    torch.testing.assert_close(mine.operator.get_buffer("angles"), given)
    with pytest.raises(BadInput, match="9 angles for a measurement of 8 views"):
        task.measured(image(scanner(x)[0, :, :8], **facts))


def test_the_lengths_of_a_fan_are_taken_together_or_not_at_all() -> None:
    fan = "version = 1\nsummary = 'a fan'\n[operator]\nname = 'ct-fan'\nsource = 100.0\n[noise]\nname = 'gaussian'\n"
    task = tasks.Task("fan", parse(f"{fan}sigma = 0.01\n[solver]\nname = 'tikhonov'\n", where="fan"))
    y, cells = torch.zeros(1, 9, 30), Geometry("W", (2.0,))
    stated = Acquisition(source=60.0, detector=40.0)
    with_source = task.measured(image(y, geometry=cells, acquisition=stated), shape=(1, 16, 16)).operator
    assert (with_source.source, with_source.detector, with_source.spacing) == (60.0, 40.0, 2.0)
    without = task.measured(image(y, geometry=cells), shape=(1, 16, 16)).operator
    assert without.source == 100.0 and without.spacing != 2.0


def test_a_frame_of_one_channel_is_a_packed_mosaic_of_the_cameras_pattern() -> None:
    frame = image(torch.rand(1, 8, 10), "[0,1]", camera=Camera(cfa="GBRG"))
    problem = tasks.load("demosaic").measured(frame)
    assert problem.operator.input_shape == (3, 8, 10) and problem.operator.pattern == "GBRG"
    assert any("packed" in note for note in problem.recipe["notes"])
    mine = tasks.load("demosaic").override({"operator.pattern": "BGGR"}).measured(frame)
    assert mine.operator.pattern == "BGGR"


def test_a_trajectory_in_the_file_is_where_k_space_was_sampled() -> None:
    points = torch.rand(40, 2, dtype=torch.float64) * 2 - 1
    scanner = operators.build("mri-nufft", (1, 16, 16), points=points)
    y = scanner(torch.rand(1, 1, 16, 16, dtype=torch.complex64))
    stated = Acquisition(trajectory=tuple(map(tuple, points.tolist())))
    scan = image(y[0].reshape(1, 1, -1), "magnitude", acquisition=stated)
    problem = tasks.load("mri-radial").measured(scan, shape=(1, 16, 16))
    torch.testing.assert_close(problem.operator.points.squeeze(), points.squeeze(), check_dtype=False)


def test_a_benchmark_measures_a_picture_as_its_file_says_and_tells_rows_apart_by_it(tmp_path) -> None:
    slice_ = torch.full((1, 16, 16), -500.0)
    restore.write(tmp_path / "a.h5", image(slice_, "hu"))
    restore.write(tmp_path / "b.h5", image(slice_, "hu", geometry=Geometry("HW", (0.75, 0.75))))
    seen = []
    for name in ("a.h5", "b.h5"):
        request = Request("ct-sparse", tmp_path / name, solver="tikhonov")
        (item,) = prepare(request, Context(settings={"device": "cpu", "dtype": "float32"}), tmp_path).plan.items
        seen.append((item.key, Windows.open(item).problem.operator.pixel))
        run = tasks.load("ct-sparse").problem(restore.read(tmp_path / name))
        assert torch.equal(Windows.open(item).problem.y, run.y)
    assert [pixel for _, pixel in seen] == [0.5, 0.75] and seen[0][0] != seen[1][0]
