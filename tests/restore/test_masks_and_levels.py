"""What is given beside a measured file is taken as it was meant, or refused: masks of many values, levels of 255."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

import restore
from operators import BadInput, build
from operators.noise import Gaussian
from restore.problem import Problem

HOLE = (slice(8, 20), slice(10, 26))


def masked() -> Tensor:
    """A smooth picture whose hole is filled with magenta."""
    rows, columns = torch.meshgrid(torch.linspace(0, 1, 32), torch.linspace(0, 1, 40), indexing="ij")
    picture = torch.stack([rows, columns, (rows + columns) / 2])
    picture[0][HOLE], picture[1][HOLE], picture[2][HOLE] = 1.0, 0.0, 1.0
    return picture


def mask() -> Tensor:
    whole = torch.ones(32, 40)
    whole[HOLE] = 0
    return whole


def as_jpeg_does(values: Tensor) -> Tensor:
    noise = torch.randint(-30, 31, values.shape, generator=torch.Generator().manual_seed(0))
    return (255 * values + noise).clamp(0, 255).round()


@pytest.mark.parametrize(
    "kind",
    [
        mask(), 255 * mask(), (255 * mask()).clamp_min(1), as_jpeg_does(mask()), 100 * mask() + 7, mask().bool(),
        mask().expand(3, 32, 40), 65535 * mask().double(),
    ],
)  # fmt: skip
def test_a_mask_is_on_one_side_or_the_other_of_half_its_range(kind: Tensor) -> None:
    problem = restore.tasks.load("inpaint-box").measured(masked(), mask=kind)
    observed = problem.operator.observed
    assert observed is not None and torch.equal(observed.expand(3, 32, 40), mask().bool().expand(3, 32, 40))
    assert any("192 of 1280 pixels are missing (15.0 %)" in note for note in problem.recipe["notes"])


def test_a_mask_of_one_value_measures_everything_or_nothing() -> None:
    task = restore.tasks.load("inpaint-box")
    full = task.measured(masked(), mask=torch.full((32, 40), 255.0)).operator.observed
    assert full is not None and bool(full.all())
    with pytest.raises(BadInput, match="0 everywhere"):
        task.measured(masked(), mask=torch.zeros(32, 40))


def test_a_sigma_in_grey_levels_is_refused_with_the_number_that_was_meant() -> None:
    picture = masked()
    with pytest.raises(BadInput, match=r"sigma is 25.*Did you mean 25/255 = 0\.09804"):
        restore.tasks.load("denoise").measured(picture, sigma=25.0)
    with pytest.raises(BadInput, match=r"standard deviation of the whole measurement"):
        restore.tasks.load("denoise").measured(picture, sigma=0.6)
    assert restore.tasks.load("denoise").measured(picture, sigma=0.098).noise == Gaussian(sigma=0.098)


@pytest.mark.parametrize("seed", range(20))
def test_a_flat_picture_under_noise_is_legal(seed: int) -> None:
    noise = torch.from_numpy(np.random.default_rng(seed).normal(0.5, 0.1, (1, 12, 12))).float()
    assert restore.tasks.load("denoise").measured(noise, sigma=0.1).sigma == 0.1


@pytest.mark.parametrize(("size", "width", "sigma", "dim"), [(9, 1.5, 0.01, 0.3), (13, 2.5, 0.005, 0.5)])
def test_a_wavelet_estimate_does_not_change_with_the_time_its_neighbour_takes(
    size: int, width: float, sigma: float, dim: float
) -> None:
    operator = build("blur", (3, 32, 40), kernel="gaussian", sigma=width, size=size)
    pictures = [torch.rand(3, 32, 40, generator=torch.Generator().manual_seed(1))[None], dim * masked()[None]]
    ys = [restore.measure(x, operator, sigma, seed=k).y for k, x in enumerate(pictures)]
    law = Gaussian(sigma=sigma)
    alone = [restore.solve(Problem(y, operator, law), solver="wavelet") for y in ys]
    both = restore.solve(Problem(torch.cat(ys), operator, law), solver="wavelet")
    assert len({len(one.trace) for one in alone}) == 2  # or this test would see nothing
    for entry, one in zip(both.estimate, alone, strict=True):
        assert float((entry - one.estimate[0]).abs().max()) < 1e-5
