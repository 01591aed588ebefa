"""Blur against independent convolutions for every boundary, and its closed forms against dense algebra."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import scipy.ndimage
import scipy.signal
import torch

import operators
from operators import BadInput, BadType
from operators.blurring import kernels
from operators.blurring.bases import Axes, Cosine, Fourier
from operators.blurring.blur import Blur
from operators.blurring.convolution import rank_one
from operators.blurring.padding import BOUNDARIES, fold, indices, pad, runs
from operators.core.linear_solvers import conjugate_gradients

SCIPY = {"circular": "wrap", "symmetric": "reflect", "reflect": "mirror", "replicate": "nearest", "zero": "constant"}
RECORDED = {
    "circular": "circular",
    "symmetric": "symmetric_half_sample",
    "reflect": "reflect_whole_sample",
    "replicate": "replicate",
    "zero": "zero",
}
DEEPINV = {"circular": "circular", "reflect": "reflect", "replicate": "replicate", "zero": "constant", "valid": "valid"}
RECORDED_KERNELS = ["odd5x7", "even4x6", "mixed7x4"]
SHAPE = (2, 11, 14)


def kernel_of(kind: str) -> np.ndarray:
    rng = np.random.default_rng(0)
    if kind.endswith("outer"):
        sides = {"outer": (5, 4), "long outer": (16, 3)}[kind]
        taps = np.outer(rng.random(sides[0]), rng.random(sides[1]))
    elif kind == "even":
        taps = kernels.disk(radius=2.2)
    elif kind == "signed":
        taps = rng.standard_normal((4, 3)) + 0.5
    else:
        taps = rng.random({"small": (5, 6), "large": (8, 11)}[kind])
    return taps


KINDS = ["small", "large", "outer", "long outer", "even", "signed"]
CASES = [
    (kind, boundary)
    for kind in KINDS
    for boundary in BOUNDARIES
    if not (boundary == "valid" and kind == "long outer")  # 16 rows do not fit into 11
]


def blur(kind: str, boundary: str) -> Blur:
    return Blur(SHAPE, kernel=kernel_of(kind), boundary=boundary)


@pytest.mark.parametrize(("kind", "boundary"), CASES)
def test_both_ways_to_compute_it_are_scipys_convolution(kind: str, boundary: str) -> None:
    taps = kernel_of(kind)
    x = np.random.default_rng(1).random((1, *SHAPE))
    a = Blur(SHAPE, kernel=taps, boundary=boundary, normalise=False)
    for path in (a, a.spectral, *([] if a.window is None else [a.window])):
        got = path(torch.from_numpy(x)).numpy()
        for channel in range(SHAPE[0]):
            if boundary == "valid":
                expected = scipy.signal.convolve2d(x[0, channel], taps, mode="valid")
            else:
                expected = scipy.ndimage.convolve(x[0, channel], taps, mode=SCIPY[boundary])
            np.testing.assert_allclose(got[0, channel], expected, atol=1e-13 * np.abs(taps).sum())


@pytest.mark.parametrize("name", RECORDED_KERNELS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 2e-6)])
def test_recorded_convolutions_are_matched(
    name: str, dtype: torch.dtype, tolerance: float, reference: Callable[[str], Mapping[str, np.ndarray]]
) -> None:
    arrays = reference("operators_blur")
    x = torch.from_numpy(arrays["x"])[None, None].to(dtype)
    wanted = {b: arrays[f"{name}_scipy_{label}"] for b, label in RECORDED.items()} | {"valid": arrays[f"{name}_valid"]}
    for boundary, expected in wanted.items():
        a = Blur(tuple(x.shape[1:]), kernel=arrays[f"k_{name}"], boundary=boundary, normalise=False)
        for path in (a.spectral, a.window):
            np.testing.assert_allclose(path(x)[0, 0].numpy(), expected, rtol=0, atol=tolerance * np.abs(expected).max())


@pytest.mark.parametrize("name", RECORDED_KERNELS)
def test_recorded_adjoints_are_matched(name: str, reference: Callable[[str], Mapping[str, np.ndarray]]) -> None:
    arrays = reference("operators_blur")
    for boundary, label in DEEPINV.items():
        a = Blur((1, 29, 36), kernel=arrays[f"k_{name}"], boundary=boundary, normalise=False)
        v, expected = (arrays[f"{name}_deepinv_{label}_{key}"] for key in ("v", "adj"))
        got = a.adjoint(torch.from_numpy(v)[None, None])[0, 0].numpy()
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize("positive", [False, True], ids=["gaussian", "positive"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["double", "single"])
@pytest.mark.parametrize(("kind", "boundary"), CASES)
def test_the_adjoint_is_exact_whichever_way_it_is_computed(laws, kind, boundary, dtype, positive) -> None:
    a = blur(kind, boundary)
    for path in (a.spectral, *([] if a.window is None else [a.window])):
        laws.adjoint_passes_the_dot_test(path, dtype, positive=positive)


@pytest.mark.parametrize(("kind", "boundary"), CASES)
def test_closed_forms_and_conjugate_gradients_keep_the_laws(laws, kind, boundary) -> None:
    a = blur(kind, boundary)
    laws.solve_solves(a, torch.float64)
    laws.backward_is_the_adjoint(a)
    laws.empty_batch_gives_empty_batch(a)
    laws.copies_equal_the_original(a)
    if a.basis is not None:
        laws.norm_is_the_largest_singular_value(a)
        laws.svd_rebuilds_the_operator(a)
        laws.autocast_and_inference_mode_do_not_matter(a)
        laws.same(a.basis(laws.picture(a)), a(laws.picture(a)))


@pytest.mark.parametrize(
    ("kind", "boundary"), [c for c in CASES if "outer" in c[0] or c[1] == "circular" or c == ("even", "symmetric")]
)
def test_pinv_leaves_out_small_singular_values_as_dense_algebra_does(laws, kind, boundary) -> None:
    a = blur(kind, boundary)
    assert a.basis is not None
    y = laws.measurement(a)
    expected = y.flatten(1) @ torch.linalg.pinv(laws.dense(a), rtol=0.05).mT
    laws.same(a.pinv(y, rtol=0.05).flatten(1), expected)


def test_the_basis_fits_kernel_and_boundary() -> None:
    assert isinstance(blur("large", "circular").basis, Fourier)
    assert isinstance(blur("even", "symmetric").basis, Cosine)
    assert isinstance(blur("outer", "zero").basis, Axes)
    assert blur("large", "symmetric").basis is None
    assert blur("even", "reflect").basis is None


@pytest.mark.parametrize("boundary", ["circular", "symmetric", "zero"])
def test_recorded_dense_inverses_are_matched(
    boundary: str, reference: Callable[[str], Mapping[str, np.ndarray]]
) -> None:
    arrays = reference("operators_dense_inverse")
    a = Blur((1, 12, 12), kernel=arrays["k"], boundary=boundary, normalise=False)
    z, y = (torch.from_numpy(arrays[key]).reshape(1, 1, 12, 12) for key in ("z", f"blur_{boundary}_y"))
    for rho in (0.01, 1.0):
        got = a.solve(a.adjoint(y) + rho * z, rho)[0, 0].numpy()
        # Conjugate gradients stop at a residual of 1e-12; the condition number at rho = 0.01 is 100.
        np.testing.assert_allclose(got, arrays[f"blur_{boundary}_prox_rho{rho}"], rtol=0, atol=1e-9)
    if boundary == "circular":
        np.testing.assert_allclose(a.norm(), arrays["blur_circular_singular_values"].max(), rtol=1e-12)
        for rtol in ("1e-6", "0.05"):
            got = a.pinv(y, rtol=float(rtol))[0, 0].numpy()
            np.testing.assert_allclose(got, arrays[f"blur_circular_pinv_y_rcond{rtol}"], rtol=0, atol=1e-10)


@pytest.mark.parametrize("boundary", ["symmetric", "reflect", "replicate", "circular", "zero"])
def test_a_kernel_wider_than_the_picture_wraps_or_reflects_again(boundary: str) -> None:
    x = np.random.default_rng(0).random((4, 5))
    taps = np.random.default_rng(1).random((13, 16))
    a = Blur((1, 4, 5), kernel=taps, boundary=boundary, normalise=False)
    extended = np.pad(
        x,
        [(6, 6), (7, 8)],
        mode={"circular": "wrap", "replicate": "edge", "zero": "constant"}.get(boundary, boundary),  # type: ignore[arg-type]
    )
    expected = scipy.signal.convolve2d(extended, taps, mode="valid")
    np.testing.assert_allclose(a(torch.from_numpy(x)[None, None])[0, 0].numpy(), expected, atol=1e-12 * taps.sum())


@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize("boundary", [b for b in BOUNDARIES if b != "valid"])
def test_padding_is_its_lookup_and_folding_its_transpose(boundary: str, size: int) -> None:
    source = indices(size, 7, 4, boundary)
    lookup = torch.from_numpy(np.eye(size + 1)[source][:, :size])  # OUTSIDE picks the row that is cut away
    x, y = torch.rand(3, size, dtype=torch.float64), torch.rand(3, len(source), dtype=torch.float64)
    axis = runs(size, 7, 4, boundary)
    torch.testing.assert_close(pad(x, axis, -1), x @ lookup.mT, rtol=0, atol=0)
    torch.testing.assert_close(fold(y, axis, -1, size), y @ lookup)


@pytest.mark.parametrize("boundary", ["symmetric", "zero", "valid"])
def test_the_preconditioner_saves_steps(boundary: str) -> None:
    a = Blur((1, 48, 48), kernel="trajectory", size=15, boundary=boundary)
    x = torch.rand(1, 1, 48, 48, generator=torch.Generator().manual_seed(0))
    rho = torch.tensor(0.01)
    helped, alone = (
        conjugate_gradients(lambda v: a.gram(v) + rho * v, x, preconditioner=helper, rtol=1e-5).iterations
        for helper in (a.preconditioner(rho), None)
    )
    assert helped < alone


def test_every_picture_has_its_own_rho() -> None:
    for boundary in ("circular", "replicate"):
        a = blur("large", boundary)
        rhs = torch.rand(2, *SHAPE, dtype=torch.float64)
        both = a.solve(rhs, torch.tensor([0.1, 2.0], dtype=torch.float64))
        alone = torch.cat([a.solve(rhs[:1], 0.1), a.solve(rhs[1:], 2.0)])
        torch.testing.assert_close(both, alone, rtol=0, atol=1e-9)


@pytest.mark.parametrize("boundary", ["circular", "symmetric", "reflect", "replicate", "valid"])
@pytest.mark.parametrize("kernel", list(kernels.KERNELS))
def test_a_constant_picture_stays_constant_but_for_zero_boundaries(kernel: str, boundary: str) -> None:
    y = Blur((1, 70, 66), kernel=kernel, boundary=boundary)(torch.full((1, 1, 70, 66), 0.3))
    torch.testing.assert_close(y, torch.full_like(y, 0.3), rtol=0, atol=1e-6)


def test_half_precision_is_computed_in_single() -> None:
    a = Blur((1, 16, 16))
    x = torch.rand(1, 1, 16, 16)
    y = a(x.bfloat16())
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), a(x.bfloat16().float()), rtol=0, atol=2**-8)


def test_outer_products_are_recognised_and_other_kernels_are_not() -> None:
    taps = kernels.gaussian(sigma=1.5)
    factors = rank_one(taps)
    assert factors is not None
    np.testing.assert_allclose(np.outer(*factors), taps, atol=1e-15)
    assert rank_one(kernels.gaussian(sigma=(3, 1), angle=30)) is None


def test_the_representation_names_kernel_and_boundary() -> None:
    assert "kernel='gaussian', size=5, sigma=2.0, boundary='zero'" in repr(
        Blur((1, 16, 16), size=5, sigma=2.0, boundary="zero")
    )
    same, other = (repr(Blur((1, 16, 16), kernel=[[1.0, w]])) for w in (2.0, 3.0))
    assert same == repr(Blur((1, 16, 16), kernel=np.array([[1.0, 2.0]])))
    assert same != other


def test_the_representation_does_not_change_with_use() -> None:
    a = Blur((1, 16, 16), boundary="zero")
    before = repr(a)
    a.norm()
    assert repr(a) == before


@pytest.mark.parametrize(
    ("parameters", "found"),
    [
        ({"kernel": torch.tensor([[float("nan"), 1.0]])}, "1 NaN"),
        ({"kernel": [[1.0, -1.0]]}, "sums to 0"),
        ({"kernel": [1.0, 2.0]}, "h x w"),
        ({"kernel": "gauss"}, "gaussian"),
        ({"boundary": "mirror"}, "boundary is 'mirror'"),
        ({"kernel": "box", "size": 40, "boundary": "valid"}, "40 x 40 pixels and the picture 16 x 16"),
        ({"kernel": [[1.0]], "sigma": 2.0}, "sigma given beside a measured kernel"),
    ],
)
def test_kernels_that_cannot_be_used_are_refused(parameters: dict[str, Any], found: str) -> None:
    with pytest.raises(BadInput, match=found):
        operators.build("blur", (1, 16, 16), **parameters)


def test_a_setting_that_the_kernel_does_not_take_is_refused() -> None:
    with pytest.raises(BadType, match="kernel 'disk' has no parameter 'sigma'"):
        Blur((1, 16, 16), kernel="disk", sigma=2.0)
