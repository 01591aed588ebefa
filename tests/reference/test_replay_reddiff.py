"""RED-Diff against recorded runs of its public code."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from operators.common.randomness import Tape
from operators.noise import Gaussian
from restore.problem import Problem
from restore.solvers.diffusion.red_diff import REDDiff

PIXELS = 3 * 16 * 16


@pytest.mark.parametrize("variant", ["default", "v2"])
@pytest.mark.parametrize("operator", ["sr4", "mask"])
def test_reddiff_follows_the_recorded_run(reference, toy_prior, average_pool, kept, operator, variant):
    record = reference("reddiff")
    name = f"{operator}__{variant}"
    forward = average_pool(flat=True) if operator == "sr4" else kept(torch.as_tensor(record["mask"]))
    y = torch.as_tensor(record[f"{operator}__y"]).reshape(2, *forward.output_shape)
    count = len(record["timesteps"])
    solver = REDDiff(
        steps=count,
        lambda_=float(record[f"{name}__gtw"]),
        data_weight=float(record[f"{name}__ow"]),
        weight=str(record[f"{name}__dtw"]),
        lr=float(record[f"{name}__lr"]),
        sigma_x0=float(record[f"{name}__sx"]),
        eps=1e-8 * 2 * PIXELS,  # the recorded means run over the batch of two pictures
        stop=0.0,
        start="pinv",
    )
    problem = Problem(y, forward, Gaussian(sigma=0.0))
    tape = Tape(record[f"{name}__noise"])
    path = [state.estimate for state in solver.iterate(problem, toy_prior(record, None), tape)]
    traced = [path[step - 1] for step in (1, 2, 3, count // 2 + 1, count)]
    np.testing.assert_allclose(torch.stack(traced), record[f"{name}__mu_trace"], rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(path[-1], record[f"{name}__mu"], rtol=1e-6, atol=1e-8)
    assert tape.position == 2 * count


def test_reddiff_times_are_the_recorded_ones(reference):
    record = reference("reddiff")
    assert REDDiff(steps=20).times(0) == record["timesteps"][::-1].tolist()
