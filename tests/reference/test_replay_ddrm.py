"""DDRM against recorded runs of its public code."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from operators.common.randomness import Tape
from operators.noise import Gaussian
from restore.problem import Problem
from restore.solvers import build
from restore.solvers.diffusion.ddrm import DDRM

from .spectral_operators import means, packed_mask, separable_blur

OPERATORS = {"sr4": means, "mask": packed_mask, "deblur": separable_blur}


def draws(record, name: str, forward, solver: DDRM, prior) -> Iterator[Tensor]:
    """The recorded draws as pictures: three arrays each step, of which every coordinate uses one."""
    spectral = forward.svd
    yield spectral.V(torch.as_tensor(record[f"{name}__x_T"]).double().flatten(1))
    times = record["timesteps"][::-1].tolist()
    sigma, s = float(record[f"{name}__sigma_0"]), torch.zeros(768, dtype=torch.float64)
    s[: len(forward.s)] = forward.s
    for step, u in enumerate([*times[1:], -1]):
        z = torch.as_tensor(record[f"{name}__noise_missing"][step]).double().clone()
        level = prior.sigma(u) / prior.alpha(u)
        for part, where in (("after", s * level < sigma), ("before", s * level > sigma)):
            where = where & (s > 0)
            recorded = torch.as_tensor(record[f"{name}__noise_{part}"][step]).double()
            width = int(record[f"{name}__n_{part}"][step])
            assert width == int(where.sum()) or part == "before"
            z[:, where] = recorded[:, : len(s)][:, where] if width == len(s) else recorded[:, : int(where.sum())]
        yield spectral.V(z)


@pytest.mark.parametrize("variant", ["noisy", "clean"])
@pytest.mark.parametrize("operator", OPERATORS)
def test_ddrm_follows_the_recorded_run(reference, toy_prior, close, operator, variant):
    record = reference("ddrm")
    name = f"{operator}__{variant}"
    forward, prior = OPERATORS[operator](record), toy_prior(record, None)
    solver = build("ddrm", preset="released", steps=len(record["timesteps"]))
    problem = Problem(torch.as_tensor(record[f"{name}__y"]), forward, Gaussian(sigma=float(record[f"{name}__sigma_0"])))
    tape = Tape(list(draws(record, name, forward, solver, prior)))
    states = list(solver.iterate(problem, prior, tape))
    close(states[0].x, record[f"{name}__x_step1"])
    close(states[len(states) // 2 - 1].x, record[f"{name}__x_mid"])
    close(states[-1].estimate, record[f"{name}__x_final"])
    assert tape.position == len(states) + 1
