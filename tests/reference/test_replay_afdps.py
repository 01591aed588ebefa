"""AFDPS against recorded steps on a Gaussian prior: plain and tempered likelihood, Euler's and the exact guidance."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from operators.noise import Gaussian
from priors.analytic.gaussian import GaussianPrior
from restore.problem import Problem
from restore.solvers.diffusion.afdps import AFDPS
from restore.solvers.parts.particles import ParticleEnsemble


@pytest.mark.parametrize("guidance", ["euler", "exact"])
@pytest.mark.parametrize("tempered", [False, True])
def test_afdps_follows_the_recorded_steps(more, matrix_operator, guidance, tempered):
    case = more("afdps")
    name = {("euler", False): "plain", ("euler", True): "temper"}.get((guidance, tempered))
    name = name or ("exact_temper" if tempered else "exact")
    prior = GaussianPrior(
        torch.as_tensor(case["prior_mean"]).reshape(1, 1, -1), covariance=torch.as_tensor(case["prior_cov"])
    )
    sigma, gamma = float(case["sigma_y"]), float(case["gamma"]) if tempered else 0.0
    problem = Problem(torch.as_tensor(case["y"])[None], matrix_operator(case["A"], (1, 1, 4)), Gaussian(sigma=sigma))
    solver = AFDPS(particles=8, gamma=gamma, guidance=guidance)
    ensemble = ParticleEnsemble(problem, 8)
    x, logw = torch.as_tensor(case["x_init"]).reshape(8, 1, 1, 4), torch.zeros(8, dtype=torch.float64)
    for k, (t, following) in enumerate(zip(case["t"][:-1], case["t"][1:], strict=True)):
        n = torch.as_tensor(case["noise"][k]).reshape(8, 1, 1, 4)
        x, rate = solver.moved(
            ensemble.problem,
            solver.basis(problem),
            x,
            prior.denoise(x, float(t)),
            n,
            t=float(t),
            following=float(following),
            sigma=sigma,
        )
        logw = logw + rate
        # The recorded rate keeps the Laplacian, the same for all particles.
        r = sigma**2 + gamma**2 * t**2
        laplacian = (case["A"] ** 2).sum() / r
        np.testing.assert_allclose(
            rate / (t - following) - t * laplacian, case[f"{name}_rate"][k], rtol=1e-9, atol=1e-10
        )
        np.testing.assert_allclose(x.flatten(1), case[f"{name}_x"][k], rtol=0, atol=1e-10)
        differences = case[f"{name}_logw"][k] - case[f"{name}_logw"][k][0]
        np.testing.assert_allclose(logw - logw[0], differences, rtol=1e-9, atol=1e-10)
        np.testing.assert_allclose(8 * ensemble.effective(logw), case[f"{name}_ess"][k], rtol=1e-9)
