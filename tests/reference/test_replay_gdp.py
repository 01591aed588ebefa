"""GDP against its recorded update rule: gain and offset found with the picture; and a scene it has to find them for."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from operators.common.randomness import NoiseSource
from operators.common.space import Affine
from operators.core.unknown import UnknownTone
from operators.noise import Gaussian
from priors.analytic.gaussian import GaussianPrior
from restore.problem import Problem
from restore.solvers.diffusion.gdp import GDP, unknown_part

CLOSE = {"rtol": 0, "atol": 1e-10}


class FreeTone(UnknownTone):
    """The recorded rule lets the gain have any sign."""

    def legal(self, unknowns):
        return dict(unknowns)


def test_gdp_follows_the_recorded_updates(more):
    case = more("gdp")
    y = torch.as_tensor(case["y01"]).reshape(1, 1, 3, 4)
    posed = Problem(y, FreeTone((1, 3, 4)), Gaussian(sigma=0.1)).posed(Affine(0.5, 0.5))
    blind, space = unknown_part(posed)
    solver = GDP(inner=int(case["inner"]), scale=float(case["scale"]), rule="released")
    unknowns = {
        "gain": torch.as_tensor(case["factor_init"]).reshape(1, 1, 1, 1),
        "offset": torch.as_tensor(case["mask_init"]).reshape(1, 1, 3, 4),
    }
    for k in range(len(case["std"])):
        x0 = torch.as_tensor(case["x0hat"][k]).reshape(1, 1, 3, 4)
        slope, unknowns = solver.steered(posed, x0, blind, space, unknowns)
        np.testing.assert_allclose(-slope.flatten(), case["grad"][k], **CLOSE)
        np.testing.assert_allclose(unknowns["gain"].item(), case["factor"][k], **CLOSE)
        np.testing.assert_allclose(unknowns["offset"].flatten(), case["mask"][k], **CLOSE)
        mean, std, n = case["mean"][k], case["std"][k], case["noise"][k]
        for power, key in ((0, "x_released"), (2, "x_paper")):
            found = mean + solver.scale * std**power * slope.flatten().numpy() + std * n
            np.testing.assert_allclose(found, case[key][k], **CLOSE)


@pytest.mark.parametrize("gain", [0.3, 0.6])
def test_gdp_finds_an_unknown_gain(gain):
    """The prior knows the mean picture, 0.5 with a ramp; the gain follows from it to a tenth."""
    ramp = torch.linspace(-0.8, 0.8, 8, dtype=torch.float64).expand(1, 8, 8)
    prior = GaussianPrior(ramp, std=0.05)
    truth = prior.sample(1, NoiseSource(0, ("a",)))
    y = gain * (0.5 + 0.5 * truth)
    posed = Problem(
        y,
        UnknownTone(
            (1, 8, 8), nominal={"gain": torch.full((1, 1, 1, 1), 0.9 * gain), "offset": torch.zeros(1, 1, 8, 8)}
        ),
        Gaussian(sigma=0.02),
    ).posed(Affine(0.5, 0.5))
    last = list(GDP(steps=60).iterate(posed, prior, NoiseSource(0, posed.image_ids)))[-1]
    assert last.info["gain"] == pytest.approx(gain, rel=0.1)
    assert float((last.estimate - truth).abs().mean()) < 0.08
