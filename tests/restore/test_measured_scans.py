"""Sinograms measured elsewhere: what their shape tells, and what must be said."""

from __future__ import annotations

import math

import pytest
import torch

import operators
from operators import BadInput
from restore import tasks
from restore.tasks.sections import parse

FAN = """
version = 1
summary = "a fan"
[operator]
name = "ct-fan"
source = 100.0
[noise]
name = "gaussian"
sigma = 0.01
[solver]
name = "tikhonov"
"""


@pytest.fixture
def disc() -> torch.Tensor:
    """Water in the middle, 1 x 1 x 48 x 48, in 1/mm."""
    ramp = torch.arange(48.0) - 23.5
    return 0.0193 * ((ramp[:, None] ** 2 + ramp**2) < 15**2).float()[None, None]


def test_the_detector_and_the_views_of_a_parallel_beam_tell_the_picture(disc: torch.Tensor) -> None:
    scanner = operators.build("ct-parallel", (1, 48, 48), views=37, detectors=48, pixel=0.5)
    problem = tasks.load("ct-sparse").measured(scanner(disc)[0])
    assert problem.operator.input_shape == (1, 48, 48)
    torch.testing.assert_close(problem.operator(disc), scanner(disc))
    notes = " ".join(problem.recipe["notes"])
    assert "as wide as the detector" in notes and "37 equidistant" in notes


def test_a_wider_cell_makes_a_wider_picture() -> None:
    task = tasks.load("ct-sparse").override({"operator.spacing": 1.0})
    assert task.measured(torch.rand(1, 9, 20)).operator.input_shape == (1, 40, 40)


def test_a_given_shape_keeps_the_measured_cells(disc: torch.Tensor) -> None:
    problem = tasks.load("ct-sparse").measured(torch.rand(1, 9, 20), shape=(1, 16, 12))
    assert problem.operator.input_shape == (1, 16, 12) and problem.operator.output_shape == (1, 9, 20)


def test_given_angles_leave_the_lengths_of_the_scanner_alone(disc: torch.Tensor) -> None:
    angles = torch.linspace(0.1, math.pi, 20, dtype=torch.float64) ** 1.1 / 2
    scanner = operators.build("ct-parallel", (1, 48, 48), angles=angles, detectors=48, pixel=0.5, shift=0.75)
    task = tasks.load("ct-sparse").override({"operator.shift": 0.75})
    problem = task.measured(scanner(disc)[0], arrays={"angles": angles})
    torch.testing.assert_close(problem.operator(disc), scanner(disc))
    assert not any("equidistant" in note for note in problem.recipe["notes"])


def test_what_a_sinogram_told_survives_the_recipe() -> None:
    problem = tasks.load("ct-limited").measured(torch.rand(1, 9, 20))
    recipe = dict(problem.recipe or {})
    again = tasks.rebuild(recipe, problem.y, recipe.pop("arrays"))
    x = torch.rand(1, *problem.operator.input_shape)
    assert torch.equal(again.operator(x), problem.operator(x))


def test_a_fan_must_be_told_the_size_of_the_picture(disc: torch.Tensor) -> None:
    task = tasks.Task("fan", parse(FAN, where="fan"))
    scanner = operators.build("ct-fan", (1, 48, 48), source=100.0, views=31, detectors=60)
    with pytest.raises(BadInput, match="--shape"):
        task.measured(scanner(disc)[0])
    torch.testing.assert_close(task.measured(scanner(disc)[0], shape=(1, 48, 48)).operator(disc), scanner(disc))
