"""HIR-Diff against recorded pieces: bands, mixture, schedule, and the loss with its gradient."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from operators.core.identity import Identity
from operators.missing.mask import Mask
from operators.noise import Gaussian
from restore.problem import Problem
from restore.solvers.diffusion.hir_diff import HIRDiff, mixed
from restore.solvers.parts.bands import chosen_bands, mixture

CLOSE = {"rtol": 0, "atol": 1e-10}


def test_bands_and_mixture_are_the_recorded_ones(more):
    case = more("hir")
    bands, mixing = mixture(torch.as_tensor(case["Y"]), 3)
    assert bands == case["bands"].tolist()
    np.testing.assert_allclose(mixing, case["E"], **CLOSE)
    assert chosen_bands(case["V2"]) == case["bands2"].tolist() != case["bands2_pivoted_only"].tolist()
    assert np.abs(case["E2"]).max() <= 1.2


def test_the_schedule_is_the_recorded_one(more):
    case = more("hir")
    solver = HIRDiff(bend=float(case["k"]), highest=950)
    np.testing.assert_allclose(solver.alpha_bars(), case["alpha_bar"], rtol=0, atol=1e-12)
    assert solver.indices() == [951 - 50 * k for k in range(20)]
    assert solver.alpha_bars()[951] == pytest.approx(case["alpha_bar"][951])


@pytest.mark.parametrize("masked", [False, True])
def test_loss_and_gradient_are_the_recorded_ones(more, masked):
    case = more("hir")
    y = torch.as_tensor(case["Y"])[None]
    operator = Mask((8, 4, 4), mask=case["weight"] > 0) if masked else Identity((8, 4, 4))
    eta1, eta2 = case["eta"]
    solver = HIRDiff(rule="loss", eta1=float(eta1), eta2=float(eta2))
    a = torch.as_tensor(case["a"])[None].requires_grad_()
    problem = Problem(y, operator, Gaussian(sigma=0.1))
    loss = solver.cost(problem, mixed(torch.as_tensor(case["E"])[None], (a + 1) / 2))
    name = "masked" if masked else "periodic"
    np.testing.assert_allclose(loss.item(), case[f"loss_{name}"], **CLOSE)
    np.testing.assert_allclose(torch.autograd.grad(loss.sum(), a)[0][0], case[f"grad_{name}"], **CLOSE)
