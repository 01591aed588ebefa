"""DPS against recorded runs of its public code."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from operators.common.randomness import Tape
from operators.core.base import Operator
from operators.noise import Gaussian
from restore.problem import Problem
from restore.solvers.diffusion.dps import DPS

TOLERANCE = {"mask": 1e-8, "sr4": 1e-8, "gblur": 1e-7}


class ReflectedBlur(Operator):
    """Correlation with a kernel, channel by channel, reflected borders; the public code keeps the kernel in float32."""

    def __init__(self, kernel: Tensor) -> None:
        super().__init__((3, 16, 16), (3, 16, 16))
        self.kernel = kernel.float().double().expand(3, 1, *kernel.shape)

    def _forward(self, x: Tensor) -> Tensor:
        return F.conv2d(F.pad(x, (2, 2, 2, 2), mode="reflect"), self.kernel, groups=3)


@pytest.mark.parametrize("sampler", ["ddpm", "ddim"])
@pytest.mark.parametrize("operator", ["mask", "sr4", "gblur"])
def test_dps_follows_the_recorded_run(reference, toy_prior, average_pool, kept, operator, sampler):
    record = reference("dps")
    name = f"{operator}__{sampler}"
    forward = {
        "mask": lambda: kept(torch.as_tensor(record["mask"]), measures_holes=True),
        "sr4": lambda: average_pool(flat=False),
        "gblur": lambda: ReflectedBlur(torch.as_tensor(record["blur_kernel"])),
    }[operator]()
    steps = len(record[f"{name}__timesteps"])
    solver = DPS(
        steps=steps, zeta=float(record[f"{name}__scale"]), rule="norm", sampler=sampler, variance=0.5, first_time=999
    )
    assert solver.times() == record[f"{name}__timesteps"][::-1].tolist()
    prior = toy_prior(record, (-1.0, 1.0) if sampler == "ddpm" else None)
    tape = Tape([record[f"{name}__x_T"], *record[f"{name}__noise"]])
    problem = Problem(torch.as_tensor(record[f"{operator}__y"]), forward, Gaussian(sigma=0.0))
    states = list(solver.iterate(problem, prior, tape))
    tolerance = {"rtol": 1e-6, "atol": TOLERANCE[operator]}
    np.testing.assert_allclose(states[0].x0, record[f"{name}__x0hat_step1"], **tolerance)
    np.testing.assert_allclose(states[0].x, record[f"{name}__x_step1"], **tolerance)
    np.testing.assert_allclose(states[steps // 2].x, record[f"{name}__x_mid"], **tolerance)
    np.testing.assert_allclose(states[-1].estimate, record[f"{name}__x_final"], **tolerance)
    np.testing.assert_allclose([s.info["distance"] for s in states], record[f"{name}__residual_norm"], **tolerance)


def test_norm_rule_steers_each_picture_by_its_own_distance(reference, toy_prior, kept):
    record = reference("dps")
    forward, prior = kept(torch.as_tensor(record["mask"])), toy_prior(record, (-1.0, 1.0))
    y = torch.as_tensor(record["mask__y"])
    pair = torch.cat([y, -2 * y])
    draws = torch.as_tensor(record["mask__ddpm__noise"][:5]).double()
    solver = DPS(steps=5, zeta=0.5, rule="norm", variance=0.5, first_time=999)

    def final(measured: Tensor) -> Tensor:
        tape = Tape(draws.expand(-1, len(measured), -1, -1, -1))
        return list(solver.iterate(Problem(measured, forward, Gaussian(sigma=0.0)), prior, tape))[-1].estimate

    torch.testing.assert_close(final(pair)[1:], final(pair[1:]), rtol=1e-12, atol=1e-12)
