"""What the driver does for a user who did not ask: a wrong adjoint is named, a full device is met with tiles."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import Tensor

import operators
import restore
from operators import BadInput
from operators.core.base import LinearOperator
from operators.noise import Gaussian as GaussianNoise
from priors.base import DiffusionPrior
from restore import tasks
from restore.driver import Settings
from restore.problem import Problem
from restore.runs.trust import OperatorWarning

SHAPE = (1, 12, 12)


class Doubled(LinearOperator):
    """Half of everything, with an adjoint twice too large."""

    def __init__(self) -> None:
        super().__init__(SHAPE, SHAPE)

    def _forward(self, x: Tensor) -> Tensor:
        return x / 2

    def _adjoint(self, y: Tensor) -> Tensor:
        return y


class Halved(Doubled):
    def _adjoint(self, y: Tensor) -> Tensor:
        return y / 2


class Shrinking(DiffusionPrior):
    """Answers with a tenth less; a device that holds `room` pixels at a time."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room

    def denoise_native(self, z: Tensor, sigma: Tensor) -> Tensor:
        if z[0, 0].numel() > self.room:
            raise torch.OutOfMemoryError("out of memory")
        return 0.9 * z


def problem(operator: LinearOperator, shape: tuple[int, ...] = SHAPE) -> Problem:
    y = torch.rand(1, *shape, generator=torch.Generator().manual_seed(0))
    return Problem(y, operator, GaussianNoise(sigma=0.1))


def test_a_wrong_adjoint_is_named_once() -> None:
    posed = problem(Doubled())
    with pytest.warns(OperatorWarning, match=r"too large by 2\.000"):
        restore.solve(posed, solver="tikhonov")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        restore.solve(posed, solver="tikhonov")


def test_right_adjoints_are_not_talked_about() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        restore.solve(problem(Halved()), solver="tikhonov")
        restore.solve(problem(operators.build("identity", SHAPE)), solver="tikhonov")


def test_a_full_device_is_met_with_smaller_tiles_and_said_so() -> None:
    shape = (1, 160, 160)
    posed = problem(operators.build("identity", shape), shape)
    enough = restore.solve(posed, Shrinking(160 * 160), "diffpir")
    tight = restore.solve(posed, Shrinking(100 * 100), "diffpir")
    assert tight.provenance["tiled_after_out_of_memory"] == 80
    assert "tiled_after_out_of_memory" not in enough.provenance
    torch.testing.assert_close(tight.estimate, enough.estimate)
    with pytest.raises(torch.OutOfMemoryError):
        restore.solve(posed, Shrinking(100), "diffpir")


def test_deterministic_runs_leave_the_switches_as_they_were() -> None:
    posed = problem(operators.build("identity", SHAPE))
    seen = []

    def watch(*_: object) -> None:
        seen.append(torch.are_deterministic_algorithms_enabled())

    result = restore.solve(posed, solver="tikhonov", settings=Settings(deterministic=True), watch=watch)
    assert seen and all(seen)
    assert not torch.are_deterministic_algorithms_enabled()
    assert result.provenance["settings"]["deterministic"] is True


def test_nan_marks_what_was_not_measured_on_request() -> None:
    y = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0))
    y[:, 4:8, 4:8] = torch.nan
    task = tasks.load("inpaint-box")
    posed = task.measured(y, nan_as_mask=True)
    assert int((~posed.operator.observed.expand(1, 3, 16, 16)[0, 0]).sum()) == 16
    assert bool(torch.isfinite(posed.y).all())
    both = task.measured(y, nan_as_mask=True, mask=torch.arange(16).expand(16, 16) > 2)
    assert int((~both.operator.observed.expand(1, 3, 16, 16)[0, 0]).sum()) == 16 + 3 * 16
    with pytest.raises(BadInput, match="no mask"):
        tasks.load("denoise").measured(y, nan_as_mask=True)
