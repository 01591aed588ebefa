"""Whatever is measured, and whatever level it is said to have, a solver with the network ends in sane numbers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import operators
import priors
import restore
from operators.noise import Gaussian
from restore import solvers
from restore.problem import Problem

SIDE = 16
WIDTHS = 3.0  # an estimate leaves the range of [0, 1] and y by at most so many times its width


def odd_pictures() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    rows, columns = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    noise = torch.rand(3, SIDE, SIDE, generator=generator)
    planes = {
        "black": torch.zeros(SIDE, SIDE),
        "white": torch.ones(SIDE, SIDE),
        "gray": torch.full((SIDE, SIDE), 0.5),
        "nearly black": torch.full((SIDE, SIDE), 1e-6),
        "checks": ((rows + columns) % 2).float(),
        "stripes": (columns % 2).float(),
        "wide stripes": (columns // 4 % 2).float(),
        "an edge": (columns > SIDE // 2).float(),
        "a ramp": columns / SIDE,
        "one pixel": ((rows == 5) & (columns == 7)).float(),
        "one hole": 1 - ((rows == 5) & (columns == 7)).float(),
        "a corner": ((rows < 3) & (columns < 3)).float(),
    }
    colours = {
        "noise": noise,
        "smooth": torch.nn.functional.interpolate(noise[None, :, :4, :4], size=SIDE, mode="bicubic")[0],
        "red": torch.stack([torch.ones(SIDE, SIDE), torch.zeros(SIDE, SIDE), torch.zeros(SIDE, SIDE)]),
        "twice too bright": 2 * noise,
        "negative": noise - 1,
        "normal": torch.randn(3, SIDE, SIDE, generator=generator),
        "in grey levels": 255 * noise,
        "far away": 50 * torch.randn(3, SIDE, SIDE, generator=generator),
    }
    return {name: plane.expand(3, SIDE, SIDE).float() for name, plane in planes.items()} | colours


@pytest.fixture(scope="module")
def natural() -> priors.Prior:
    return priors.load("natural")


@pytest.mark.parametrize("level", [0.0, 0.02, 0.2, 1.0])
@pytest.mark.parametrize("name", ["diffpir", "dpir", "dps", "red-diff"])
def test_estimates_are_finite_and_near_the_range_of_what_was_measured(
    name: str, level: float, natural: priors.Prior
) -> None:
    pictures = odd_pictures()
    assert len(pictures) == 20
    y = torch.stack(list(pictures.values()))
    blur = operators.build("blur", (3, SIDE, SIDE), kernel="gaussian", sigma=1.5, size=7, boundary="reflect")
    problem = Problem(blur(y), blur, Gaussian(sigma=level))
    estimate = restore.solve(problem, prior=natural, solver=solvers.build(name, steps=4)).estimate
    assert bool(torch.isfinite(estimate).all())
    for title, one, measured in zip(pictures, estimate, problem.y, strict=True):
        low, high = min(float(measured.min()), 0.0), max(float(measured.max()), 1.0)
        reach = WIDTHS * (high - low)
        assert low - reach <= float(one.min()) and float(one.max()) <= high + reach, title
