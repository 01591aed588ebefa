"""Resize against MATLAB, torch and OpenCV; the rest of its filters in test_downsample.py."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import operators
from operators import BadInput, BadType, Downsample, Resize

EXACT = {torch.float64: 1e-12, torch.float32: 2e-6}  # of values in [0, 1]
SCALES = {"0.5000": 0.5, "0.3333": 1 / 3, "0.6000": 0.6, "2.0000": 2.0, "3.0000": 3.0, "1.7000": 1.7}


def error(got, wanted) -> float:
    assert tuple(got.shape) == tuple(wanted.shape)
    return float((got.double() - torch.from_numpy(wanted)).abs().max())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("filter", ["bicubic", "bilinear"])
def test_any_scale_equals_matlab(reference, filter, scale, dtype):
    arrays = reference("operators_resize")
    x = torch.from_numpy(arrays["x"]).to(dtype)[None, None]
    a = Resize(x.shape[1:], scale=SCALES[scale], filter=filter)
    assert error(a(x)[0, 0], arrays[f"{filter}_s{scale}"]) <= EXACT[dtype]


@pytest.mark.parametrize("size", [(17, 50), (80, 20), (9, 13)])
def test_any_size_equals_matlab(reference, size):
    arrays = reference("operators_resize")
    x = torch.from_numpy(arrays["x"])[None, None]
    assert error(Resize((1, 37, 53), size=size)(x)[0, 0], arrays[f"bicubic_o{size[0]}x{size[1]}"]) <= 1e-12


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"filter": "bicubic", "boundary": "renormalise"}, "torch_bicubic_aa_o16x24"),
        ({"filter": "bicubic-aliased", "boundary": "replicate"}, "torch_bicubic_noaa_o16x24"),
        ({"filter": "bicubic-aliased", "boundary": "replicate"}, "cv2_cubic_o16x24"),
        ({"filter": "area"}, "cv2_area_o16x24"),
        ({"filter": "bicubic"}, "deepinv_matlab_f4"),
    ],
)
def test_settings_exist_that_give_what_other_libraries_give(reference, settings, name):
    arrays = reference("operators_resize")
    x = torch.from_numpy(arrays["x_div"])[None, None]
    got = Resize((1, 64, 96), size=(16, 24), **settings)(x)[0, 0]
    assert error(got, arrays[name].astype(np.float64)) <= 1e-6  # they compute in single precision


def test_a_scale_is_one_over_the_factor_of_downsample():
    x = torch.rand(1, 3, 20, 27, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    one, other = Resize((3, 20, 27), scale=0.25), Downsample((3, 20, 27), factor=4)
    torch.testing.assert_close(one(x), other(x), rtol=0, atol=0)
    torch.testing.assert_close(one.adjoint(one(x)), other.adjoint(other(x)), rtol=0, atol=0)


@pytest.mark.parametrize("settings", [{"scale": 2.3}, {"scale": 0.37, "filter": "lanczos3"}, {"size": (900, 77)}])
def test_long_axes_are_exact_in_both_directions(laws, settings):
    a = Resize((1, 300, 151), **settings)
    laws.adjoint_passes_the_dot_test(a, torch.float64, positive=True)
    laws.adjoint_passes_the_dot_test(a, torch.float32, positive=True)


def test_enlarging_then_pinv_gives_the_picture_back(laws):
    a = Resize((1, 14, 11), scale=1.6)
    x = laws.picture(a)
    laws.same(a.pinv(a(x), rtol=1e-9), x)


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"scale": 0}, "scale is 0"),
        ({"scale": (1.0, -2.0)}, "scale is"),
        ({"scale": "2"}, "scale is '2'"),
        ({"scale": True}, "scale is True"),
        ({"scale": (1, 2, 3)}, "scale is"),
        ({"size": (0, 4)}, "size is .*at least 1"),
        ({"size": (2.5, 4)}, "whole numbers"),
        ({"filter": "lanczos"}, "lanczos"),
        ({"boundary": "mirror"}, "boundary is 'mirror'"),
    ],
)
def test_bad_settings_are_refused(settings, found):
    with pytest.raises((BadInput, BadType), match=found):
        operators.build("resize", (1, 8, 8), **settings)


def test_a_factor_whose_taps_would_fill_the_memory_is_refused() -> None:
    with pytest.raises(BadInput, match="reduced"):
        operators.build("downsample", (3, 16, 16), factor=10**9)
