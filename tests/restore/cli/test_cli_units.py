"""Pictures in other units than [0, 1]: how they enter a problem, and how answers are judged, shown and written."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

import restore
from operators import BadInput
from operators.ct.geometry import WATER
from restore import tasks
from restore.tasks import units
from restore.tasks.sections import parse

TASK = """
version = 1
summary = "a picture in another unit"
[operator]
name = "{operator}"
{parameters}
[noise]
name = "gaussian"
sigma = 0.0
[input]
{unit}
[solver]
name = "tikhonov"
rho = 1e-9
[metrics]
psnr = "{psnr}"
"""


def task(unit: str, *, operator: str = "identity", parameters: str = "", psnr: str = "psnr[unclipped,peak=100]"):
    text = TASK.format(unit=unit, operator=operator, parameters=parameters, psnr=psnr)
    return tasks.Task("t", parse(text, where="t"))


def head() -> torch.Tensor:
    """A picture in HU: air, water, soft tissue and bone."""
    x = torch.full((1, 16, 16), -1000.0)
    x[:, 3:13, 3:13] = 0.0
    x[:, 5:9, 5:9] = 60.0
    x[:, 10:12, 4:12] = 1200.0
    return x


def test_hounsfield_units_enter_as_attenuation_and_leave_as_they_came() -> None:
    ct = task('unit = "hu"\nmu_water = 0.02')
    problem = ct.problem(head())
    assert float(problem.truth.min()) == pytest.approx(0.0, abs=1e-9)
    assert float(problem.truth[0, 0, 3, 3]) == pytest.approx(0.02)
    result = restore.solve(problem, solver=ct.solver_for()).in_file_units()
    torch.testing.assert_close(result.estimate[0], head(), atol=1e-2, rtol=0)
    torch.testing.assert_close(result.problem.truth[0], head(), atol=1e-2, rtol=0)


def test_values_below_air_are_air_and_said_so() -> None:
    problem = task('unit = "hu"').problem(torch.where(head() == -1000, -1024.0, head()))
    assert float(problem.truth.min()) == 0.0
    assert any("air" in note for note in problem.recipe["notes"])


def test_a_normalised_picture_reaches_one_and_leaves_with_its_own_scale() -> None:
    mri = task('unit = "magnitude"\nnormalise = true')
    x = 700 * torch.rand(1, 8, 9, generator=torch.Generator().manual_seed(0))
    problem = mri.problem(x)
    assert float(problem.truth.max()) == pytest.approx(1.0)
    torch.testing.assert_close(problem.in_file_units().truth[0], x)


def test_the_magnitude_of_a_complex_picture_is_taken_and_said() -> None:
    z = torch.polar(torch.rand(1, 4, 4), torch.rand(1, 4, 4))
    problem = task('unit = "magnitude"').problem(z)
    torch.testing.assert_close(problem.truth[0], z.abs())
    assert any("magnitude" in note for note in problem.recipe["notes"])


def test_complex_pictures_stay_complex_and_real_ones_become_so() -> None:
    mri = task('unit = "complex"', parameters="complex_values = true")
    assert mri.problem(torch.rand(1, 4, 4)).truth.is_complex()
    z = torch.polar(torch.rand(1, 4, 4), torch.rand(1, 4, 4))
    assert torch.equal(mri.problem(z).truth[0], z)


def test_a_file_in_the_wrong_unit_is_refused_with_the_remedy() -> None:
    with pytest.raises(BadInput, match="--unit"):
        units.check_file("hu", "[0,1]")
    with pytest.raises(BadInput, match="in hu"):
        units.check_file("[0,1]", "hu")
    units.check_file("hu", "hu")
    units.check_file("complex", "as stored")


def test_reflectance_far_above_one_is_refused() -> None:
    with pytest.raises(BadInput, match=r"255"):
        task('unit = "reflectance"').problem(255 * torch.ones(5, 4, 4))


def test_a_run_in_hounsfield_units_writes_scores_and_files_in_them(here: Path, command) -> None:
    (here / "ct.toml").write_text(
        TASK.format(unit='unit = "hu"', operator="blur", parameters="sigma = 0.7", psnr="psnr[unclipped,peak=100]")
    )
    np.savez(here / "head.npz", slices=(head().numpy() + 1024).astype(np.int16))
    out = here / "out"
    asked = ["--input", here / "head.npz", "--dataset", "slices", "--index", "0", "--unit", "hu"]
    ended = command("run", "--task", here / "ct.toml", *asked, "--offset", "-1024", "--axes", "DHW", "--out", out)
    assert ended.status == 0, ended.err
    metrics = json.loads((out / "metrics.json").read_text())
    with h5py.File(out / "result.h5") as file:
        estimate, truth = (WATER / 1000 for _ in range(2))
        estimate, truth = file["estimate"][()] / estimate, file["truth"][()] / truth
    error = float(np.square(estimate - truth).mean())
    assert metrics["psnr"] == pytest.approx(10 * np.log10(100**2 / error), abs=0.01)
    assert "HU window" in (out / "report.html").read_text()
