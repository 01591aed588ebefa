"""PSLD against recorded runs of its public code, on latents of a closed-form encoder and decoder."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from operators.common.randomness import Tape
from operators.common.space import Latent
from operators.noise import Gaussian
from restore.problem import Problem
from restore.solvers.diffusion.psld import PSLD

TOLERANCE = {"rtol": 1e-10, "atol": 1e-10}
CASES = ["sr4__a", "sr4__b", "mask__a", "mask__b"]


def codec(record) -> Latent:
    """D(z) = tanh(nearest_2(W_dec z)) and E(x) = W_enc means_2(x), channels mixed pixel by pixel."""
    down, up = (torch.as_tensor(record[key]) for key in ("W_enc", "W_dec"))

    def encode(x: Tensor) -> Tensor:
        return torch.einsum("lc,bchw->blhw", down.to(x), torch.nn.functional.avg_pool2d(x, 2))

    def decode(z: Tensor) -> Tensor:
        mixed = torch.einsum("cl,blhw->bchw", up.to(z), z)
        return torch.tanh(mixed.repeat_interleave(2, -1).repeat_interleave(2, -2))

    return Latent(encode, decode, (4, 8, 8))


@pytest.fixture
def run(reference, toy_prior, average_pool, kept):
    """A recorded case again, in a precision: (the record, its states, the solver)."""

    def again(name: str, dtype: torch.dtype = torch.float64):
        record = reference("psld")
        case = {key.removeprefix(f"{name}__"): record[key] for key in record if key.startswith(f"{name}__")}
        operator = name.split("__")[0]
        forward = average_pool(flat=False) if operator == "sr4" else kept(torch.as_tensor(record["mask"]))
        eta, gamma, omega = (float(v) for v in case["cfg"])
        times = case["ddim_timesteps"]
        solver = PSLD(steps=len(times), eta=eta, gamma=gamma, omega=omega, first_time=999, last_time=0)
        prior = toy_prior(record, None)
        bars = record["alpha_bar"]
        prior.schedule = SimpleNamespace(
            alpha=lambda t: float(np.sqrt(bars[t])) if t >= 0 else 1.0,
            sigma=lambda t: float(np.sqrt(1 - bars[t])) if t >= 0 else 0.0,
        )
        y = torch.as_tensor(record[f"{operator}__y"]).to(dtype)
        problem = Problem(y, forward, Gaussian(sigma=0.0)).posed(codec(record))
        tape = Tape([case["z_T"], *case["noise"]])
        return case, list(solver.iterate(problem, prior, tape)), solver

    return again


@pytest.mark.parametrize("name", CASES)
def test_psld_follows_the_recorded_run(run, name):
    case, states, solver = run(name)
    assert solver.times() == case["ddim_timesteps"][::-1].tolist()
    np.testing.assert_allclose(states[0].x, case["z_step1"], **TOLERANCE)
    np.testing.assert_allclose(states[len(states) // 2 - 1].x, case["z_mid"], **TOLERANCE)
    np.testing.assert_allclose(states[-1].estimate, case["z_final"], **TOLERANCE)


@pytest.mark.parametrize("name", CASES)
def test_psld_follows_it_in_single_precision(run, name):
    case, states, _ = run(name, torch.float32)
    np.testing.assert_allclose(states[-1].estimate, case["z_final"], rtol=0, atol=2e-4)
