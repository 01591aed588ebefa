"""Any denoiser becomes a prior once its range is said; the driver takes it as it is."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import operators
import priors
import restore
from operators import BadInput, BadType, MissingExtra
from priors.analytic.gaussian import GaussianPrior
from restore.problem import Problem

SHAPE = (3, 12, 10)


def truth() -> GaussianPrior:
    """Pictures in [0, 1]: every pixel N(0.4, 0.2^2)."""
    return GaussianPrior(torch.full(SHAPE, 0.4, dtype=torch.float64), std=0.2)


def of_units(x: Tensor, sigma: Tensor) -> Tensor:
    """The exact denoiser, as a function."""
    return truth().denoise(x, sigma)


def noisy() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(3, *SHAPE, generator=generator, dtype=torch.float64), torch.tensor([0.05, 0.3, 2.0]).double()


class Network(nn.Module):
    """A network in float32 whose batch normalisation would tell whether it is in evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        assert x.dtype == torch.float32 and not self.training
        return self.norm(x) / (1 + sigma.reshape(-1, 1, 1, 1))


def test_a_function_on_the_units_of_pictures_is_a_prior_as_it_is() -> None:
    x, sigma = noisy()
    prior = priors.wrap(of_units)
    torch.testing.assert_close(prior.denoise(x, sigma), truth().denoise(x, sigma))
    assert (prior.name, prior.clip, prior.channels) == ("of_units", (0.0, 1.0), None)


def test_the_range_and_the_meaning_of_sigma_are_said_once() -> None:
    x, sigma = noisy()
    expected = truth().denoise(x, sigma)

    def grey(x: Tensor, sigma: Tensor) -> Tensor:
        return 255 * of_units(x / 255, sigma / 255)

    def signed(x: Tensor, sigma: Tensor) -> Tensor:  # sigma in grey levels of pictures in [-1, 1]
        return 2 * of_units((x + 1) / 2, sigma / 255) - 1

    def one_number(x: Tensor, sigma: float) -> Tensor:
        assert isinstance(sigma, float)
        return of_units(x, torch.tensor(sigma, dtype=x.dtype))

    def from_map(x: Tensor, sigma: Tensor) -> Tensor:
        assert sigma.shape == (len(x), 1, *x.shape[2:])
        return of_units(x, sigma[:, 0, 0, 0])

    def noise(x: Tensor, sigma: Tensor) -> Tensor:
        return (x - of_units(x, sigma)) / sigma.reshape(-1, 1, 1, 1)

    def residual(x: Tensor, sigma: Tensor) -> Tensor:
        return x - of_units(x, sigma)

    for prior in (
        priors.wrap(grey, value_range=(0, 255)),
        priors.wrap(signed, value_range=(-1, 1), sigma_width=255),
        priors.wrap(one_number, sigma_as="number"),
        priors.wrap(from_map, sigma_as="map"),
        priors.wrap(noise, predicts="noise"),
        priors.wrap(residual, predicts="residual"),
    ):
        torch.testing.assert_close(prior.denoise(x, sigma), expected)


def test_a_denoiser_that_takes_maps_answers_noise_of_every_pixel_itself() -> None:
    x, _ = noisy()
    sigma = torch.linspace(0.02, 2.0, 120, dtype=torch.float64).reshape(1, 1, *SHAPE[1:]).expand(3, -1, -1, -1)
    prior = priors.wrap(of_units, sigma_as="map")
    torch.testing.assert_close(prior.denoise(x, sigma), truth().denoise(x, sigma))
    by_channel = sigma.expand(-1, 3, -1, -1)
    assert prior.denoise(x, by_channel).shape == x.shape  # by octaves: the denoiser takes one map for all channels


def test_a_network_is_asked_in_its_own_precision_and_evaluation_mode() -> None:
    x, sigma = noisy()
    prior = priors.wrap(Network().train(), channels=(3,))
    assert prior.denoise(x, sigma).dtype == torch.float64 and len(prior.sha256) == 64
    assert prior.sha256 == priors.wrap(Network()).sha256
    with pytest.raises(BadInput, match="1 channels"):
        prior.denoise(x[:, :1], 0.1)


def test_solve_takes_a_denoiser_and_records_it() -> None:
    x = truth().sample(1, operators.NoiseSource(0, ["x"]))
    noise = operators.noise.Gaussian(sigma=0.1)
    problem = Problem(noise.sample(x, operators.NoiseSource(0, ["y"])), operators.Identity(SHAPE), noise, truth=x)
    by_function = restore.solve(problem, of_units, restore.solvers.build("dpir", steps=3))
    assert by_function.provenance["prior"] == {"name": "of_units", "sha256": ""} and by_function.nfe == 3
    by_network = restore.solve(problem, Network(), restore.solvers.build("dpir", steps=3))
    assert by_network.provenance["prior"]["sha256"] == priors.wrap(Network()).sha256
    wrapped = restore.solve(problem, priors.wrap(of_units), restore.solvers.build("dpir", steps=3))
    assert torch.equal(by_function.estimate, wrapped.estimate)


def test_a_denoiser_without_gradients_is_refused_by_solvers_that_take_them() -> None:
    def through_numpy(x: Tensor, sigma: Tensor) -> Tensor:
        return torch.from_numpy(of_units(x, sigma).numpy())

    noise = operators.noise.Gaussian(sigma=0.1)
    problem = Problem(torch.full((1, *SHAPE), 0.5), operators.Identity(SHAPE), noise)
    prior = priors.wrap(through_numpy, differentiable=False)
    with pytest.raises(BadInput, match=r"DPS takes gradients.*diffpir, dpir"):
        restore.solve(problem, prior, "dps")
    assert restore.solve(problem, prior, restore.solvers.build("dpir", steps=2)).nfe == 2


