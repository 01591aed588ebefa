"""The name under which an interrupted run keeps its samples holds everything that a sample depends on."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from restore.runs import plan as planning


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory):
    import restore

    folder = tmp_path_factory.mktemp("plan")
    restore.write(folder / "x.png", torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0)))
    options = planning.RunOptions(task="denoise", input=folder / "x.png", out=folder / "out", solver="tikhonov")
    plan = planning.make(options)
    return plan, plan.problem(plan.read(plan.items[0]))


def test_another_measurement_of_the_same_picture_has_another_key(made) -> None:
    plan, problem = made
    moved = dataclasses.replace(problem, y=problem.y + 1e-3)
    assert moved.image_ids == problem.image_ids and plan.key(moved) != plan.key(problem)


def test_another_seed_solver_or_precision_has_another_key(made) -> None:
    plan, problem = made
    others = [
        dataclasses.replace(plan, options=dataclasses.replace(plan.options, seed=1)),
        dataclasses.replace(plan, solver=dataclasses.replace(plan.solver, rho=0.123)),
        dataclasses.replace(
            plan,
            options=dataclasses.replace(
                plan.options, settings=dataclasses.replace(plan.options.settings, dtype="float64")
            ),
        ),
    ]
    keys = {plan.key(problem), *(other.key(problem) for other in others)}
    assert len(keys) == 4
