"""DiffusionMBIR against a recorded trajectory on a Gaussian prior of slices, volumes of three slices."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from operators.common.randomness import Tape
from operators.core.base import LinearOperator
from operators.noise import Gaussian
from priors.analytic.gaussian import GaussianPrior
from priors.diffusion.adapters import SliceBySlice
from restore.problem import Problem
from restore.solvers.diffusion.mbir import MBIR

CLOSE = {"rtol": 0, "atol": 1e-10}


class EachSlice(LinearOperator):
    """A matrix applied to every slice of a volume 1 x Z x 6 x 5."""

    def __init__(self, matrix: Tensor, slices: int) -> None:
        super().__init__((1, slices, 6, 5), (slices, len(matrix)))
        self.register_buffer("matrix", matrix)

    def _forward(self, x: Tensor) -> Tensor:
        return x.flatten(3)[:, 0] @ self.constant("matrix", x).T

    def _adjoint(self, y: Tensor) -> Tensor:
        return (y @ self.constant("matrix", y)).reshape(len(y), *self.input_shape)


def _run(case, **settings):
    prior = SliceBySlice(
        GaussianPrior(
            torch.as_tensor(case["prior_mean"]).reshape(1, 6, 5), covariance=torch.as_tensor(case["prior_cov"])
        )
    )
    problem = Problem(torch.as_tensor(case["y"])[None], EachSlice(torch.as_tensor(case["A"]), 3), Gaussian(sigma=0.0))
    sigmas = case["sigmas"]
    solver = MBIR(
        **{
            "steps": len(sigmas),
            "first": float(sigmas[-1]),
            "last": float(sigmas[0]),
            "snr": float(case["snr"]),
            "rho": float(case["rho"]),
            "lambda_": float(case["lam"]),
            "cg": 1,
            "relative": False,
            "noisy_end": True,
            "anchored": False,
            "boundary": "wrap",
            "start": "zero",
        }
        | settings
    )
    np.testing.assert_allclose(solver.levels()[:-1], sigmas[::-1], rtol=1e-13)
    volume = (1, 1, 3, 6, 5)
    tape = Tape([case["x_init"] / sigmas[-1], *(d for step in case["noise"] for d in step)])
    states = list(solver.iterate(problem, prior, tape))
    return torch.stack([s.estimate.reshape(3, 30) for s in states]), volume


def test_mbir_follows_the_recorded_run(more):
    case = more("mbir")
    path, _ = _run(case)
    np.testing.assert_allclose(path, case["x_admm"], **CLOSE)
    assert float((path[-1] - torch.as_tensor(case["x_final_reset_wrong"])).abs().max()) > 0.01


def test_mbir_follows_the_recorded_run_with_more_turns_and_gradients(more):
    case = more("mbir")
    turns, cg = (int(v) for v in case["iters"])
    np.testing.assert_allclose(_run(case, turns=turns, cg=cg)[0], case["x_admm_iters"], **CLOSE)


def test_mbir_in_batches_of_two_slices_follows_its_own_recorded_run(more):
    case = more("mbir")
    np.testing.assert_allclose(_run(case, slices=2)[0], case["x_admm_batch2"], **CLOSE)


@pytest.mark.parametrize("boundary", ["none", "wrap"])
def test_differences_have_their_adjoint(boundary):
    across, back = MBIR(boundary=boundary).differences(torch.zeros(1, 1, 4, 3, 3))
    a, b = torch.from_numpy(np.random.default_rng(0).standard_normal((2, 1, 1, 4, 3, 3)))
    assert float((across(a) * b).sum()) == pytest.approx(float((a * back(b)).sum()), rel=1e-12)


def test_a_weight_without_bound_makes_all_slices_equal(more):
    case = more("mbir")
    prior = SliceBySlice(GaussianPrior(torch.zeros(1, 6, 5, dtype=torch.float64), std=1.0))
    operator = EachSlice(torch.eye(30, dtype=torch.float64), 3)
    y = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 3, 30)))
    solver = MBIR(steps=1, turns=400, cg=30, lambda_=1e6, anchored=False, start="zero")
    tape = Tape(np.zeros((3, 90)))
    x = next(solver.iterate(Problem(y, operator, Gaussian(sigma=0.0)), prior, tape)).estimate.reshape(3, 30)
    np.testing.assert_allclose(x, y[0].mean(0).expand(3, -1), rtol=0, atol=1e-4)
    assert case["x_init"].shape == (3, 30)
