"""MCG-diff against a recorded trajectory on a Gaussian prior, step by step in the basis of singular vectors."""

from __future__ import annotations

import numpy as np
import torch

from operators.common.randomness import Tape
from operators.noise import Gaussian
from priors.analytic.gaussian import GaussianPrior
from restore.problem import Problem
from restore.solvers.diffusion.mcg_diff import Guide, MCGDiff, Particles
from restore.solvers.parts.particles import ParticleEnsemble

CLOSE = {"rtol": 0, "atol": 1e-10}


def test_mcgdiff_follows_the_recorded_run(more, matrix_operator):
    case = more("mcg")
    order = np.argsort(case["coord_mask"] == 0, kind="stable")  # observed coordinates first, as here
    prior = GaussianPrior(
        torch.as_tensor(case["prior_mean"][order]).reshape(1, 1, -1),
        covariance=torch.as_tensor(case["prior_cov"][np.ix_(order, order)]),
    )
    s, obs = torch.as_tensor(case["singular"]), torch.as_tensor(case["obs"])
    solver = MCGDiff(particles=6, begin="free", threshold=1.0, kappa=float(case["kappa"]), eta=float(case["eta"]))
    times = sorted(case["grid"].tolist(), reverse=True)
    taus = solver.taus(prior, times, s, float(np.sqrt(case["var_y"])))
    assert taus.tolist() == case["taus"].tolist()
    guide = Guide((obs / s).expand(6, -1), taus, float(case["kappa"]))
    problem = Problem(obs[None], matrix_operator(torch.eye(3, 5), (1, 1, 5)), Gaussian(sigma=0.1))
    ensemble = ParticleEnsemble(problem, 6)
    tape = Tape([d for pair in zip(case["ancestors"], case["noise"][:, :, order], strict=True) for d in pair])
    nothing = torch.zeros(6, dtype=torch.float64)
    q = torch.as_tensor(case["x_init"][:, order])
    for k, (t, u) in enumerate(zip(case["steps"][:-1].tolist(), case["steps"][1:].tolist(), strict=True)):
        x0 = prior.x0(q.reshape(6, 1, 1, 5), t).flatten(1)
        mean, std = solver.ancestral(prior, q, x0, t, u)
        weighed = solver.weighed(prior, guide, Particles(q, nothing, nothing), mean, t, u, std)
        logw = weighed.log_weights
        _, mean = solver.selected(ensemble, weighed, mean, tape)
        q = solver.move(prior, ensemble, guide, mean, u, std, tape)
        np.testing.assert_allclose(logw, case["logw"][k], rtol=1e-12, atol=1e-9)
        np.testing.assert_allclose(mean, case["mean"][k][:, order], **CLOSE)
        np.testing.assert_allclose(q, case["x"][k][:, order], **CLOSE)
