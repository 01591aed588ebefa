"""The wavelet transform against PyWavelets, and its own laws."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import pywt
import torch

from operators import BadInput
from priors.regularisers.wavelet import Wavelets, soft_threshold

NAMES = ("haar", "db4", "sym5", "coif2")


def _random(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


@pytest.mark.parametrize("levels", [1, 3])
@pytest.mark.parametrize("name", NAMES)
def test_coefficients_equal_those_of_pywavelets(name, levels):
    x = _random(2, 3, 32, 48)
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", UserWarning
        )  # long filters on short rows: PyWavelets warns, and computes the same
        bands = pywt.wavedec2(x.numpy(), name, mode="periodization", level=levels, axes=(-2, -1))
    expected, _ = pywt.coeffs_to_array(bands, axes=(-2, -1))
    np.testing.assert_allclose(Wavelets(name, levels).forward(x), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_inverse_restores_the_picture(name):
    wavelets, x = Wavelets(name, 3), _random(1, 2, 16, 24)
    # PyWavelets stores some filters to 12 digits.
    torch.testing.assert_close(wavelets.inverse(wavelets.forward(x)), x, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_inverse_is_the_adjoint(name):
    wavelets, x, c = Wavelets(name, 2), _random(1, 1, 8, 12), _random(1, 1, 8, 12, seed=1)
    difference = (wavelets.forward(x) * c).sum() - (x * wavelets.inverse(c)).sum()
    assert abs(float(difference)) <= 1e-12 * float(x.norm() * c.norm())


def test_complex_pictures_are_transformed_linearly():
    wavelets, x, y = Wavelets("db2", 2), _random(1, 1, 8, 8), _random(1, 1, 8, 8, seed=1)
    expected = torch.complex(wavelets.forward(x), wavelets.forward(y))
    torch.testing.assert_close(wavelets.forward(torch.complex(x, y)), expected)
    torch.testing.assert_close(wavelets.inverse(expected), torch.complex(x, y), rtol=0, atol=1e-10)


def test_a_constant_picture_has_no_details():
    wavelets = Wavelets("db4", 2)
    c = wavelets.forward(torch.ones(1, 1, 16, 16, dtype=torch.float64))
    assert float(c[..., wavelets.details((16, 16))].abs().max()) < 1e-10


def test_soft_threshold_minimises_its_objective():
    values, threshold = torch.tensor([-2.0, -0.3, 0.0, 0.5, 3.0], dtype=torch.float64), 0.4
    grid = torch.linspace(-4, 4, 80001, dtype=torch.float64)
    best = grid[((grid - values[:, None]) ** 2 / 2 + threshold * grid.abs()).argmin(1)]
    torch.testing.assert_close(soft_threshold(values, threshold), best, rtol=0, atol=1e-4)


def test_soft_threshold_keeps_the_phase():
    z = torch.tensor([3 + 4j, 0j])
    torch.testing.assert_close(soft_threshold(z, 2.5), torch.tensor([1.5 + 2j, 0j]))


@pytest.mark.parametrize("name", ["db99", "bior2.2"])
def test_unknown_and_biorthogonal_wavelets_are_refused(name):
    with pytest.raises(BadInput):
        Wavelets(name)


def test_sides_that_do_not_divide_are_refused_with_the_unit():
    with pytest.raises(BadInput, match="divisible by 8"):
        Wavelets("haar", 3).forward(torch.zeros(1, 1, 12, 16))
