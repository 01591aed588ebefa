"""The biharmonic start: what it is worth, and that it does not depend on the units of the prior."""

import pytest
import torch

import restore
from operators import BadInput, Identity, Mask
from operators.noise import Gaussian
from restore.problem import Problem
from restore.solvers.parts.start import start_picture


def _with_hole() -> tuple[Problem, torch.Tensor]:
    row, column = torch.meshgrid(torch.linspace(0, 1, 24), torch.linspace(0, 1, 24), indexing="ij")
    slope = torch.stack([0.2 + 0.5 * row, 0.1 + 0.3 * column, 0.9 - 0.4 * row])[None]
    keep = torch.ones(1, 24, 24)
    keep[:, 8:16, 8:16] = 0
    operator = Mask((3, 24, 24), mask=keep)
    return Problem(operator(slope), operator, Gaussian(sigma=0.0)), slope


def test_a_slope_is_continued_through_a_hole() -> None:
    problem, slope = _with_hole()
    # A plane has no bilaplacian: what is left is the error of a sparse solve.
    assert float((start_picture(problem, "biharmonic") - slope).abs().max()) < 1e-5


def test_the_fill_is_the_same_picture_in_the_units_of_a_prior() -> None:
    problem, slope = _with_hole()
    posed = problem.posed(0.5, 0.5)
    assert float((0.5 + 0.5 * start_picture(posed, "biharmonic") - slope).abs().max()) < 1e-5


def test_a_measurement_without_holes_has_no_such_start() -> None:
    y = torch.rand(1, 3, 8, 8)
    problem = Problem(y, Identity((3, 8, 8)), Gaussian(sigma=0.1))
    with pytest.raises(BadInput, match="nothing is missing"):
        start_picture(problem, "biharmonic")


def test_the_box_task_starts_from_its_baseline() -> None:
    assert restore.tasks.load("inpaint-box").solver_for().start == "biharmonic"
