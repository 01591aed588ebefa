"""Unconditional samples follow the prior."""

from __future__ import annotations

import torch

import operators
from priors.base import DiffusionPrior
from priors.diffusion.sampling import heun


class Normal(DiffusionPrior):
    """N(1, 0.3^2) in native units, shown as x = 0.5 + 0.25 z."""

    def __init__(self) -> None:
        super().__init__(shift=0.5, scale=0.25)

    def denoise_native(self, z: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        variance = sigma.reshape(-1, 1, 1, 1) ** 2
        return (0.09 * z + variance) / (0.09 + variance)


def test_samples_of_a_gaussian_prior_have_its_mean_and_spread() -> None:
    like = torch.zeros(2, 1, 100, 100, dtype=torch.float64)
    source = operators.NoiseSource(0, ["a", "b"])
    x = heun(Normal(), like, source, steps=60)
    # 20000 numbers: the mean is known to 0.0005, the spread to 0.5 %; the ODE solver adds about 1 % at 60 steps.
    assert abs(float(x.mean()) - 0.75) < 0.003
    assert abs(float(x.std()) / 0.075 - 1) < 0.02


def test_a_sample_depends_on_its_name_and_the_seed_alone() -> None:
    pair = heun(Normal(), torch.zeros(2, 1, 8, 8), operators.NoiseSource(3, ["a", "b"]), steps=4)
    alone = heun(Normal(), torch.zeros(1, 1, 8, 8), operators.NoiseSource(3, ["b"]), steps=4)
    torch.testing.assert_close(pair[1:], alone, rtol=0, atol=1e-6)
