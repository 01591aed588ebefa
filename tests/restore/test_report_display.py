"""The rule that makes any picture visible: what is drawn, and that the sentence beside it is true."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from operators import BadInput
from restore import report
from restore.report.visible import round_up


def test_colour_and_grey_are_clipped_to_eight_bits() -> None:
    picture = torch.tensor([-1.0, 0.0, 0.5, 1.0, 2.0, 0.25]).reshape(1, 2, 3)
    pixels, rule = report.display(picture)
    assert pixels.dtype == np.uint8 and pixels.shape == (2, 3, 3)
    assert pixels[..., 0].reshape(-1).tolist() == [0, 0, 128, 255, 255, 64]
    assert "clipped to [0, 1]" in rule and "33 % of the values lie outside" in rule


def test_the_hounsfield_window_is_named_and_right() -> None:
    pixels, rule = report.display(torch.tensor([-1000.0, -160.0, 40.0, 240.0, 3000.0]).reshape(1, 1, 5), kind="hu")
    assert pixels[0, :, 0].tolist() == [0, 0, 128, 255, 255]
    assert "centre 40, width 400" in rule


def test_complex_values_are_magnitude_beside_phase() -> None:
    angle = torch.linspace(-3.0, 3.0, 7)
    pixels, rule = report.display(torch.polar(torch.ones(7), angle).reshape(1, 1, 7))
    assert pixels.shape == (1, 14, 3) and "magnitude" in rule and "phase" in rule
    assert (pixels[0, :7] == 255).all()
    assert len({tuple(colour) for colour in pixels[0, 7:].tolist()}) == 7


def test_many_bands_name_the_three_that_are_drawn() -> None:
    bands = torch.arange(16.0).reshape(16, 1, 1).expand(16, 4, 4) / 15
    pixels, rule = report.display(bands)
    named = [
        int(band) for band in re.search(r"red is band (\d+), green is band (\d+), blue is band (\d+)", rule).groups()
    ]
    assert rule.startswith("16 bands") and pixels[0, 0].tolist() == [round(255 * (band - 1) / 15) for band in named]


def test_a_residual_of_zero_is_grey_and_signs_differ() -> None:
    pixels, rule = report.display(torch.tensor([-0.1, 0.0, 0.1]).reshape(1, 1, 3), kind="residual")
    below, zero, above = pixels[0].astype(int)
    assert abs(zero.max() - zero.min()) <= 2 and below[2] > below[0] and above[0] > above[2]
    assert "0.1 either way" in rule


def test_a_map_grows_brighter_with_its_value_and_prints_its_scale() -> None:
    values = torch.linspace(0, 0.17, 100).reshape(1, 10, 10)
    pixels, rule = report.display(values, kind="std")
    light = pixels.reshape(-1, 3).astype(float) @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(light) >= -0.75).all() and light[-1] > light[0] + 100  # rounding to 8 bits may lose a half level
    assert "colours from 0 to 0.2" in rule and "largest value 0.17" in rule


def test_bands_of_a_dark_scene_end_at_their_brightest() -> None:
    bands = torch.linspace(0, 0.2, 16 * 16).reshape(1, 16, 16).expand(8, 16, 16)
    pixels, rule = report.display(bands)
    assert pixels.max() == 255 and "black is 0, white is 0.19" in rule
    assert "white is 1" in report.display(5 * bands)[1]


@pytest.mark.parametrize("kind", ["picture", "range", "hu", "bands", "std", "error", "residual", "complex"])
@pytest.mark.parametrize("value", [0.0, 0.3, -5.0])
def test_a_constant_picture_of_any_kind_is_shown(kind, value) -> None:
    picture = torch.full((1, 5, 6), value, dtype=torch.complex64 if kind == "complex" else torch.float32)
    pixels, rule = report.display(picture, kind=kind)
    assert pixels.shape == (5, 12 if kind == "complex" else 6, 3) and rule and "nan" not in rule


def test_values_that_are_not_finite_are_counted() -> None:
    broken = torch.tensor([float("nan"), float("inf"), 0.5]).reshape(1, 1, 3)
    assert "2 values are not finite" in report.display(broken)[1]
    assert "2 values are not finite" in report.display(broken, kind="std")[1]


def test_a_volume_shows_its_middle_slice() -> None:
    volume = torch.zeros(1, 5, 4, 4)
    volume[:, 2] = 1
    pixels, rule = report.display(volume)
    assert (pixels == 255).all() and rule.startswith("slice 3 of 5")


def test_an_unknown_kind_or_shape_is_refused() -> None:
    with pytest.raises(BadInput, match="residual"):
        report.display(torch.zeros(1, 2, 2), kind="rainbow")
    with pytest.raises(BadInput, match="C x H x W"):
        report.display(torch.zeros(3))


@pytest.mark.parametrize(("value", "expected"), [(0.0, 1), (0.17, 0.2), (0.2, 0.2), (3.0, 5), (1e-7, 1e-7), (9.9, 10)])
def test_scales_end_at_round_numbers(value, expected) -> None:
    assert round_up(value) == pytest.approx(expected)
