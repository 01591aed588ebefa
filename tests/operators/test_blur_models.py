"""Varying blur and blur with decimation against recorded values, dense algebra and `blur` itself."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal
import torch

import operators
from operators import BadInput, BadType, Blur, BlurDecimate, SpatiallyVaryingBlur
from operators.blurring.padding import BOUNDARIES

SHAPE = (2, 12, 18)


def test_a_recorded_product_convolution_is_matched(reference):
    arrays = reference("operators_blur")
    x = torch.from_numpy(arrays["x"])[None, None]
    a = SpatiallyVaryingBlur(
        (1, 29, 36), kernel=arrays["sv_k"], weights=arrays["sv_w"], boundary="zero", normalise=False
    )
    np.testing.assert_allclose(a(x)[0, 0].numpy(), arrays["sv_y_zero"], rtol=0, atol=1e-13)
    got = a.float()(x.float())[0, 0].numpy()
    np.testing.assert_allclose(got, arrays["sv_y_zero"], rtol=0, atol=2e-6)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_varying_blur_is_the_sum_of_blurs_of_products(laws, boundary):
    rng = np.random.default_rng(0)
    taps, weights = rng.random((3, 4, 5)), rng.random((3, 12, 18))
    a = SpatiallyVaryingBlur(SHAPE, kernel=taps, weights=weights, boundary=boundary)
    x = laws.picture(a)
    expected = sum(
        Blur(SHAPE, kernel=k, boundary=boundary)(torch.from_numpy(w) * x) for k, w in zip(taps, weights, strict=True)
    )
    laws.same(a(x), expected)
    for dtype in (torch.float64, torch.float32):
        laws.adjoint_passes_the_dot_test(a, dtype, positive=True)


def test_one_kernel_everywhere_is_an_ordinary_blur(laws):
    taps = np.random.default_rng(0).random((3, 5))
    a = SpatiallyVaryingBlur(SHAPE, kernel=np.stack([taps] * 6), grid=(2, 3), boundary="circular")
    x = laws.picture(a)
    laws.same(a(x), Blur(SHAPE, kernel=taps, boundary="circular")(x))


@pytest.mark.parametrize(
    "settings", [{}, {"kernel": np.ones((6, 3, 3)), "grid": (2, 3)}, {"kernel": np.ones((4, 2, 2))}]
)
def test_generated_weights_sum_to_one(settings):
    weights = SpatiallyVaryingBlur(SHAPE, **settings).weights
    torch.testing.assert_close(weights.sum(0), torch.ones_like(weights[0]), rtol=0, atol=1e-12)


def test_the_node_of_a_grid_has_its_own_kernel():
    taps = np.random.default_rng(0).random((4, 3, 3))
    a = SpatiallyVaryingBlur((1, 11, 13), kernel=taps, grid=(2, 2), boundary="zero", normalise=False)
    x = torch.zeros(1, 1, 11, 13, dtype=torch.float64)
    x[..., -1, 0] = 1
    expected = scipy.signal.convolve2d(x[0, 0].numpy(), taps[2], mode="same")
    np.testing.assert_allclose(a(x)[0, 0].numpy(), expected, atol=1e-14)


def test_a_lens_is_sharper_in_the_centre_than_in_the_corner():
    a = SpatiallyVaryingBlur((1, 41, 41), sigma=(0.6, 2.0), boundary="reflect")
    x = torch.zeros(1, 1, 41, 41)
    x[..., 20, 20], x[..., 3, 3] = 1, 1
    y = a(x)[0, 0]
    assert y[20, 20] > 3 * y[3, 3]


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize(("factor", "offset"), [(2, 0), (3, (1, 2)), (4, 3), (1, 0)])
def test_decimated_blur_is_every_sth_pixel_of_the_blur(laws, factor, offset, boundary):
    taps = np.random.default_rng(0).random((4, 5))
    a = BlurDecimate(SHAPE, factor=factor, offset=offset, kernel=taps, boundary=boundary)
    rows, columns = offset if isinstance(offset, tuple) else (offset, offset)
    x = laws.picture(a)
    expected = Blur(SHAPE, kernel=taps, boundary=boundary)(x)[..., rows::factor, columns::factor]
    assert tuple(a(x).shape[1:]) == a.output_shape
    laws.same(a(x), expected)
    for dtype in (torch.float64, torch.float32):
        laws.adjoint_passes_the_dot_test(a, dtype, positive=True)


def test_recorded_dense_inverses_are_matched(reference):
    arrays = reference("operators_dense_inverse")
    name = "blurdown3_circular_offset0"
    a = BlurDecimate((1, 12, 12), factor=3, kernel=arrays["k"], normalise=False)
    z = torch.from_numpy(arrays["z"])[None, None]
    y = torch.from_numpy(arrays[f"{name}_y"]).reshape(1, 1, 4, 4)
    np.testing.assert_allclose(a.norm(), arrays[f"{name}_singular_values"].max(), rtol=1e-12)
    for rtol in ("1e-6", "0.05"):
        got = a.pinv(y, rtol=float(rtol))[0, 0].numpy()
        np.testing.assert_allclose(got, arrays[f"{name}_pinv_y_rcond{rtol}"], rtol=0, atol=1e-10)
    for rho in (0.01, 1.0):
        got = a.solve(a.adjoint(y) + rho * z, rho)[0, 0].numpy()
        np.testing.assert_allclose(got, arrays[f"{name}_prox_rho{rho}"], rtol=0, atol=1e-10)


@pytest.mark.parametrize(("factor", "offset"), [(2, 1), (3, (1, 2)), (6, 5)])
def test_closed_forms_hold_for_every_offset(laws, factor, offset):
    a = BlurDecimate(SHAPE, factor=factor, offset=offset, kernel=np.random.default_rng(1).random((5, 4)))
    assert a.aliased
    laws.norm_is_the_largest_singular_value(a)
    y = laws.measurement(a)
    expected = y.flatten(1) @ torch.linalg.pinv(laws.dense(a), rtol=0.05).mT
    laws.same(a.pinv(y, rtol=0.05).flatten(1), expected)
    laws.solve_solves(a, torch.float64)


@pytest.mark.parametrize(
    ("name", "settings", "found"),
    [
        ("blur-decimate", {"factor": 0}, "factor is 0"),
        ("blur-decimate", {"factor": 2.5}, "factor is 2.5"),
        ("blur-decimate", {"factor": 2, "offset": 2}, "offset is 2"),
        ("blur-decimate", {"factor": 40, "offset": 30}, "offset is 30"),
        ("blur-varying", {"kernel": np.ones((3, 3))}, "K x h x w"),
        ("blur-varying", {"kernel": np.ones((2, 3, 3)), "grid": (2, 2)}, "2 x 2 for 2 kernels"),
        ("blur-varying", {"kernel": np.ones((2, 3, 3)), "weights": np.ones((3, 16, 16))}, "one for each kernel"),
        ("blur-varying", {"grid": (2, 2)}, "without kernels"),
        ("blur-varying", {"count": 1}, "count is 1"),
        ("blur-varying", {"sigma": 2.0}, "sigma is 2.0"),
        ("blur-varying", {"kernel": np.ones((1, 30, 3)), "boundary": "valid"}, "30 x 3 pixels"),
        ("blur-varying", {"boundary": "mirror"}, "boundary is 'mirror'"),
    ],
)
def test_settings_that_cannot_be_are_refused(name, settings, found):
    with pytest.raises((BadInput, BadType), match=found):
        operators.build(name, (1, 16, 16), **settings)


def test_kernels_that_are_no_numbers_are_refused():
    with pytest.raises(BadType, match="complex"):
        SpatiallyVaryingBlur((1, 16, 16), kernel=np.ones((2, 3, 3), complex))
