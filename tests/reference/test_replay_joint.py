"""Joint diffusion of picture and structured noise against a recording; stripes against the exact posterior."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from operators.common.randomness import NoiseSource, Tape
from operators.core.identity import Identity
from operators.noise import Gaussian
from priors.analytic.gaussian import GaussianPrior
from restore.problem import Problem
from restore.solvers.diffusion.joint import JointDiffusion

CLOSE = {"rtol": 0, "atol": 1e-10}


class Recorded(JointDiffusion):
    """The recorded levels and prior of the structured noise."""

    def __init__(self, case, operator, **settings) -> None:
        super().__init__(steps=len(case["sigmas"]) - 1, start="zero", **settings)
        object.__setattr__(self, "case", case)
        object.__setattr__(self, "operator", operator)

    def levels(self):
        return self.case["sigmas"].tolist()

    def structure_prior(self, problem):
        mean, covariance = (torch.as_tensor(self.case[f"noise_{k}"]) for k in ("mean", "cov"))
        return GaussianPrior(mean.reshape(1, 1, -1), covariance=covariance), self.operator


@pytest.mark.parametrize("rule", ["pigdm", "dps"])
def test_joint_diffusion_follows_the_recorded_run(more, matrix_operator, rule):
    case = more("structured")
    prior = GaussianPrior(
        torch.as_tensor(case["prior_mean"]).reshape(1, 1, -1), covariance=torch.as_tensor(case["prior_cov"])
    )
    ending = "" if rule == "pigdm" else "_dps"
    lambda_, kappa = (float(v) for v in case[f"lam_kappa{ending}"])
    solver = Recorded(case, matrix_operator(case["B"], (1, 1, 5)), rule=rule, lambda_=lambda_, kappa=kappa)
    operator = matrix_operator(case["A"], (1, 1, 6))
    problem = Problem(torch.as_tensor(case["y"])[None], operator, Gaussian(sigma=float(case["sigma_e"])))
    first = case["sigmas"][0]
    draws = [d for pair in zip(case["tape_x"], case["tape_n"], strict=True) for d in pair]
    tape = Tape([case["x_init"] / first, case["n_init"] / first, *draws])
    states = list(solver.iterate(problem, prior, tape))
    np.testing.assert_allclose(torch.stack([s.x.flatten() for s in states]), case[f"x{ending}"], **CLOSE)
    if rule == "pigdm":
        np.testing.assert_allclose(torch.stack([s.x0.flatten() for s in states]), case["x0hat"], **CLOSE)


def test_stripes_are_told_from_the_picture_as_the_exact_posterior_tells_them():
    """200 chains: their mean is within 0.35 posterior standard deviations of the exact mean, and far nearer than y."""
    side, chains, std, sigma = 6, 200, 0.3, 0.05
    where = torch.cartesian_prod(torch.arange(side), torch.arange(side)).double()
    covariance = 0.25 * torch.exp(-(torch.cdist(where, where) ** 2) / 4.5) + 0.01 * torch.eye(side**2)
    prior = GaussianPrior(torch.zeros(1, side, side, dtype=torch.float64), covariance=covariance)
    source = NoiseSource(1, ("a",))
    truth = prior.sample(1, source)
    stripes = std * source.normal("stripes", truth[:, :, :1]).expand_as(truth)
    y = truth + stripes + sigma * source.normal("noise", truth)
    of_n = std**2 * (where[:, None, 1] == where[None, :, 1]).double()
    gain = covariance @ torch.linalg.inv(covariance + of_n + sigma**2 * torch.eye(side**2))
    mean = (gain @ y.flatten()).reshape(truth.shape)
    spread = (covariance - gain @ covariance).diagonal().sqrt().norm()
    ids = tuple(f"chain {k}" for k in range(chains))
    many = y.expand(chains, 1, side, side).clone()
    problem = Problem(many, Identity((1, side, side)), Gaussian(sigma=sigma), image_ids=ids)
    found = list(JointDiffusion(std=std).iterate(problem, prior, NoiseSource(0, ids)))[-1].estimate.mean(
        0, keepdim=True
    )
    assert float((found - mean).norm() / spread) < 0.35
    assert float((found - mean).norm()) < 0.3 * float((y - mean).norm())
