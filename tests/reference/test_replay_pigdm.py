"""PiGDM against recorded runs of its public code."""

from __future__ import annotations

import pytest
import torch

from operators.common.randomness import Tape
from operators.noise import Gaussian
from restore.problem import Problem
from restore.solvers.diffusion.pigdm import PiGDM


@pytest.mark.parametrize("variant", ["eta1", "eta05"])
@pytest.mark.parametrize("operator", ["sr4", "mask"])
def test_pigdm_follows_the_recorded_run(reference, toy_prior, average_pool, kept, close, operator, variant):
    record = reference("pgdm")
    name = f"{operator}__{variant}"
    forward = average_pool(flat=True) if operator == "sr4" else kept(torch.as_tensor(record["mask"]))
    y = torch.as_tensor(record[f"{operator}__y"]).reshape(2, *forward.output_shape)
    steps = len(record["timesteps"])
    solver = PiGDM(
        steps=steps,
        eta=float(record[f"{name}__eta"]),
        weight=float(record[f"{name}__gtw"]),
        rule="paper" if bool(record[f"{name}__awd"]) else "ddim",
        first_time=1000,
        start="pinv",
        sigma_floor=0.0,
    )
    tape = Tape(record[f"{name}__noise"])
    states = list(solver.iterate(Problem(y, forward, Gaussian(sigma=0.0)), toy_prior(record, None), tape))
    close(states[0].x, record[f"{name}__x_step1"])
    close(states[steps // 2 - 1].x, record[f"{name}__x_mid"])
    close(states[-1].x0, record[f"{name}__x0_last"])
    close(states[-1].estimate, record[f"{name}__x_final"])
    assert tape.position == steps + 1
