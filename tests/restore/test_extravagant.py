"""Settings far beyond anything useful end in one line, before an array of that size is made or a loop begins."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import operators.noise
import restore
from operators import BadInput, BadType, RestoreError
from operators.common.kinds import Number
from operators.common.settings import rules
from restore import tasks
from restore.cli import main
from restore.driver import Settings
from restore.tasks.given import Given

Y = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "settings",
    [
        {"operator.factor": 10**9},
        {"operator.factor": 1e300},
        {"noise.sigma": float("nan")},
        {"noise.sigma": float("inf")},
        {"solver.steps": 10**12},
        {"input.crop_to_multiple": 10**12},
        {"measurement.bits": 10**9},
    ],
    ids=str,
)
def test_extravagant_settings_of_a_task_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises((BadInput, BadType)) as refusal:
        tasks.load("sr4x").override({"solver.name": "tv", **settings}).problem(Y)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "words",
    [
        {"sigma": "1e30"},
        {"sigma": "1e300"},
        {"sigma": "nan"},
        {"sigma": "inf"},
        {"sigma": "-1"},
        {"peak": 1e300},
        {"peak": 1e-300},
        {"peak": float("nan")},
        {"shape": "3,1000000000,1000000000"},
        {"shape": "3,0,4"},
    ],
    ids=str,
)
def test_extravagant_statements_on_a_measurement_are_refused(words: dict[str, object]) -> None:
    task = tasks.load("denoise-poisson" if "peak" in words else "denoise")
    with pytest.raises(BadInput):
        task.posed(Y, Given.worded(**words))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", operators.noise.REGISTRY)
def test_extravagant_noise_is_drawn_or_refused(name: str) -> None:
    kind = operators.noise.REGISTRY.load(name)
    numbers = [key for key, rule in rules(kind).items() if any(isinstance(part, Number) for part in rule.kinds)]
    for key in numbers:
        for value in (1e300, 1e30, 10**12, 1e-300, -1e9, float("nan"), float("inf")):
            try:
                law = operators.noise.REGISTRY.build(name, **{key: value})
                law.sample(Y[None], operators.NoiseSource(0, ["a"]))
                law.variance(Y[None])
            except RestoreError as refusal:
                assert "\n" not in str(refusal)


@pytest.mark.parametrize("solver", restore.solvers.REGISTRY)
def test_no_loop_is_asked_to_run_for_ever(solver: str) -> None:
    loops = [key for key in rules(restore.solvers.REGISTRY.load(solver)) if key in ("steps", "iterations", "starts")]
    for key in loops:
        with pytest.raises(BadInput, match=f"{key} is 1000000000000"):
            restore.solvers.build(solver, **{key: 10**12})


def test_samples_and_tiles_have_bounds_too() -> None:
    problem = tasks.load("denoise").problem(Y)
    with pytest.raises(BadInput, match="samples is"):
        restore.solve(problem, solver="tv", samples=10**12)
    with pytest.raises(BadInput):
        Settings(batch=0)


def test_the_command_line_says_it_in_one_line(tmp_path, capsys) -> None:
    np.save(tmp_path / "y.npy", Y.movedim(0, -1).numpy())
    run = ["run", "--input", str(tmp_path / "y.npy"), "--out", str(tmp_path / "o"), "--task"]
    for words in (
        ["sr4x", "--set", "operator.factor=1000000000"],
        ["denoise", "--measured", "--sigma", "1e30"],
        ["denoise", "--set", "noise.sigma=inf"],
        ["denoise", "--samples", "1000000000000"],
        ["denoise", "--solver", "tv", "--set", "solver.steps=1000000000000"],
    ):
        assert main([*run, *words]) == 2
        assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert not (tmp_path / "o").exists()
