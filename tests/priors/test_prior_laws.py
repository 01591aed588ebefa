"""Laws that hold for every prior in the table, adapted and wrapped ones, and closed forms.

A prior added to the table is tested here for nothing. What a law asks depends on its kind: see LAWS at the end.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import skimage.data
import torch
from torch import Tensor

import priors
from operators import BadInput, Identity, NoiseSource
from operators.common.space import Affine
from operators.noise import Gaussian as GaussianNoise
from priors.analytic.gaussian import GaussianPrior
from priors.analytic.gaussian_mixture import GaussianMixture
from priors.base import DiffusionPrior, Prior
from priors.diffusion.adapters import REGISTRY as ADAPTERS
from priors.discrete.masked import MaskedPrior
from priors.residual.prior import ResidualPrior
from priors.selfsupervised.files import METHODS, keep
from priors.selfsupervised.prior import SelfSupervisedPrior
from priors.tiling import tiled
from restore.problem import Problem

SIDE = 40  # of most pictures: a multiple of what the networks halve
LATENT = ("latent",)  # priors whose laws are those of their latents
ROUNDING = 2e-4  # of the range, for networks in float32


def _named(name: str, prior: Prior) -> Prior:
    prior.name = name
    return prior


def gaussian() -> Prior:
    std = torch.linspace(0.1, 0.4, 3 * SIDE * SIDE).reshape(3, SIDE, SIDE)
    return _named("gaussian", GaussianPrior(torch.full((3, SIDE, SIDE), 0.4), std=std, native_clip=(0.0, 1.0)))


def mixture() -> Prior:
    means = torch.stack([torch.full((3, SIDE, SIDE), level) for level in (0.2, 0.7)])
    return _named("mixture", GaussianMixture(means, torch.tensor([1.0, 2.0]), std=0.2))


def wrapped() -> Prior:
    return priors.wrap(lambda x, sigma: x / (1 + sigma.reshape(-1, 1, 1, 1)), name="wrapped")


def moved() -> Prior:
    return gaussian().within(Affine(-1000.0, 1400.0))


MADE: dict[str, Callable[[], Prior]] = {"gaussian": gaussian, "mixture": mixture, "wrapped": wrapped, "moved": moved}
SETTINGS = {"window": "window(-1000,400)"}  # of adapters that have no defaults
ADAPTED = tuple(f"natural:{SETTINGS.get(name, name)}" for name in ADAPTERS)
NAMES = (*priors.REGISTRY.shipped, *ADAPTED, *MADE)


@lru_cache(maxsize=32)
def prior_of(name: str) -> Prior:
    if name in METHODS:
        return learned(name)
    return MADE[name]() if name in MADE else priors.load(name)


def measured(y: Tensor) -> Problem:
    return Problem(y, Identity(tuple(y.shape[1:])), GaussianNoise(sigma=0.1))


def learned(name: str) -> Prior:
    """A prior that learns from a measurement, after three steps on a small one."""
    problem = measured(pictures(moved(), count=2, side=20) / 1400 + 0.7)
    fresh = priors.load(name, steps=3, batch=2, crop=16, width=4)
    fitted = fresh.fit(problem, NoiseSource(0, problem.image_ids), lambda *_: None)
    fitted.name = name
    return fitted


def pictures(prior: Prior, count: int = 2, side: int = SIDE) -> Tensor:
    """Photographs in the range of the prior, with the axes and channels it takes; real or complex."""
    pixels = torch.from_numpy(skimage.data.astronaut()[100:, 180:].copy()).permute(2, 0, 1).float() / 255
    side = 4 * side if prior.name in LATENT else side
    cut = torch.stack([pixels[:, 30 * k : 30 * k + side, 20 * k : 20 * k + side] for k in range(count)])
    channels = prior.channels[-1] if prior.channels is not None else 3
    cut = cut[:, [k % 3 for k in range(channels)]]
    if prior.name in LATENT:
        return priors.load(prior.name).space.back(cut)
    low, high = prior.clip if prior.clip is not None else (0.0, 1.0)
    cut = low + (high - low) * cut
    if prior.name.endswith(("real-imaginary", "magnitude-phase")):
        cut = torch.complex(cut, 0.3 * cut.flip(-1))
    return cut if prior.spatial == 2 else torch.stack([cut, cut.flip(-1)], dim=2)


def drawn(like: Tensor, seed: int = 0) -> Tensor:
    return torch.randn(like.shape, generator=torch.Generator().manual_seed(seed), dtype=like.dtype)


def width(prior: Prior) -> float:
    return 1.0 if prior.clip is None else prior.clip[1] - prior.clip[0]


def noisy(prior: Prior, share: float = 0.1, **size: int) -> tuple[Tensor, Tensor]:
    """Pictures with noise of a share of the range, and its level for each."""
    x = pictures(prior, **size)
    sigma = torch.full((len(x),), share * width(prior))
    return x + float(sigma[0]) * drawn(x), sigma


def close(one: Tensor, other: Tensor, prior: Prior, tolerance: float = ROUNDING) -> None:
    torch.testing.assert_close(one, other, rtol=0, atol=tolerance * width(prior))


# -- laws of every kind -----------------------------------------------------------------------------------------------


def says_what_it_is(prior: Prior) -> None:
    assert prior.spatial in (2, 3) and 1 <= prior.network_axes <= prior.spatial
    assert prior.calls and all(callable(getattr(prior, name)) for name in prior.calls)
    assert prior.kind and prior.name
    if prior.clip is not None:
        assert prior.clip == pytest.approx(tuple(prior.space.to(bound) for bound in prior.native_clip))


# -- laws of diffusion priors -----------------------------------------------------------------------------------------


def answers_in_its_own_units_and_in_pictures(prior: DiffusionPrior) -> None:
    x, sigma = noisy(prior)
    native = prior.native
    expected = prior.space.to(native.denoise(prior.space.back(x), sigma / prior.scale))
    close(prior.denoise(x, sigma), expected, prior)
    assert native.native is native and (native.shift, native.scale) == (0.0, 1.0)
    if prior.native_clip is not None:
        assert native.clip == prior.native_clip


def keeps_shape_and_precision(prior: DiffusionPrior) -> None:
    x, sigma = noisy(prior)
    double = x.to(torch.promote_types(x.dtype, torch.float64))
    for picture in (x, double):
        clean = prior.denoise(picture, sigma)
        assert clean.shape == x.shape and clean.dtype == picture.dtype
        assert bool(torch.isfinite(torch.view_as_real(clean) if clean.is_complex() else clean).all())
    assert prior.denoise(x[:0], 0.1).shape == x[:0].shape


def denoises_each_picture_for_itself(prior: DiffusionPrior) -> None:
    x, sigma = noisy(prior)
    sigma = sigma * torch.tensor([1.0, 3.0])
    alone = torch.cat([prior.denoise(x[k : k + 1], sigma[k : k + 1]) for k in range(2)])
    close(prior.denoise(x, sigma), alone, prior)


def leaves_a_clean_picture_alone(prior: DiffusionPrior) -> None:
    x, sigma = noisy(prior)
    assert torch.equal(prior.denoise(x, 0.0), x)
    mixed = prior.denoise(x, torch.tensor([0.0, float(sigma[0])]))
    assert torch.equal(mixed[0], x[0]) and not torch.equal(mixed[1], x[1])


def moves_a_picture_by_no_more_than_its_noise(prior: DiffusionPrior) -> None:
    for share in (0.01, 0.03, 0.1):
        x, sigma = noisy(prior, share)
        assert float((prior.denoise(x, sigma) - x).abs().mean()) <= 2 * float(sigma[0])


def takes_maps_of_sigma(prior: DiffusionPrior) -> None:
    x, sigma = noisy(prior)
    per_pixel = sigma.reshape(-1, *[1] * (x.ndim - 1)).expand(len(x), 1, *x.shape[2:])
    constant = prior.denoise(x, sigma)
    close(prior.denoise(x, per_pixel), constant, prior)
    half = per_pixel.clone()
    half[..., : SIDE // 2] = 0.0
    answer = prior.denoise(x, half)
    assert torch.equal(answer[..., : SIDE // 2], x[..., : SIDE // 2])
    if not prior.takes_maps:
        close(answer[..., SIDE // 2 :], constant[..., SIDE // 2 :], prior)


def gives_the_gradient_of_its_answer(prior: DiffusionPrior) -> None:
    if not prior.differentiable:
        return
    x, sigma = noisy(prior, count=1)
    step, weights = drawn(x, 1), drawn(x, 2)
    point = x.clone().requires_grad_()

    def value(picture: Tensor) -> Tensor:
        product = prior.denoise(picture, sigma) * weights.conj()
        return (product.real if product.is_complex() else product).sum()

    (slope,) = torch.autograd.grad(value(point), point)
    small = 2e-3 * width(prior)
    with torch.no_grad():
        rise = (value(x + small * step) - value(x - small * step)) / (2 * small)
    product = slope * step.conj()
    told = float((product.real if product.is_complex() else product).sum())
    scale = float(slope.abs().square().sum().sqrt())  # of a slope along a random direction
    assert told == pytest.approx(float(rise), rel=0.03, abs=0.03 * scale)


def tiles_like_the_whole(prior: DiffusionPrior) -> None:
    if isinstance(prior, GaussianPrior | GaussianMixture):
        return  # these know one size of picture
    x, sigma = noisy(prior, count=1, side=96)
    difference = tiled(prior, tile=64, overlap=32).denoise(x, sigma) - prior.denoise(x, sigma)
    assert float(difference.abs().mean()) <= prior.tile_tolerance * width(prior)


def refuses_what_it_cannot_take(prior: DiffusionPrior) -> None:
    x, _ = noisy(prior)
    for sigma in (-0.1, float("nan"), torch.ones(3)):
        with pytest.raises(BadInput, match="sigma"):
            prior.denoise(x, sigma)
    if prior.channels is not None:
        with pytest.raises(BadInput, match="channels"):
            prior.denoise(torch.zeros(1, max(prior.channels) + 1, *x.shape[2:]), 0.1)


# -- laws of residual priors ------------------------------------------------------------------------------------------


def states(prior: ResidualPrior, **size: int) -> tuple[Tensor, Tensor, float]:
    """x_t and y in the process's units at the middle of a run."""
    x0 = prior.space.back(pictures(prior, **size))
    y = x0 + 0.1 * drawn(x0, 1)
    times = prior.process.times()
    t = times[(len(times) - 1) // 2]
    return prior.process.diffuse(x0, y, drawn(x0), t), y, t


def predicts_the_parts_of_a_state(prior: ResidualPrior) -> None:
    x_t, y, t = states(prior)
    prediction = prior.predict(x_t, y, t)
    for part in (prediction.x0, prediction.residual, prediction.eps):
        assert part.shape == x_t.shape and part.dtype == x_t.dtype and bool(torch.isfinite(part).all())
    assert prior.native is prior and prior.space == Affine(prior.process.shift, prior.process.scale)


def predicts_each_state_for_itself(prior: ResidualPrior) -> None:
    x_t, y, t = states(prior)
    alone = torch.cat([prior.predict(x_t[k : k + 1], y[k : k + 1], t).x0 for k in range(2)])
    torch.testing.assert_close(prior.predict(x_t, y, t).x0, alone, rtol=0, atol=1e-3)


def predicts_in_tiles_like_the_whole(prior: ResidualPrior) -> None:
    x_t, y, t = states(prior, count=1, side=96)
    difference = tiled(prior, tile=64, overlap=32).predict(x_t, y, t).x0 - prior.predict(x_t, y, t).x0
    assert float(difference.abs().mean()) <= prior.tile_tolerance / prior.scale


# -- laws of priors of tokens -----------------------------------------------------------------------------------------


def gives_probabilities_of_tokens(prior: MaskedPrior) -> None:
    x = pictures(prior)
    tokens = prior.encode(x)
    assert int(tokens.min()) >= 0 and int(tokens.max()) < prior.vocabulary
    hidden = tokens.clone()
    hidden[..., ::2] = prior.mask
    shares = prior.probabilities(hidden)
    assert shares.shape == (len(x), prior.vocabulary, *tokens.shape[1:])
    torch.testing.assert_close(shares.sum(1), torch.ones_like(shares[:, 0]))
    assert prior.decode(tokens).shape == x.shape


# -- laws of priors that learn from noisy pictures --------------------------------------------------------------------


def answers_any_picture_for_itself(prior: SelfSupervisedPrior) -> None:
    x = torch.stack([drawn(torch.zeros(3, 19, 22), seed) for seed in (0, 1)])
    whole = prior.predict(x)
    assert whole.shape == x.shape and whole.dtype == x.dtype and bool(torch.isfinite(whole).all())
    torch.testing.assert_close(whole[1:], prior.predict(x[1:]), rtol=1e-4, atol=1e-4)
    double = prior.predict(x.double())
    assert double.dtype == torch.float64
    torch.testing.assert_close(double.float(), whole, rtol=1e-3, atol=1e-3)
    volume = x[:, :, None].expand(-1, -1, 2, -1, -1)
    torch.testing.assert_close(prior.predict(volume)[:, :, 1], whole, rtol=1e-4, atol=1e-4)
    with pytest.raises(BadInput, match="channels"):
        prior.predict(x[:, :2])


def learns_the_same_again_and_leaves_itself_alone(prior: SelfSupervisedPrior) -> None:
    again = learned(prior.name)
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in prior.state_dict().items())
    fresh = priors.load(prior.name, steps=3, batch=2, crop=16, width=4)
    with pytest.raises(BadInput, match="not been trained"):
        fresh.predict(torch.zeros(1, 3, 8, 8))
    problem = measured(torch.rand(1, 1, 12, 12, generator=torch.Generator().manual_seed(0)))
    watched: list[tuple[int, int]] = []
    fitted = fresh.fit(problem, NoiseSource(0, problem.image_ids), lambda *done: watched.append(done))
    assert watched[-1] == (len(watched), len(watched)) and not fresh.trained and fitted.trained
    assert fitted.fit(problem, NoiseSource(1, problem.image_ids), lambda *_: None) is fitted
    with torch.no_grad(), torch.autocast("cpu", enabled=False), torch.enable_grad():  # as the driver calls it
        inside = fresh.fit(problem, NoiseSource(0, problem.image_ids), lambda *_: None)
    for key, value in fitted.state_dict().items():
        torch.testing.assert_close(inside.state_dict()[key], value, rtol=1e-4, atol=1e-5)
    kept = fresh.fitted(fitted.state_dict())
    torch.testing.assert_close(kept.predict(problem.y), fitted.predict(problem.y), rtol=1e-6, atol=1e-6)


