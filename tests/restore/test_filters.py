"""Median, bilateral and guided filters: their definitions written out, and the pictures they are given."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
import skimage.data
import torch
from torch import Tensor

import operators
from operators import NoiseSource
from restore import solvers
from restore.problem import Problem
from restore.solvers.parts import filtering

FILTERS = ("median", "bilateral", "guided")


def problem(y: Tensor, *, sigma: float = 0.1, operator: str = "identity", **settings: object) -> Problem:
    built = operators.build(operator, tuple(y.shape[1:]), **settings)
    return Problem(y, built, operators.noise.build("gaussian", sigma=sigma))


def answer(name: str, posed: Problem, **settings: object) -> Tensor:
    solver = solvers.build(name, **settings)
    return list(solver.iterate(posed, None, NoiseSource(0, posed.image_ids)))[-1].estimate


def picture(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random(shape))


def windows(y: Tensor, radius: int) -> Tensor:
    """The neighbours of every pixel (C x H x W x n), borders continued."""
    padded = torch.nn.functional.pad(y[None], [radius] * 4, mode="replicate")[0]
    return padded.unfold(1, 2 * radius + 1, 1).unfold(2, 2 * radius + 1, 1).flatten(-2)


def test_the_median_is_scipys() -> None:
    y = picture(1, 3, 9, 14)
    for size in (3, 5, 7):
        expected = scipy.ndimage.median_filter(y.numpy(), size=(1, 1, size, size), mode="nearest")
        assert np.array_equal(answer("median", problem(y), size=size).numpy(), expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_bilateral_filter_is_its_sum(channels: int) -> None:
    y, sigma, reach, tolerance, radius = picture(1, channels, 9, 14), 0.2, 1.2, 2.0, 3
    near = windows(y[0], radius)
    there = torch.arange(-radius, radius + 1).double()
    plane = (there[:, None] ** 2 + there**2).flatten() / (2 * reach**2)
    value = (near - y[0][..., None]).square().sum(0) / (2 * channels * (tolerance * sigma) ** 2)
    weights = torch.exp(-plane - value)
    expected = (weights * near).sum(-1) / weights.sum(-1)
    found = answer("bilateral", problem(y, sigma=sigma), reach=reach, tolerance=tolerance)
    torch.testing.assert_close(found[0], expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_the_guided_filter_is_its_regression(channels: int) -> None:
    y, sigma, radius, strength = picture(1, channels, 9, 14), 0.2, 1, 3.0
    z = torch.nn.functional.pad(y, [2 * radius] * 4, mode="replicate")[0]
    joint = [list(range(channels))] if channels == 3 else [[c] for c in range(channels)]
    for guides in joint:
        cells = windows_inside(z[guides], radius)  # C x H' x W' x n
        mean = cells.mean(-1)
        away = cells - mean[..., None]
        covariance = torch.einsum("chwn,dhwn->hwcd", away, away) / cells.shape[-1]
        a = torch.linalg.solve(covariance + strength * sigma**2 * torch.eye(len(guides)), covariance)
        b = mean.permute(1, 2, 0) - torch.einsum("hwcd,chw->hwd", a, mean)
        mean_a = windows_inside(a.permute(2, 3, 0, 1).flatten(0, 1), radius).mean(-1).unflatten(0, (len(guides), -1))
        mean_b = windows_inside(b.permute(2, 0, 1), radius).mean(-1)
        expected = torch.einsum("cdhw,chw->dhw", mean_a, y[0][guides]) + mean_b
        found = answer("guided", problem(y, sigma=sigma), radius=radius, strength=strength)[0][guides]
        # kornia's window weights are single precision
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-7)


def windows_inside(x: Tensor, radius: int) -> Tensor:
    """All windows of x (C x H x W) that lie inside it."""
    return x.unfold(1, 2 * radius + 1, 1).unfold(2, 2 * radius + 1, 1).flatten(-2)


@pytest.mark.parametrize("name", FILTERS)
def test_bands_of_rows_are_the_whole_picture(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    y = picture(1, 3, 40, 23)
    whole = answer(name, problem(y))
    monkeypatch.setattr(filtering, "WINDOWED", 6000)
    torch.testing.assert_close(answer(name, problem(y)), whole, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", FILTERS)
def test_slices_of_a_volume_are_filtered_one_by_one_and_parts_of_complex_numbers_are_kept(name: str) -> None:
    y = picture(1, 3, 4, 8, 7)
    slices = torch.stack([answer(name, problem(y[:, :, d]), sigma=0.1, **fixed(name)) for d in range(4)], dim=2)
    volume = Problem(y, operators.build("identity", tuple(y.shape[1:])), operators.noise.Gaussian(sigma=0.1))
    torch.testing.assert_close(answer(name, volume, **fixed(name)), slices)
    turned = torch.complex(y[:, :1, 0], torch.zeros_like(y[:, :1, 0]))
    real = answer(name, problem(torch.cat([turned.real, turned.imag], 1)), **fixed(name))
    parts = answer(name, problem(turned, complex_values=True), **fixed(name))
    torch.testing.assert_close(torch.cat([parts.real, parts.imag], 1), real)


def fixed(name: str) -> dict[str, object]:
    return {"size": 3} if name == "median" else {}


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 1, 9), (2, 2, 3)])
def test_pictures_smaller_than_a_window_and_constant_ones_stay_finite(name: str, shape: tuple[int, ...]) -> None:
    for y in (picture(1, *shape), torch.full((1, *shape), 0.4, dtype=torch.float64)):
        for operator in ("identity", "blur"):
            assert bool(torch.isfinite(answer(name, problem(y, operator=operator))).all())


@pytest.mark.parametrize("name", FILTERS)
def test_nothing_is_done_to_a_picture_without_noise(name: str) -> None:
    y = picture(2, 3, 9, 8)
    assert torch.equal(answer(name, problem(y, sigma=0.0)), y)


@pytest.fixture(scope="module")
def photograph() -> Tensor:
    pixels = skimage.data.astronaut()[40:200, 120:300].copy()
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].double() / 255


def error(estimate: Tensor, truth: Tensor) -> float:
    return float((estimate - truth).square().mean().sqrt())


@pytest.mark.parametrize("sigma", [0.04, 0.1, 0.2])
def test_gaussian_noise_is_lowered_at_every_level(photograph: Tensor, sigma: float) -> None:
    y = photograph + sigma * NoiseSource(0, ["a"]).normal("noise", like=photograph)
    shares = {name: error(answer(name, problem(y, sigma=sigma)), photograph) / sigma for name in FILTERS}
    assert shares["bilateral"] < 0.7 and shares["guided"] < 0.7
    assert shares["median"] < 0.9 or sigma < 0.05  # at little noise the detail that a median takes costs more


def test_the_median_is_the_one_for_impulses(photograph: Tensor) -> None:
    law = operators.noise.build("salt-and-pepper", share=0.1, sigma=0.01)
    y = law.sample(photograph, NoiseSource(0, ["a"]))
    posed = Problem(y, operators.build("identity", tuple(y.shape[1:])), law)
    errors = {name: error(answer(name, posed), photograph) for name in FILTERS}
    assert errors["median"] < 0.3 * error(y, photograph) and errors["median"] < min(
        errors["bilateral"], errors["guided"]
    )


def test_the_noise_of_a_picture_is_estimated_where_it_is_not_known(photograph: Tensor) -> None:
    y = photograph + 0.1 * NoiseSource(0, ["a"]).normal("noise", like=photograph)
    posed = Problem(y, operators.build("identity", tuple(y.shape[1:])), operators.noise.build("poisson", peak=100.0))
    assert filtering.noise_level(posed, y) == [pytest.approx(0.1, rel=0.15)]
    assert filtering.noise_level(problem(y, sigma=0.3), y) == [0.3]
