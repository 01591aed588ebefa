"""Noise that differs from pixel to pixel: exact where a closed form can, by octaves elsewhere."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from operators import BadInput
from priors.analytic.gaussian import GaussianPrior
from priors.analytic.gaussian_mixture import GaussianMixture
from priors.base import DiffusionPrior
from priors.maps import MOST_LEVELS

SHAPE = (2, 6, 7)


class Counted(DiffusionPrior):
    """A diagonal Gaussian that knows one level per picture only, and counts its calls."""

    def __init__(self, inner: GaussianPrior) -> None:
        super().__init__(channels=inner.channels)
        self.inner = inner
        self.levels: list[Tensor] = []

    def denoise_native(self, z: Tensor, sigma: Tensor) -> Tensor:
        self.levels.append(sigma)
        return self.inner.denoise_native(z, sigma)


def diagonal() -> GaussianPrior:
    std = torch.linspace(0.2, 1.5, 84, dtype=torch.float64).reshape(SHAPE)
    return GaussianPrior(torch.full(SHAPE, 0.3, dtype=torch.float64), std=std)


def drawn(count: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(count, *SHAPE, generator=generator, dtype=torch.float64)
    return x, 0.05 + torch.rand(count, 1, *SHAPE[1:], generator=generator, dtype=torch.float64)


def smooth() -> Tensor:
    place = torch.arange(84, dtype=torch.float64)
    return torch.exp(-((place[:, None] - place) ** 2) / 50) + 0.01 * torch.eye(84, dtype=torch.float64)


def test_a_diagonal_gaussian_weighs_every_pixel_by_its_own_noise() -> None:
    prior, (x, sigma) = diagonal(), drawn()
    sigma[0, 0, 0, 0] = 0.0
    variance = torch.linspace(0.2, 1.5, 84, dtype=torch.float64).reshape(SHAPE) ** 2
    expected = 0.3 + variance / (variance + sigma**2) * (x - 0.3)
    torch.testing.assert_close(prior.denoise(x, sigma), expected)


@pytest.mark.parametrize("clean", [False, True])
def test_correlated_gaussians_agree_with_dense_algebra(clean: bool) -> None:
    x, sigma = drawn()
    if clean:
        sigma[:, :, 2, 3] = 0.0
    noise = torch.diag_embed(sigma.square().expand(3, *SHAPE).flatten(1))
    dense = GaussianPrior(torch.zeros(SHAPE, dtype=torch.float64), covariance=smooth())
    power = torch.rand(SHAPE, generator=torch.Generator().manual_seed(1), dtype=torch.float64) + 0.1
    power = (power + torch.roll(power.flip(-1, -2), (1, 1), (-2, -1))) / 2
    stationary = GaussianPrior(torch.zeros(SHAPE, dtype=torch.float64), spectrum=power)
    for prior in (dense, stationary):
        covariance = prior.covariance
        expected = (covariance @ torch.linalg.solve(covariance + noise, x.flatten(1, -1)[..., None]))[..., 0]
        torch.testing.assert_close(prior.denoise(x, sigma), expected.reshape(x.shape), rtol=1e-7, atol=1e-8)


def test_a_mixture_weighs_its_components_by_the_noise_of_each_pixel() -> None:
    means = torch.stack([torch.zeros(SHAPE), torch.ones(SHAPE)]).double()
    prior = GaussianMixture(means, torch.tensor([1.0, 3.0]), std=0.2)
    x, sigma = drawn()
    total = 0.04 + sigma.square().expand_as(x)
    log_shares = torch.tensor([1.0, 3.0]).log() - ((x[:, None] - means) ** 2 / (2 * total[:, None])).flatten(2).sum(2)
    shares = torch.softmax(log_shares.double(), 1)
    centre = torch.einsum("bk,kchw->bchw", shares, means)
    torch.testing.assert_close(prior.denoise(x, sigma), (0.04 * x + (total - 0.04) * centre) / total)


def test_a_constant_map_costs_one_call_and_is_that_level() -> None:
    prior, (x, _) = Counted(diagonal()), drawn()
    levels = torch.tensor([0.1, 0.4, 2.0], dtype=torch.float64)
    by_map = prior.denoise(x, levels.reshape(3, 1, 1, 1).expand(3, 1, *SHAPE[1:]))
    assert len(prior.levels) == 1
    torch.testing.assert_close(by_map, prior.denoise(x, levels))


def test_octaves_come_close_to_the_closed_form_and_their_calls_are_bounded() -> None:
    x, sigma = drawn()
    exact = diagonal().denoise(x, sigma)
    prior = Counted(diagonal())
    error = (prior.denoise(x, sigma) - exact).abs().max() / (x - exact).abs().max()
    # The gain l / (l + s^2) is nearly straight in ln s over an octave.
    assert float(error) < 0.03 and len(prior.levels) <= 6
    wide = torch.logspace(-4, 2, 42, dtype=torch.float64).reshape(1, 1, *SHAPE[1:])
    prior.levels.clear()
    prior.denoise(x, wide)
    assert len(prior.levels) == MOST_LEVELS


def test_a_picture_of_a_batch_does_not_see_the_maps_of_the_others() -> None:
    x, sigma = drawn()
    sigma[1] *= 30
    together = Counted(diagonal()).denoise(x, sigma)
    alone = torch.cat([Counted(diagonal()).denoise(x[k : k + 1], sigma[k : k + 1]) for k in range(3)])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-12)


def test_clean_pixels_stay_as_they_are_and_clean_pictures_too() -> None:
    x, sigma = drawn()
    sigma[0] = 0.0
    sigma[1, :, :3] = 0.0
    clean = Counted(diagonal()).denoise(x, sigma)
    assert torch.equal(clean[0], x[0]) and torch.equal(clean[1, :, :3], x[1, :, :3])
    assert not torch.equal(clean[1, :, 3:], x[1, :, 3:])
    assert torch.equal(Counted(diagonal()).denoise(x, torch.zeros_like(sigma)), x)


@pytest.mark.parametrize("shape", [(2, 1, 6, 7), (3, 3, 6, 7)])
def test_a_map_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(BadInput, match="sigma has"):
        diagonal().denoise(drawn()[0], torch.ones(shape))
    with pytest.raises(BadInput, match="negative"):
        diagonal().denoise(drawn()[0], -drawn()[1])


def test_a_gradient_passes_through_a_map() -> None:
    x, sigma = drawn(1)
    point = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(Counted(diagonal()).denoise(point, sigma).sum(), point)
    assert bool(torch.isfinite(slope).all()) and float(slope.abs().min()) > 0
