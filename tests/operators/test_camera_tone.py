"""JPEG as a projection, its data step; exposure, quantisation, tone and haze against their formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from operators import BadInput, BadType, build


def _picture(shape: tuple[int, ...], *, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random(shape))


EXACT = {"limit": "unclipped", "samples": "exact"}
PROJECTIONS = [
    ((1, 16, 24), {}),
    ((3, 16, 24), {"subsampling": "4:4:4"}),
    ((3, 16, 32), {"upsampling": "replicate"}),
]


@pytest.mark.parametrize(("shape", "settings"), PROJECTIONS)
@pytest.mark.parametrize("quality", [5, 50, 100])
def test_decoding_and_encoding_again_changes_nothing(shape, settings, quality):
    a = build("jpeg", shape, quality=quality, **settings, **EXACT)
    x = _picture((2, *shape))
    code = a.encode(x)
    for first, again in zip(code, a.encode(a.decode(code)), strict=True):
        assert torch.equal(first, again)
    torch.testing.assert_close(a(a(x)), a(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("settings", [{"subsampling": "4:4:4"}, {"upsampling": "replicate"}])
def test_the_data_step_reaches_the_cell_and_leaves_what_is_inside(settings):
    a = build("jpeg", (3, 16, 16), quality=20, **settings, **EXACT)
    x, y = _picture((1, 3, 16, 16)), a(_picture((1, 3, 16, 16), seed=1))
    step = a.project(x, y)
    for c, q in zip(a.coefficients(step), a.encode(y), strict=True):
        assert float((c - q).abs().max()) <= 0.5 + 1e-9
    torch.testing.assert_close(a.project(x, a(x)), x, rtol=0, atol=1e-12)
    torch.testing.assert_close(a.project(step, y), step, rtol=0, atol=1e-12)


def test_gradients_pass_straight_through_full_resolution_colours():
    a = build("jpeg", (3, 9, 10), subsampling="4:4:4")
    x, u = _picture((1, 3, 9, 10)).requires_grad_(), _picture((1, 3, 9, 10), seed=1)
    assert torch.equal(torch.autograd.grad(a(x), x, u)[0], u)
    assert torch.equal(a.vjp(x.detach(), u), u)


def test_a_higher_quality_is_nearer():
    ramp = (
        torch.linspace(0, 1, 48, dtype=torch.float64).expand(1, 3, 32, 48)
        * torch.tensor([1.0, 0.5, 0.2])[:, None, None]
    )
    gaps = [float((build("jpeg", (3, 32, 48), quality=q)(ramp) - ramp).square().mean()) for q in (5, 20, 60, 95)]
    assert gaps == sorted(gaps, reverse=True)


@pytest.mark.parametrize(
    ("settings", "says"),
    [({"quality": 0}, "quality"), ({"quality": 101}, "quality"), ({"quality": 10.5}, "quality"),
     ({"subsampling": "4:1:1"}, "subsampling"), ({"upsampling": "cubic"}, "upsampling"), ({"limit": "none"}, "limit")],
)  # fmt: skip
def test_impossible_files_are_refused(settings, says):
    with pytest.raises((BadInput, BadType), match=says):
        build("jpeg", (3, 16, 16), **settings)


def test_four_channels_are_no_jpeg():
    with pytest.raises(BadInput, match="3, H, W"):
        build("jpeg", (4, 16, 16))


def test_exposure_clips_and_its_quick_inverse_is_right_where_nothing_was_clipped():
    x = torch.tensor([[[[0.1, 0.5, 0.9]]]], dtype=torch.float64)
    a = build("hdr", (1, 1, 3), gain=1.5)
    torch.testing.assert_close(a(x), torch.tensor([[[[0.15, 0.75, 1.0]]]], dtype=torch.float64))
    torch.testing.assert_close(a.direct(a(x))[..., :2], x[..., :2])


def test_the_benchmark_form_of_exposure_is_a_pivot_at_one_half():
    x = _picture((1, 3, 5, 6))
    wanted = ((2 * (2 * x - 1)).clamp(-1, 1) + 1) / 2
    torch.testing.assert_close(build("hdr", (3, 5, 6), gain=2.0, pivot=0.5)(x), wanted, rtol=0, atol=1e-12)


def test_a_saturated_pixel_does_not_pull():
    a = build("hdr", (1, 1, 2), gain=2.0)
    x, u = torch.tensor([[[[0.3, 0.8]]]], dtype=torch.float64), torch.ones(1, 1, 1, 2, dtype=torch.float64)
    assert a.vjp(x, u).flatten().tolist() == [2.0, 0.0]


def test_few_levels_and_their_cells():
    a = build("quantise", (1, 4, 5), bits=2)
    x = _picture((1, 1, 4, 5))
    y = a(x)
    torch.testing.assert_close(y * 3, (y * 3).round())
    assert torch.equal(a.project(x, y), x)
    moved = a.project(torch.full_like(x, 0.4), y)
    assert float((moved - y).abs().where((y > 0.1) & (y < 0.9), 0.0).max()) <= 1 / 6 + 1e-12


def test_gamma_blur_of_gamma_one_is_blur_and_of_a_flat_picture_the_picture():
    x = 0.1 + 0.8 * _picture((1, 3, 9, 10))
    plain, bent = build("blur", (3, 9, 10), sigma=1.0), build("gamma-blur", (3, 9, 10), sigma=1.0, gamma=1.0)
    torch.testing.assert_close(bent(x), plain(x), rtol=0, atol=1e-12)
    flat = torch.full((1, 3, 9, 10), 0.3, dtype=torch.float64)
    torch.testing.assert_close(build("gamma-blur", (3, 9, 10))(flat), flat, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["low-light", "haze"])
def test_tone_is_undone_by_its_quick_inverse(name):
    x = 0.05 + 0.9 * _picture((1, 3, 5, 6))
    a = build(name, (3, 5, 6))
    torch.testing.assert_close(a.direct(a(x)), x, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "settings", "says"),
    [("hdr", {"gain": 0.0}, "gain"), ("quantise", {"bits": 0}, "bits"), ("gamma-blur", {"gamma": 0.5}, "gamma"),
     ("low-light", {"scale": -1.0}, "scale"), ("haze", {"transmission": 0.0}, "transmission"),
     ("haze", {"transmission": np.ones((4, 4))}, "broadcasts")],
)  # fmt: skip
def test_impossible_tones_are_refused(name, settings, says):
    with pytest.raises(BadInput, match=says):
        build(name, (3, 5, 6), **settings)
