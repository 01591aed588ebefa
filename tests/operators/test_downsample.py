"""Downsample and resize against MATLAB, Pillow, OpenCV and dense algebra."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from operators import BadInput, BadType, Downsample
from operators.resampling import matrices as resampling
from operators.resampling.matrices import Axis, dense_matrix, matrix_blocks, output_length, resize, resize_uint8

EXACT = {torch.float64: 1e-12, torch.float32: 2e-6}  # of values in [0, 1]
SCALES = {"0.5000": 0.5, "0.3333": 1 / 3, "0.2500": 0.25, "0.1250": 0.125, "0.6000": 0.6}
ENLARGED = {"2.0000": 2.0, "3.0000": 3.0, "1.7000": 1.7}


def tensor(array, dtype=torch.float64):
    return torch.from_numpy(array).to(dtype)


def error(got, wanted) -> float:
    assert tuple(got.shape) == tuple(wanted.shape)
    return float((got.double() - tensor(wanted)).abs().max())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("scale", [*SCALES, *ENLARGED])
@pytest.mark.parametrize("filter", ["bicubic", "bilinear"])
def test_any_scale_equals_matlab(reference, filter, scale, dtype):
    arrays = reference("operators_resize")
    x = tensor(arrays["x"], dtype)[None, None]
    a = Downsample(x.shape[1:], factor=1 / {**SCALES, **ENLARGED}[scale], filter=filter)
    assert error(a(x)[0, 0], arrays[f"{filter}_s{scale}"]) <= EXACT[dtype]


@pytest.mark.parametrize("size", [(17, 50), (80, 20), (9, 13)])
def test_any_size_equals_matlab(reference, size):
    arrays = reference("operators_resize")
    x, wanted = tensor(arrays["x"]), arrays[f"bicubic_o{size[0]}x{size[1]}"]
    assert error(resize(x, size=size), wanted) <= 1e-12
    assert error(Downsample((1, *x.shape), size=size)(x[None, None])[0, 0], wanted) <= 1e-12


@pytest.mark.parametrize("factor", [2, 3, 4, 8])
def test_whole_factors_equal_matlab_for_sizes_they_do_not_divide(reference, factor):
    arrays = reference("operators_resize")
    x = tensor(arrays["x_div"])[None, None]
    assert error(Downsample((1, 64, 96), factor=factor)(x)[0, 0], arrays[f"div_bicubic_f{factor}"]) <= 1e-12


def test_adjoint_equals_the_transposed_matrices(reference):
    arrays = reference("operators_resize")
    a = Downsample((1, 64, 96))
    assert error(a.adjoint(tensor(arrays["adj_y"])[None, None])[0, 0], arrays["adj_x"]) <= 1e-12
    assert error(dense_matrix(Axis(64, 16, 0.25)), arrays["adj_K_rows"]) <= 1e-12


@pytest.mark.parametrize("scale", [0.5, 0.25, 3.0])
def test_whole_numbers_are_rounded_after_each_axis_as_matlab_does(reference, scale):
    arrays = reference("operators_resize")
    x = torch.from_numpy(arrays["x_uint8"]).movedim(-1, 0)
    got = resize_uint8(x, scale=scale).movedim(0, -1)
    assert np.array_equal(got.numpy(), arrays[f"uint8_bicubic_s{scale:.4f}"])


@pytest.mark.parametrize("size", ["16x24", "27x41", "128x150"])
@pytest.mark.parametrize(
    ("filter", "pillow"),
    [
        ("bicubic", "bicubic"),
        ("bilinear", "bilinear"),
        ("lanczos3", "lanczos"),
        ("hamming", "hamming"),
        ("box", "box"),
    ],
)
def test_renormalised_boundary_equals_pillow(reference, filter, pillow, size):
    arrays = reference("operators_resize")
    got = resize(tensor(arrays["x_div"]), size=tuple(map(int, size.split("x"))), filter=filter, boundary="renormalise")
    assert error(got, arrays[f"pil_{pillow}_o{size}"]) <= 2e-6  # Pillow computes in single precision


@pytest.mark.parametrize("size", [(16, 24), (27, 41)])
def test_area_equals_overlap_weights_of_opencv(reference, size):
    arrays = reference("operators_resize")
    got = resize(tensor(arrays["x_div"]), size=size, filter="area")
    assert error(got, arrays[f"cv2_area_o{size[0]}x{size[1]}"]) <= 1e-6


def test_area_of_a_whole_factor_is_average_pooling():
    x = torch.rand(2, 3, 12, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(Downsample((3, 12, 20), factor=4, filter="area")(x), torch.nn.functional.avg_pool2d(x, 4))


def test_area_averages_what_is_left_at_the_border():
    x = torch.arange(5, dtype=torch.float64).reshape(1, 1, 1, 5)
    assert Downsample((1, 1, 5), factor=2, filter="area")(x).flatten().tolist() == [0.5, 2.5, 4.0]


@pytest.mark.parametrize(
    ("name", "settings"),
    [("bicubic4", {}), ("bicubic_o7x5", {"size": (7, 5)}), ("avgpool3", {"factor": 3, "filter": "area"})],
)
def test_closed_forms_equal_dense_algebra(reference, name, settings):
    arrays = reference("operators_dense_inverse")
    a = Downsample((1, 12, 12), **settings)
    y, z = tensor(arrays[f"{name}_y"]).reshape(1, *a.output_shape), tensor(arrays["z"])[None, None]
    for rtol in ("1e-6", "0.05"):
        assert error(a.pinv(y, rtol=float(rtol))[0, 0], arrays[f"{name}_pinv_y_rcond{rtol}"]) <= 1e-10
    for rho in (0.01, 1.0):
        assert error(a.solve(a.adjoint(y) + rho * z, rho)[0, 0], arrays[f"{name}_prox_rho{rho}"]) <= 1e-10
    assert error(a.svd.s.sort(descending=True).values, arrays[f"{name}_singular_values"]) <= 1e-10


@pytest.mark.parametrize("settings", [{"factor": 4}, {"factor": 3, "filter": "area"}, {"size": (700, 11)}])
def test_long_axes_in_blocks_equal_one_matrix(laws, settings, monkeypatch):
    a = Downsample((1, 601, 12), **settings)
    blocks = matrix_blocks(a._axes[0])
    pieces = dense_matrix(a._axes[0])
    monkeypatch.setattr(resampling, "DENSE_UP_TO", 10**6)
    matrix_blocks.cache_clear()
    whole = dense_matrix(a._axes[0])
    matrix_blocks.cache_clear()
    assert len(blocks) > 1
    assert torch.equal(pieces, whole)
    x, y = laws.picture(a), laws.measurement(a)
    columns = dense_matrix(a._axes[1])
    assert torch.allclose(a(x), whole @ x @ columns.T, atol=1e-13)
    assert torch.allclose(a.adjoint(y), whole.T @ y @ columns, atol=1e-13)


def test_constant_pictures_stay_constant():
    for filter in resampling.FILTERS:
        y = Downsample((1, 13, 22), factor=2.7, filter=filter)(torch.full((1, 1, 13, 22), 0.7, dtype=torch.float64))
        assert torch.allclose(y, torch.full_like(y, 0.7))


def test_pinv_restores_what_was_measured(laws):
    a = Downsample((1, 16, 24))
    y = laws.measurement(a)
    laws.same(a(a.pinv(y)), y)


def test_solve_without_damping_is_the_pseudo_inverse(laws):
    a = Downsample((1, 16, 24))
    y = laws.measurement(a)
    laws.same(a.solve(a.adjoint(y), 0.0), a.pinv(y))


def test_resize_is_differentiable_and_keeps_the_type():
    x = torch.rand(1, 1, 6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert torch.autograd.gradcheck(lambda t: resize(t, size=(9, 3)), x)
    assert resize(x.detach().float(), size=(2, 2)).dtype == torch.float32
    assert resize(torch.zeros(0, 3, 8, 8), size=(4, 2)).shape == (0, 3, 4, 2)


def test_output_lengths_of_thirds_are_not_rounded_up():
    assert [output_length(n, 1 / 3) for n in (3, 33, 37, 300, 3000)] == [1, 11, 13, 100, 1000]
    assert [output_length(n, 1 / 49) for n in (49, 50, 49 * 41)] == [1, 2, 41]


def test_a_factor_larger_than_the_picture_leaves_one_pixel(laws):
    a = Downsample((1, 3, 5), factor=8)
    assert a.output_shape == (1, 1, 1)
    laws.adjoint_passes_the_dot_test(a, torch.float64, positive=True)


@pytest.mark.parametrize("factor", [0, -2, float("inf"), float("nan"), True, "4"])
def test_bad_factors_are_refused(factor):
    with pytest.raises((BadInput, BadType), match="factor is"):
        Downsample((1, 8, 8), factor=factor)


def test_bad_settings_are_refused_with_a_suggestion():
    with pytest.raises(BadInput, match="bicubic"):
        Downsample((1, 8, 8), filter="bicubik")
    with pytest.raises(BadInput, match="symmetric"):
        Downsample((1, 8, 8), boundary="symetric")
    with pytest.raises(BadInput, match=r"size is \(0, 4\)"):
        Downsample((1, 8, 8), size=(0, 4))
    with pytest.raises(BadInput, match=r"H, W"):
        Downsample((8,))
    with pytest.raises(BadType, match="resize_uint8"):
        resize(torch.zeros(1, 1, 8, 8, dtype=torch.uint8), size=(4, 4))
    with pytest.raises(BadType, match="Use resize"):
        resize_uint8(torch.zeros(1, 8, 8), scale=0.5)
