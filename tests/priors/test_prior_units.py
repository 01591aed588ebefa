"""Units of a diffusion prior: image units outside, native units inside, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from operators import BadInput
from priors.analytic.gaussian import GaussianPrior
from priors.base import DiffusionPrior

SHIFT, SCALE = 0.5, 0.25
MEAN, STD = 0.2, 0.8  # of the native pictures


class Shrink(DiffusionPrior):
    """N(MEAN, STD^2) per pixel in native units; pictures are SHIFT + SCALE z."""

    def __init__(self) -> None:
        super().__init__(shift=SHIFT, scale=SCALE, native_clip=(-1.0, 1.0), channels=(1, 3))

    def denoise_native(self, z: Tensor, sigma: Tensor) -> Tensor:
        share = STD**2 / (STD**2 + sigma[:, None, None, None] ** 2)
        return MEAN + share * (z - MEAN)


def _random(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def test_image_units_give_the_same_prior_as_its_closed_form_there():
    x = _random(2, 1, 3, 4)
    same = GaussianPrior(torch.full((1, 3, 4), SHIFT + SCALE * MEAN, dtype=torch.float64), std=SCALE * STD)
    torch.testing.assert_close(Shrink().denoise(x, 0.3), same.denoise(x, 0.3), rtol=1e-12, atol=1e-12)


def test_native_view_is_the_image_view_in_other_units():
    z, prior = _random(2, 3, 3, 4), Shrink()
    outside = (prior.denoise(SHIFT + SCALE * z, SCALE * 0.4) - SHIFT) / SCALE
    torch.testing.assert_close(prior.native.denoise(z, 0.4), outside, rtol=1e-12, atol=1e-12)
    assert prior.native.clip == (-1.0, 1.0)
    assert prior.clip == (0.25, 0.75)
    native = prior.native
    assert native.native is native


def test_each_picture_may_have_its_own_sigma():
    x, prior = _random(3, 1, 2, 2), Shrink()
    levels = [0.1, 0.0, 2.0]
    together = prior.denoise(x, torch.tensor(levels, dtype=torch.float64))
    alone = torch.cat([prior.denoise(x[i : i + 1], level) for i, level in enumerate(levels)])
    torch.testing.assert_close(together, alone, rtol=1e-12, atol=1e-12)


def test_sigma_zero_returns_the_picture_itself():
    x = _random(2, 1, 2, 2)
    assert torch.equal(Shrink().denoise(x, 0.0), x)


def test_large_sigma_returns_the_prior_mean():
    out = Shrink().denoise(1e6 * _random(1, 1, 4, 4), 1e12)
    torch.testing.assert_close(out, torch.full_like(out, SHIFT + SCALE * MEAN), rtol=1e-4, atol=0)


@pytest.mark.parametrize("sigma", [-0.1, float("nan"), float("inf"), torch.tensor([0.1, 0.2, 0.3])])
def test_impossible_sigmas_are_refused(sigma):
    with pytest.raises(BadInput, match="sigma"):
        Shrink().denoise(_random(2, 1, 2, 2), sigma)


def test_wrong_channel_counts_are_refused():
    with pytest.raises(BadInput, match="channels"):
        Shrink().denoise(_random(1, 2, 2, 2), 0.1)


def test_an_empty_batch_stays_empty():
    assert Shrink().denoise(torch.zeros(0, 1, 2, 2), 0.1).shape == (0, 1, 2, 2)


def test_schedule_time_and_sigma_agree():
    x_t, prior = _random(1, 1, 3, 3), Shrink()
    alpha, sigma = prior.alpha(400), prior.sigma(400)
    torch.testing.assert_close(prior.x0(x_t, 400), prior.denoise(x_t / alpha, sigma / alpha))
