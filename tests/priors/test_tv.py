"""Total variation: adjointness, values by hand, and optimality of the proximal map."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from operators import BadInput
from priors.regularisers.tv import TotalVariation, divergence, gradient, gradient_norm

KINDS = ("isotropic", "anisotropic", "vectorial")


def _random(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


@pytest.mark.parametrize("shape", [(2, 3, 7, 10), (1, 1, 1, 5), (2, 1, 4, 5, 3)])
def test_divergence_is_the_negative_adjoint_of_the_gradient(shape):
    x = _random(*shape)
    p = _random(*gradient(x).shape, seed=1)
    forward, backward = (gradient(x) * p).sum(), (x * divergence(p)).sum()
    assert abs(float(forward + backward)) <= 1e-12 * float(x.norm() * p.norm())


def test_gradient_norm_bounds_the_operator_tightly():
    x = _random(1, 1, 40, 40)
    for _ in range(300):
        x = -divergence(gradient(x))
        x = x / x.norm()
    largest = float(gradient(x).norm())
    assert 0.99 * gradient_norm(2) < largest <= gradient_norm(2)


def test_values_of_a_unit_corner_are_known():
    x = torch.zeros(1, 2, 4, 4)
    x[:, :, :2, :2] = 1.0  # four unit differences per channel, two of them meeting in one pixel
    assert float(TotalVariation("anisotropic").value(x)) == pytest.approx(8)
    assert float(TotalVariation("isotropic").value(x)) == pytest.approx(2 * (2 + 2**0.5))
    assert float(TotalVariation("vectorial").value(x)) == pytest.approx(2**0.5 * 2 + 2)


@pytest.mark.parametrize("kind", KINDS)
def test_prox_satisfies_its_optimality_conditions(kind):
    """x - z = weight s with s in the subdifferential: <s, z> = TV(z) and <s, w> <= TV(w) for every w."""
    variation, x, weight = TotalVariation(kind), _random(1, 2, 8, 9), 0.3
    z = variation.prox(x, weight, iterations=3000)
    s = (x - z) / weight
    assert float((s * z).sum()) == pytest.approx(float(variation.value(z)), rel=1e-4)
    for seed in range(5):
        w = _random(1, 2, 8, 9, seed=seed + 10)
        assert float((s * w).sum()) <= float(variation.value(w)) + 1e-9


def test_prox_of_a_step_lowers_it_by_the_known_amount():
    x = torch.zeros(1, 1, 1, 8, dtype=torch.float64)
    x[..., 4:] = 1.0
    z = TotalVariation("isotropic").prox(x, 0.4, iterations=2000)
    expected = torch.tensor([0.1] * 4 + [0.9] * 4, dtype=torch.float64)  # each side of 4 pixels moves by weight / 4
    torch.testing.assert_close(z.flatten(), expected, rtol=0, atol=1e-6)


def test_complex_pictures_have_the_variation_of_their_modulus_differences():
    x = _random(1, 1, 6, 6)
    turned = x * torch.exp(torch.tensor(0.7j))
    variation = TotalVariation("isotropic")
    torch.testing.assert_close(variation.value(turned), variation.value(x))


def test_unknown_kinds_and_negative_weights_are_refused():
    with pytest.raises(BadInput):
        TotalVariation("euclidean")
    with pytest.raises(BadInput):
        TotalVariation().prox(torch.zeros(1, 1, 4, 4), -1.0)
