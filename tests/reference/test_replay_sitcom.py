"""SITCOM against a recorded trajectory on a Gaussian prior."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from operators.common.randomness import Tape
from operators.noise import Gaussian
from priors.analytic.gaussian import GaussianPrior
from restore.problem import Problem
from restore.solvers.diffusion.sitcom import SITCOM

CLOSE = {"rtol": 0, "atol": 1e-10}


def _run(case, matrix_operator, *, sigma=0.0, **settings):
    """States of the recorded problem; the recorded times are 999, 666, 333 and 0, the last next one is clean."""
    prior = GaussianPrior(
        torch.as_tensor(case["prior_mean"]).reshape(1, 1, -1), covariance=torch.as_tensor(case["prior_cov"])
    )
    solver = SITCOM(
        **{"steps": 4, "inner": int(case["K"]), "lr": float(case["lr"]), "first_time": 999, "start": "zero"} | settings
    )
    assert solver.times() == case["timesteps"].tolist()
    problem = Problem(torch.as_tensor(case["y"])[None], matrix_operator(case["A"], (1, 1, 12)), Gaussian(sigma=sigma))
    tape = Tape([case["x_T"] / prior.sigma(999), *case["noise"][:3]])
    return list(solver.iterate(problem, prior, tape))


def _rows(tensors):
    return torch.stack([t.flatten() for t in tensors])


def test_sitcom_follows_the_recorded_run(more, matrix_operator):
    case = more("sitcom")
    states = _run(case, matrix_operator)
    np.testing.assert_allclose(_rows(s.x0 for s in states), case["x0_last_eval"], **CLOSE)
    np.testing.assert_allclose(_rows(s.x for s in states), case["x"], **CLOSE)


@pytest.mark.parametrize(("key", "settings"), [("x_norm_loss", {"loss": "norm"}), ("x_lam", {"lambda_": 0.3})])
def test_sitcom_follows_the_recorded_variants(more, matrix_operator, key, settings):
    case = more("sitcom")
    assert float(case["lam"]) == 0.3
    np.testing.assert_allclose(_rows(s.x for s in _run(case, matrix_operator, **settings)), case[key], **CLOSE)


def test_sitcom_stops_where_the_recorded_run_stopped(more, matrix_operator):
    case = more("sitcom")
    sigma = float(np.sqrt(case["delta2"] / 6))  # six measured numbers
    states = _run(case, matrix_operator, sigma=sigma, inner=int(case["K_stop"]))
    assert [s.info["calls"] for s in states] == case["iters_stop"].tolist()
    np.testing.assert_allclose(_rows(s.x for s in states), case["x_stop"], **CLOSE)
