"""Methods for the tests of the runner, named in suites as "bench_methods:NAME"."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from restore.problem import Problem
from restore.solvers.base import Solver, State


def identity(problem: Problem, *, seed: int) -> Tensor:
    """The measurement itself."""
    return problem.y.clone()


def slow_identity(problem: Problem, *, seed: int) -> Tensor:
    """The measurement after a moment, so that a run can be killed in the middle."""
    time.sleep(0.02)
    return problem.y.clone()


def raises(problem: Problem, *, seed: int) -> Tensor:
    raise RuntimeError("this method\nalways fails")


def not_finite(problem: Problem, *, seed: int) -> Tensor:
    return torch.full_like(problem.y, float("nan"))


def wrong_shape(problem: Problem, *, seed: int) -> Tensor:
    return problem.y[..., :-1]


def writes_into_y(problem: Problem, *, seed: int) -> Tensor:
    problem.y.clamp_(0.4, 0.5)
    return problem.y


def sleeps_for_ever(problem: Problem, *, seed: int) -> Tensor:
    time.sleep(3600)
    return problem.y


def ends_its_process(problem: Problem, *, seed: int) -> Tensor:
    os._exit(7)


def fails_on_one_picture(problem: Problem, *, seed: int) -> Tensor:
    if float(problem.truth.mean()) > 0.5:  # type: ignore[union-attr]
        raise RuntimeError("too bright")
    return problem.y.clone()


@dataclass(frozen=True)
class NeverDone(Solver):
    """Yields for ever."""

    needs_prior: ClassVar[bool] = False

    def iterate(self, problem: Problem, prior: object, noise: object) -> Iterator[State]:
        while True:
            time.sleep(0.01)
            yield State(x=problem.y, x0=problem.y, estimate=problem.y, step=0)
