"""What the study of latent priors prints, against a codec and a prior whose figures are known."""

from __future__ import annotations

import pytest
import torch

from benchmarks.studies import codec
from operators import NoiseSource
from operators.common.space import Latent
from priors.analytic.gaussian import GaussianPrior

SHAPE = (3, 24, 24)


def halved(gain: float = 1.0) -> GaussianPrior:
    """Latents N(0.5, 0.2^2), shown as pictures twice as large; decoded `gain` times too strong."""
    latents = GaussianPrior(torch.full((3, 12, 12), 0.5), std=0.2)
    shape = (3, 12, 12)

    def decode(z: torch.Tensor) -> torch.Tensor:
        return gain * z.repeat_interleave(2, -1).repeat_interleave(2, -2)

    space = Latent(lambda x: x[..., ::2, ::2], decode, shape)
    return latents.within(space, channels=(3,))


@pytest.fixture
def pictures() -> list[torch.Tensor]:
    prior = halved()
    z = prior.native.sample(3, NoiseSource(0, ["a", "b", "c"])).clamp(0.05, 0.95).float()
    return list(prior.space.to(z).split(1))


def test_what_a_codec_loses_is_told_in_decibels(pictures: list[torch.Tensor]) -> None:
    (line,) = codec.reconstruction(halved(gain=0.9), pictures)
    square = torch.stack([(0.1 * x).square().mean() for x in pictures])
    expected = float((-10 * torch.log10(square)).mean())
    assert line.startswith(f"3 pictures through encoder and decoder: {expected:.2f} dB")


def test_a_prior_that_knows_its_latents_leaves_what_bayes_rule_leaves(pictures: list[torch.Tensor]) -> None:
    for line in codec.denoising(halved(), pictures):
        found, best = (float(part.split()[0]) for part in line.split(": ")[1].split(", "))
        assert found == pytest.approx(best, rel=0.15)


def test_samples_stand_beside_the_pictures(pictures: list[torch.Tensor]) -> None:
    drawn, given = codec.sampling(halved(), pictures, 4, side=24)
    stds = [float(line.split("deviation ")[1].split(",")[0]) for line in (drawn, given)]
    assert drawn.startswith("4 samples") and stds[0] == pytest.approx(stds[1], rel=0.2)


def test_a_prior_of_pictures_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert codec.main(["--prior", "natural-low"]) == 2
    assert "latent prior" in capsys.readouterr().err
