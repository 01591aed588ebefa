"""Mosaics against recorded ones and against their letters; demosaicking on pictures it must leave as they are."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import operators
from operators import BadInput, Mosaic
from operators.camera.mosaic import PATTERNS

FORMS = ("masked", "packed")


def test_a_recorded_mosaic_is_matched(reference):
    arrays = reference("operators_hyper")
    x = torch.from_numpy(arrays["bayer_x"])[None]
    got = Mosaic((3, 6, 8), pattern="BGGR")(x)[0]
    np.testing.assert_array_equal(got.float().numpy(), arrays["deepinv_bayer_bggr"])


@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_pixel_keeps_the_colour_of_its_letter(pattern):
    shape = (3, 13, 14)
    x = torch.rand(1, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    masked, packed = (Mosaic(shape, pattern=pattern, form=form)(x)[0] for form in FORMS)
    rows = PATTERNS[pattern]
    for i in range(13):
        for j in range(14):
            colour = "RGB".index(rows[i % len(rows)][j % len(rows[0])])
            assert packed[0, i, j] == x[0, colour, i, j]
            assert [float(v) for v in masked[:, i, j]] == [float(x[0, c, i, j]) * (c == colour) for c in range(3)]


def test_bayer_names_read_the_top_left_corner_in_order():
    assert PATTERNS["GRBG"] == ("GR", "BG")
    assert PATTERNS["quad-GRBG"] == ("GGRR", "GGRR", "BBGG", "BBGG")


def test_x_trans_has_twenty_greens_and_every_colour_in_every_row_and_column():
    tile = np.array([list(r) for r in PATTERNS["x-trans"]])
    assert (tile == "G").sum() == 20
    assert all(set(line) == set("RGB") for line in (*tile, *tile.T))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("pattern", ["GRBG", "x-trans", "quad-RGGB", ("RGB",)])
def test_closed_forms_equal_dense_algebra(laws, pattern, form):
    a = Mosaic((3, 7, 8), pattern=pattern, form=form)
    matrix = laws.dense(a)
    x, y = laws.picture(a), laws.measurement(a)
    unknowns = matrix.shape[1]
    for rho in (0.01, 1.0):
        system = matrix.mT @ matrix + rho * torch.eye(unknowns, dtype=torch.float64)
        laws.same(a.solve(x, rho).flatten(1), torch.linalg.solve(system, x.flatten(1).mT).mT)
    laws.same(a.pinv(y).flatten(1), y.flatten(1) @ torch.linalg.pinv(matrix).mT)


def test_the_masked_form_says_what_it_observed_and_compacts_to_one_value_per_pixel():
    masked, packed = (Mosaic((3, 6, 9), form=form) for form in FORMS)
    assert packed.observed is None
    assert masked.observed is not None
    assert int(masked.observed.sum()) == 54
    assert masked.compact().output_shape == (54,)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("pattern", PATTERNS)
def test_demosaicking_keeps_constants_and_what_was_measured(pattern, form):
    a = Mosaic((3, 21, 26), pattern=pattern, form=form)
    flat = torch.tensor([0.2, 0.7, 0.4], dtype=torch.float64).reshape(1, 3, 1, 1).expand(2, 3, 21, 26)
    torch.testing.assert_close(a.direct(a(flat)), flat, rtol=0, atol=1e-12)
    x = torch.rand(2, 3, 21, 26, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(a(a.direct(a(x))), a(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("pattern", ["RGGB", "BGGR", "GRBG", "GBRG"])
def test_a_gray_slope_is_demosaicked_exactly_off_the_edges(pattern):
    a = Mosaic((3, 20, 24), pattern=pattern)
    slope = torch.linspace(0, 1, 20, dtype=torch.float64)[:, None] + torch.linspace(0, 2, 24, dtype=torch.float64)
    x = slope.expand(1, 3, 20, 24)
    torch.testing.assert_close(a.direct(a(x))[..., 2:-2, 2:-2], x[..., 2:-2, 2:-2], rtol=0, atol=1e-12)


def test_green_at_red_is_the_formula_of_malvar():
    raw = np.random.default_rng(0).random((9, 9))
    a = Mosaic((3, 9, 9), form="packed")
    got = a.direct(torch.from_numpy(raw)[None, None])[0]
    r, c = 4, 4  # red in RGGB
    mean = (raw[r - 1, c] + raw[r + 1, c] + raw[r, c - 1] + raw[r, c + 1]) / 4
    laplacian = raw[r, c] - (raw[r - 2, c] + raw[r + 2, c] + raw[r, c - 2] + raw[r, c + 2]) / 4
    assert float(got[1, r, c]) == pytest.approx(mean + laplacian / 2, abs=1e-14)
    # Red at a green pixel of a red row: 5/8 of the Laplacian.
    c = 5
    around = [(-1, -1), (-1, 1), (1, -1), (1, 1), (0, -2), (0, 2)]
    laplacian = raw[r, c] - sum(raw[r + i, c + j] for i, j in around) / 5 + (raw[r - 2, c] + raw[r + 2, c]) / 10
    assert float(got[0, r, c]) == pytest.approx((raw[r, c - 1] + raw[r, c + 1]) / 2 + 0.625 * laplacian, abs=1e-14)


@pytest.mark.parametrize(("pattern", "gain"), [("RGGB", 8.0), ("x-trans", 8.0), ("quad-RGGB", 4.0)])
def test_demosaicking_beats_nearest_neighbours_on_a_smooth_picture(pattern, gain):
    rows, columns = torch.meshgrid(torch.arange(48.0), torch.arange(48.0), indexing="ij")
    x = torch.stack([torch.sin(rows / 5 + c) * torch.cos(columns / 6) for c in range(3)])[None].double()
    a = Mosaic((3, 48, 48), pattern=pattern)
    nearest = a(x)
    tile = len(PATTERNS[pattern])
    shifted = nearest.clone()
    for step in [(i, j) for i in range(tile) for j in range(tile)]:
        shifted = torch.where(shifted == 0, nearest.roll(step, (2, 3)), shifted)
    errors = [float(((p - x)[..., 8:-8, 8:-8] ** 2).mean()) for p in (shifted, a.direct(nearest))]
    assert errors[1] < errors[0] / gain


def test_tiny_pictures_are_demosaicked_too():
    for size in [(1, 1), (1, 2), (2, 2), (2, 7)]:
        a = Mosaic((3, *size))
        assert torch.isfinite(a.direct(a(torch.rand(1, 3, *size)))).all()


@pytest.mark.parametrize(
    ("shape", "settings", "found"),
    [
        ((1, 8, 8), {}, "red, green and blue"),
        ((3, 8, 8), {"pattern": "RGBG"}, "RGBG"),
        ((3, 8, 8), {"pattern": ["RG", "G"]}, "equal length"),
        ((3, 8, 8), {"pattern": ["RG", "GG"]}, "has no B"),
        ((3, 8, 8), {"form": "raw"}, "form is 'raw'"),
    ],
)
def test_mosaics_that_cannot_be_are_refused(shape, settings, found):
    with pytest.raises(BadInput, match=found):
        operators.build("mosaic", shape, **settings)