def test_a_denoiser_of_deepinv_is_a_prior() -> None:
    deepinv = pytest.importorskip("deepinv")
    denoiser = deepinv.models.DRUNet(3, 3, nc=(8, 8, 8, 8), nb=1, pretrained=None).eval()
    x = torch.rand(2, 3, 16, 16)
    sigma = torch.tensor([0.1, 0.2])
    prior = priors.wrap(denoiser)
    with torch.no_grad():
        torch.testing.assert_close(prior.denoise(x, sigma), denoiser(x, sigma), atol=1e-5, rtol=1e-4)
    noise = operators.noise.Gaussian(sigma=0.1)
    problem = Problem(noise.sample(x, operators.NoiseSource(0, ["a", "b"])), operators.Identity((3, 16, 16)), noise)
    result = restore.solve(problem, denoiser, restore.solvers.build("dpir", steps=2))
    assert result.provenance["prior"]["name"] == "DRUNet" and bool(torch.isfinite(result.estimate).all())


class Unet(nn.Module):
    """What diffusers' UNet2DModel offers: config, (x_t, time) -> an object with `sample`."""

    def __init__(self, table: Tensor, predicts: str, *, doubled: bool = False) -> None:
        super().__init__()
        self.config = SimpleNamespace(in_channels=3)
        self.table, self.predicts, self.doubled = table, predicts, doubled
        self.bias = nn.Parameter(torch.zeros((), dtype=torch.float64))

    def forward(self, x_t: Tensor, time: Tensor) -> Any:
        kept = torch.exp(_interpolated(torch.log((1 - self.table) / self.table), time))
        level = kept.sqrt().reshape(-1, 1, 1, 1)
        alpha = 1 / (1 + level**2).sqrt()
        z = x_t / alpha
        z0 = 2 * truth().denoise((z + 1) / 2, level.flatten() / 2) - 1
        eps = (z - z0) / level
        answers = {"epsilon": eps, "sample": z0, "v_prediction": alpha * eps - alpha * level * z0}
        answer = answers[self.predicts] + self.bias
        return SimpleNamespace(sample=torch.cat([answer, answer], 1) if self.doubled else answer)


def _interpolated(values: Tensor, place: Tensor) -> Tensor:
    below = place.floor().long().clamp(max=len(values) - 2)
    return values[below] + (place - below) * (values[below + 1] - values[below])


def scheduler(predicts: str) -> SimpleNamespace:
    table = torch.cumprod(1 - torch.linspace(1e-4, 2e-2, 1000, dtype=torch.float64), 0)
    return SimpleNamespace(alphas_cumprod=table, config=SimpleNamespace(prediction_type=predicts))


@pytest.mark.parametrize("predicts", ["epsilon", "sample", "v_prediction"])
def test_a_unet_with_its_scheduler_answers_at_any_level(predicts: str) -> None:
    x, sigma = noisy()
    steps = scheduler(predicts)
    unet = Unet(steps.alphas_cumprod, predicts, doubled=predicts == "epsilon")
    expected = truth().denoise(x, sigma)
    for prior in (
        priors.wrap(unet, scheduler=steps),
        priors.wrap((unet, steps)),
        priors.wrap(SimpleNamespace(unet=unet, scheduler=steps)),
    ):
        torch.testing.assert_close(prior.denoise(x, sigma), expected, rtol=1e-6, atol=1e-6)
        assert (prior.channels, prior.clip, prior.name) == ((3,), (0.0, 1.0), "Unet")


def test_what_is_no_denoiser_of_pictures_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(BadType, match=r"prior is int; wanted a prior .*, its name, or a denoiser"):
        priors.wrap(3)
    with pytest.raises(BadType, match=r"prior is Identity; .* a denoiser f\(x, sigma\)"):
        priors.wrap(nn.Identity())
    with pytest.raises(BadType, match="the class Network"):
        priors.wrap(Network)
    with pytest.raises(BadInput, match="no alphas_cumprod"):
        priors.wrap(Network(), scheduler=SimpleNamespace())
    with pytest.raises(BadInput, match="works on latents"):
        priors.wrap(SimpleNamespace(unet=Network(), scheduler=scheduler("epsilon"), vae=object()))
    with pytest.raises(BadInput, match="value_range"):
        priors.wrap(of_units, value_range=(1, 0))
    with pytest.raises(BadInput, match=r"answered \(3, 1, 12, 10\)"):
        priors.wrap(lambda x, sigma: x[:, :1]).denoise(*noisy())
    with pytest.raises(BadInput, match="model_index"):
        priors.wrap(tmp_path)


@pytest.mark.skipif(importlib.util.find_spec("diffusers") is not None, reason="diffusers is installed here")
def test_a_folder_of_diffusers_needs_the_extra_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text("{}")
    with pytest.raises(MissingExtra, match=r"restore\[diffusers\]"):
        priors.wrap(tmp_path)


def test_a_result_of_a_denoiser_is_repeated_where_it_is_handed_over_again(tmp_path: Path) -> None:
    from restore.runs import again

    problem = restore.tasks.load("denoise").problem(torch.rand(*SHAPE), seed=1)
    file = restore.solve(problem, Network(), restore.solvers.build("dpir", steps=2)).save(tmp_path / "result.h5")
    assert again.repeat(file, prior=Network()).bitwise
    with pytest.raises(BadInput, match="unknown prior 'Network'"):
        again.repeat(file)