def goes_on_where_it_was_stopped(prior: SelfSupervisedPrior) -> None:
    class Held:
        state: Mapping[str, Tensor] | None = None

        def read(self) -> Mapping[str, Tensor] | None:
            return self.state

        def write(self, state: Mapping[str, Tensor]) -> None:
            self.state = {key: value.clone() for key, value in state.items()}

    def stop(done: int, _: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    held, steps = Held(), []
    problem = measured(torch.rand(1, 1, 12, 12, generator=torch.Generator().manual_seed(0)))
    fresh = priors.load(prior.name, steps=4, batch=2, crop=12, width=4)
    with pytest.raises(KeyboardInterrupt):
        fresh.learn(problem, NoiseSource(0, problem.image_ids), stop, held)
    resumed = fresh.learn(problem, NoiseSource(0, problem.image_ids), lambda done, _: steps.append(done), held)
    whole = fresh.fit(problem, NoiseSource(0, problem.image_ids), lambda *_: None)
    assert steps == [3, 4]
    for key, value in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[key], value, rtol=1e-4, atol=1e-5)


def comes_back_from_the_file_it_was_kept_in(prior: SelfSupervisedPrior) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mine.safetensors"
        keep(path, prior, trained_on="noise")
        again = priors.load(str(path))
    x = drawn(torch.zeros(1, 3, 17, 16))
    assert type(again) is type(prior) and torch.equal(again.predict(x), prior.predict(x))
    assert again.fit_key is None and again.settings == prior.settings


