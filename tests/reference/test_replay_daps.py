"""DAPS against recorded runs of its public code, with Langevin and Hamiltonian data steps."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from operators.common.randomness import Tape
from operators.noise import Gaussian
from restore.problem import Problem
from restore.solvers.diffusion.daps import DAPS


@pytest.mark.parametrize("inner", ["langevin", "hmc"])
@pytest.mark.parametrize("operator", ["sr4", "mask"])
def test_daps_follows_the_recorded_run(reference, toy_prior, average_pool, kept, operator, inner):
    record = reference("daps")
    name = f"{operator}__{inner}"

    def config(key: str) -> float:
        return float(record[f"{name}__cfg_{key}"])

    forward = average_pool(flat=False) if operator == "sr4" else kept(torch.as_tensor(record["mask"]))
    count = int(record[f"{name}__n_outer"])
    draws = record[f"{name}__noise"]
    extra = 1 if inner == "hmc" else 0
    solver = DAPS(
        steps=count,
        ode_steps=int(config("ode_num_steps")),
        first=config("sigma_max"),
        last=config("sigma_min"),
        ode_last=config("ode_sigma_min"),
        inner=inner,
        inner_steps=(len(draws) - 1) // count - 1 - extra,
        lr=config("lr"),
        lr_ratio=config("lr_min_ratio"),
        momentum=config("momentum") if inner == "hmc" else 0.0,
        temperature=1.0,
        tau=config("tau") / math.sqrt(2),
        start="zero",
        answer="sample",
    )
    np.testing.assert_allclose(solver.levels(), record[f"{name}__annealing_sigmas"], rtol=0, atol=1e-12)
    problem = Problem(torch.as_tensor(record[f"{operator}__y"]), forward, Gaussian(sigma=0.05))
    tape = Tape(draws)
    states = list(solver.iterate(problem, toy_prior(record, None), tape))
    close = {"rtol": 0, "atol": 1e-10}
    np.testing.assert_allclose(states[0].x0, record[f"{name}__x0hat_step1"], **close)
    np.testing.assert_allclose(states[0].estimate, record[f"{name}__x0y_step1"], **close)
    np.testing.assert_allclose(states[0].x, record[f"{name}__xt_step1"], **close)
    np.testing.assert_allclose(states[-1].x, record[f"{name}__x_final"], **close)
    assert tape.position == len(draws)
