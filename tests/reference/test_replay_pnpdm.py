"""PnP-DM against a recorded trajectory on a Gaussian prior, and its stationary law."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from operators.common.randomness import NoiseSource, Tape
from operators.noise import Gaussian
from priors.analytic.gaussian import GaussianPrior
from priors.schedules import karras_sigmas
from restore.problem import Problem
from restore.solvers.diffusion.pnp_dm import PnPDM

CLOSE = {"rtol": 0, "atol": 1e-10}


class Recorded(PnPDM):
    """The recorded fall of rho and grid of levels."""

    def __init__(self, rhos, ladder, **settings) -> None:
        super().__init__(steps=len(rhos), grid=len(ladder) - 1, temperature=1.0, answer="sample", **settings)
        object.__setattr__(self, "rhos", rhos)
        object.__setattr__(self, "ladder", ladder)

    def strengths(self):
        return self.rhos.tolist()

    def levels(self, rho):
        return [level for level in self.ladder.tolist() if level < rho]


def _pose(case, matrix_operator, count=1):
    prior = GaussianPrior(
        torch.as_tensor(case["prior_mean"]).reshape(1, 1, -1), covariance=torch.as_tensor(case["prior_cov"])
    )
    y = torch.as_tensor(case["y"])[None].expand(count, -1).clone()
    operator = matrix_operator(case["A"], (1, 1, 10))
    ids = tuple(f"chain {k}" for k in range(count))
    return Problem(y, operator, Gaussian(sigma=float(case["sigma_y"])), image_ids=ids), prior


@pytest.mark.parametrize("prior_step", ["sde", "ode"])
def test_pnpdm_follows_the_recorded_run(more, matrix_operator, monkeypatch, prior_step):
    """The recorded draws go through the symmetric root of the precision L: n1 = rho L^(1/2) w and n2 = 0 give them."""
    case = more("pnpdm")
    problem, prior = _pose(case, matrix_operator)
    tape = []
    for k, rho in enumerate(case["rhos"]):
        precision = case["A"].T @ case["A"] / case["sigma_y"] ** 2 + np.eye(10) / rho**2
        values, vectors = np.linalg.eigh(precision)
        tape += [rho * (vectors * np.sqrt(values)) @ vectors.T @ case["noise_likelihood"][k], np.zeros(5)]
        if prior_step == "sde":
            tape += [*case["noise_prior"][k, : case["n_prior_draws"][k]]]
    first = torch.as_tensor(case["x_init"]).reshape(1, 1, 1, 10)
    monkeypatch.setattr("restore.solvers.diffusion.pnp_dm.start_picture", lambda *_: first)
    solver, tape = Recorded(case["rhos"], case["sigma_grid"], prior=prior_step), Tape(tape)
    states = list(solver.iterate(problem, prior, tape))
    ending = "" if prior_step == "sde" else "_ode"
    np.testing.assert_allclose(torch.stack([s.x.flatten() for s in states]), case[f"z{ending}"], **CLOSE)
    np.testing.assert_allclose(torch.stack([s.x0.flatten() for s in states]), case[f"x{ending}"], **CLOSE)


def test_published_levels_are_those_below_rho():
    found = PnPDM(grid=100).levels(0.3)
    whole = karras_sigmas(100)
    assert found == whole[whole < 0.3].tolist() and found[-1] == 0


def test_a_chain_at_fixed_rho_ends_in_the_closed_form_law(more, matrix_operator):
    """2000 chains of 30 turns at rho 0.5 with fine prior steps: mean and covariance to their sampling error and 3 %."""
    case, count = more("pnpdm"), 2000
    problem, prior = _pose(case, matrix_operator, count)
    k = 1
    rho = float(case["rhos"][k])
    solver = PnPDM(
        steps=30, first=rho, last=rho, prior="sde", prior_steps=60, temperature=1.0, answer="sample", start="zero"
    )
    x = list(solver.iterate(problem, prior, NoiseSource(0, problem.image_ids)))[-1].estimate.flatten(1).numpy()
    mean, covariance = case["stationary_mean"][k], case["stationary_cov"][k]
    scale = np.sqrt(np.diag(covariance))
    assert np.abs((x.mean(0) - mean) / scale).max() < 4 / np.sqrt(count) + 0.03
    assert np.linalg.norm(np.cov(x.T) - covariance) / np.linalg.norm(covariance) < 0.12