LAWS: dict[type[Prior], tuple[Callable[[Any], None], ...]] = {
    Prior: (says_what_it_is,),
    DiffusionPrior: (
        answers_in_its_own_units_and_in_pictures,
        keeps_shape_and_precision,
        denoises_each_picture_for_itself,
        leaves_a_clean_picture_alone,
        moves_a_picture_by_no_more_than_its_noise,
        takes_maps_of_sigma,
        gives_the_gradient_of_its_answer,
        tiles_like_the_whole,
        refuses_what_it_cannot_take,
    ),
    ResidualPrior: (
        predicts_the_parts_of_a_state,
        predicts_each_state_for_itself,
        predicts_in_tiles_like_the_whole,
    ),
    MaskedPrior: (gives_probabilities_of_tokens,),
    SelfSupervisedPrior: (
        answers_any_picture_for_itself,
        learns_the_same_again_and_leaves_itself_alone,
        goes_on_where_it_was_stopped,
        comes_back_from_the_file_it_was_kept_in,
    ),
}


@pytest.mark.parametrize("name", NAMES)
def test_every_prior_keeps_the_laws_of_its_kind(name: str) -> None:
    prior = prior_of(name)
    if name in LATENT:
        assert not isinstance(prior.space, Affine)
        prior = prior.native
    kinds = [kind for kind in LAWS if isinstance(prior, kind)]
    assert len(kinds) == 2, f"{type(prior).__name__} is of no kind that has laws here"
    for law in (law for kind in kinds for law in LAWS[kind]):
        try:
            law(prior)
        except Exception as error:
            error.add_note(f"law: {law.__name__}")
            raise
