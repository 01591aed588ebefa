"""Settings of solvers for tasks: where they stand, who uses them, and what a caller's own solver means."""

from __future__ import annotations

import dataclasses

import pytest
import skimage.data
import torch

import restore
from operators import Blur
from operators.noise import Gaussian
from restore import solvers, tasks
from restore.solvers.classical.tikhonov import Tikhonov
from restore.solvers.diffusion.dpir import DPIR
from restore.solvers.tuned import names, tuned

FACE = torch.from_numpy(skimage.data.astronaut()[60:108, 200:248].copy()).permute(2, 0, 1).float() / 255


@pytest.mark.parametrize("name", names())
def test_a_tuned_file_is_of_a_solver_and_of_tasks_and_of_settings_that_exist(name: str) -> None:
    own = [task for task in tasks.names() if tuned(name, task)]
    assert own
    for task in own:
        table = dict(tuned(name, task))
        prior = table.pop("prior", None)
        assert prior is None or prior.partition(":")[0] in restore.priors.REGISTRY
        assert dataclasses.asdict(solvers.build(name, **table)).items() >= table.items()
    assert set(solvers.tuned._file(name)) == set(own)


@pytest.mark.parametrize("name", tasks.names())
def test_a_task_file_names_its_solver_and_leaves_its_settings_to_the_solvers_file(name: str) -> None:
    sections = tasks.load(name).sections
    assert sections.solver.parameters == {} and sections.solvers == {}


def test_a_problem_of_a_task_is_solved_by_its_own_solver_with_the_settings_tuned_for_it() -> None:
    task = tasks.load("denoise")
    result = restore.solve(task.problem(FACE))
    told = result.provenance["solver"]
    assert result.provenance["settings_from"] == "tuned" and result.provenance["prior"]["name"] == "natural"
    assert {key: told[key] for key in tuned("dpir", "denoise")} == tuned("dpir", "denoise") and told["name"] == "dpir"


def test_a_solver_by_name_has_the_settings_tuned_for_the_task_and_its_defaults_where_there_are_none() -> None:
    problem = tasks.load("mri4x").problem(FACE[:1])
    by_name, untuned = (restore.solve(problem, solver=name).provenance for name in ("tv", "tikhonov"))
    assert by_name["solver"]["balance"] == tuned("tv", "mri4x")["balance"] and by_name["settings_from"] == "tuned"
    assert untuned["settings_from"] == "default"


def test_a_constructed_solver_means_exactly_what_it_says_and_takes_the_priors_that_the_task_names() -> None:
    problem = tasks.load("ct-sparse").problem(1000 * FACE[:1] - 500)
    result = restore.solve(problem, solver=DPIR(steps=2))
    told = {key: result.provenance["solver"][key] for key in dataclasses.asdict(DPIR())}
    assert told == dataclasses.asdict(DPIR(steps=2)) and result.provenance["settings_from"] == "given"
    assert result.provenance["prior"]["name"] == tasks.load("ct-sparse").prior == "natural:window(0,0.04)"


def test_a_problem_that_no_task_made_has_the_defaults() -> None:
    blur = Blur((3, 48, 48), kernel="gaussian")
    problem = restore.Problem(blur(FACE[None]), blur, Gaussian(sigma=0.01))
    result = restore.solve(problem, solver="tikhonov")
    told = {key: result.provenance["solver"][key] for key in dataclasses.asdict(Tikhonov())}
    assert told == dataclasses.asdict(Tikhonov()) and result.provenance["settings_from"] == "default"


def test_settings_that_the_task_was_given_win_over_the_tuned_ones() -> None:
    problem = tasks.load("denoise").override({"solver.answer": "consistent"}).problem(FACE)
    result = restore.solve(problem)
    assert (result.provenance["solver"]["answer"], result.provenance["solver"]["steps"]) == ("consistent", 1)
