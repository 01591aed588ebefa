"""Adapters change what a prior is shown, not what it knows."""

from __future__ import annotations

import pytest
import torch

from operators import BadInput
from priors.base import DiffusionPrior
from priors.diffusion.adapters import BandByBand, MagnitudePhase, RealImaginary, Window, adapt


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
