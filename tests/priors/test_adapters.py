"""Adapters change what a prior is shown, not what it knows."""

from __future__ import annotations

import pytest
import torch

import operators
import restore
from operators import BadInput
from priors.base import DiffusionPrior
from priors.diffusion.adapters import BandByBand, MagnitudePhase, RealImaginary, Window, adapt
from priors.tiling import tiled
from restore.problem import Problem


class Shrink(DiffusionPrior):
    """A stand-in with a known answer: z / (1 + sigma^2), the posterior mean under a standard normal prior."""

    def __init__(self) -> None:
        super().__init__(shift=0.5, scale=0.5, native_clip=(-1.0, 1.0), channels=(1, 3))
        self.name = "shrink"

    def denoise_native(self, z: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        assert z.shape[1] in (1, 3)
        return z / (1 + sigma.reshape(-1, 1, 1, 1) ** 2)


def test_bands_are_denoised_one_by_one() -> None:
    prior = BandByBand(Shrink())
    x = torch.rand(2, 28, 5, 6)
    sigma = torch.tensor([0.1, 0.4])
    alone = torch.cat([Shrink().denoise(x[:, k : k + 1], sigma) for k in range(28)], dim=1)
    torch.testing.assert_close(prior.denoise(x, sigma), alone)


def test_magnitude_is_denoised_and_phase_is_kept() -> None:
    magnitude = torch.rand(1, 1, 4, 4)
    magnitude[0, 0, 0, 0] = 0.0
    phase = torch.exp(1j * torch.linspace(0, 3, 16).reshape(1, 1, 4, 4))
    clean = MagnitudePhase(Shrink()).denoise(magnitude * phase, 0.2)
    expected = Shrink().denoise(magnitude, 0.2)
    torch.testing.assert_close(clean.abs(), expected)
    torch.testing.assert_close(clean[..., 1:, :] / expected[..., 1:, :], phase[..., 1:, :])


def test_real_and_imaginary_part_are_denoised_each_as_a_gray_picture_with_zero_in_the_middle() -> None:
    x = torch.complex(torch.rand(2, 2, 4, 5) - 0.5, torch.rand(2, 2, 4, 5) - 0.5)
    sigma = torch.tensor([0.1, 0.4])
    parts = [BandByBand(Shrink()).denoise((part + 1) / 2, sigma / 2) * 2 - 1 for part in (x.real, x.imag)]
    torch.testing.assert_close(RealImaginary(Shrink()).denoise(x, sigma), torch.complex(*parts))


def test_window_maps_hounsfield_units_to_the_inner_range() -> None:
    prior = Window(Shrink(), low=-1000.0, high=400.0)
    assert prior.clip == pytest.approx((-1000.0, 400.0))
    inner = torch.rand(1, 1, 4, 4)
    torch.testing.assert_close(
        prior.denoise(-1000 + 1400 * inner, 140.0), -1000 + 1400 * Shrink().denoise(inner, 0.1), rtol=1e-5, atol=1e-3
    )


@pytest.mark.parametrize(
    "name", ["bands", "magnitude-phase", "real-imaginary", "window(-1000,400)", "window( -1e3 , 400.5 )"]
)
def test_adapters_are_chosen_by_name(name: str) -> None:
    assert adapt(Shrink(), name).name.startswith("shrink:")


def test_an_unknown_adapter_is_refused_with_the_known_ones() -> None:
    with pytest.raises(BadInput, match="bands"):
        adapt(Shrink(), "colour")


def test_slices_of_a_volume_are_denoised_one_by_one() -> None:
    prior = adapt(Shrink(), "slices")
    x, sigma = torch.rand(2, 1, 19, 5, 6), torch.tensor([0.1, 0.4])
    alone = torch.stack([Shrink().denoise(x[:, :, k], sigma) for k in range(19)], dim=2)
    torch.testing.assert_close(prior.denoise(x, sigma), alone)
    assert (prior.spatial, prior.network_axes, prior.clip) == (3, 2, Shrink().clip)


def test_tiles_of_a_volume_cut_what_the_network_sees() -> None:
    x = torch.rand(1, 1, 3, 40, 50)
    prior = adapt(Shrink(), "slices")
    torch.testing.assert_close(tiled(prior, tile=16, overlap=4).denoise(x, 0.1), prior.denoise(x, 0.1))


def test_adapters_follow_one_another_and_take_settings_by_place_or_by_name() -> None:
    volume = torch.rand(1, 1, 2, 4, 4) * 0.04
    words = (
        "slices:window(0,0.04)",
        "window(low=0,high=0.04):slices",
        "window(high = 0.04, low = 0.0):slices",
    )
    first, *others = [adapt(Shrink(), word).denoise(volume, 0.01) for word in words]
    for other in others:
        torch.testing.assert_close(other, first)
    table = {"name": "window", "low": 0.0, "high": 0.04}
    torch.testing.assert_close(adapt(adapt(Shrink(), "slices"), table).denoise(volume, 0.01), first)


@pytest.mark.parametrize("word", ["window(0)", "window(0,1,2)", "window(0,1", "bands(3)"])
def test_an_adapter_with_the_wrong_settings_is_refused(word: str) -> None:
    with pytest.raises(BadInput, match="window|bands"):
        adapt(Shrink(), word)


def test_a_volume_is_refused_by_a_prior_of_pictures_with_the_adapter_that_takes_it() -> None:
    volume = torch.rand(1, 1, 6, 8, 8)
    noise = operators.noise.Gaussian(sigma=0.1)
    problem = Problem(noise.sample(volume, operators.NoiseSource(0, ["v"])), operators.Identity((1, 6, 8, 8)), noise)
    with pytest.raises(BadInput, match=r"3 axes beside its channels; wanted 2 for prior 'natural'.*natural:slices"):
        restore.solve(problem, "natural", "diffpir")
    result = restore.solve(problem, "natural:slices", restore.solvers.build("diffpir", steps=2))
    assert result.estimate.shape == volume.shape and result.provenance["prior"]["name"] == "natural:slices"
    planar = Problem(problem.y[:, :, 0], operators.Identity((1, 8, 8)), noise)
    with pytest.raises(BadInput, match="2 axes beside its channels; wanted 3"):
        restore.solve(planar, "natural:slices", "diffpir")
