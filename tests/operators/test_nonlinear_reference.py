"""Phase retrieval, ptychography, scattering and JPEG against other libraries' arrays and dense algebra."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from operators import BadInput, build
from operators.camera.jpeg import quality_tables
from operators.optics.ptychography import shifted
from operators.optics.scattering import antennas, field

QUALITIES = (5, 10, 30, 75, 95)


@pytest.fixture
def arrays(reference):
    return reference("operators_nonlinear")


def _picture(shape: tuple[int, ...], *, seed: int = 0, complex_values: bool = False) -> torch.Tensor:
    values = np.random.default_rng(seed).standard_normal((2, *shape))
    real = torch.from_numpy(values[0])
    return torch.complex(real, torch.from_numpy(values[1])) if complex_values else real


# -- phase retrieval ------------------------------------------------------------------------------------------------


def test_amplitudes_are_the_reference(arrays):
    x = torch.from_numpy(arrays["pr_x"])[None, None]
    y = build("phase-retrieval", (1, 32, 32), oversample=2.0)(x)
    np.testing.assert_allclose(y[0, 0].numpy(), arrays["pr_amplitude_pad8"], atol=1e-12)


def test_amplitudes_in_single_precision_are_the_reference(arrays):
    x = torch.from_numpy(arrays["pr_x"])[None, None].float()
    y = build("phase-retrieval", (1, 32, 32))(x)
    wanted = arrays["pr_amplitude_pad8"]
    np.testing.assert_allclose(y[0, 0].numpy(), wanted, atol=2e-6 * wanted.max())


@pytest.mark.parametrize("shape", [(2, 6, 8), (1, 7, 5), (1, 6, 5), (1, 5, 8)])
@pytest.mark.parametrize("pad", [0, 1, (2, 1)])
def test_a_real_picture_has_the_amplitudes_of_the_centred_transform(shape, pad):
    x = _picture((2, *shape))
    rows, columns = (pad, pad) if isinstance(pad, int) else pad
    padded = torch.nn.functional.pad(x, (columns, columns, rows, rows))
    axes = (-2, -1)
    wanted = torch.fft.fftshift(torch.fft.fft2(torch.fft.ifftshift(padded, axes), norm="ortho"), axes).abs()
    torch.testing.assert_close(build("phase-retrieval", shape, pad=pad)(x), wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("measure", ["amplitude", "intensity"])
def test_energy_is_kept(measure):
    x = _picture((1, 3, 9, 10))
    y = build("phase-retrieval", (3, 9, 10), measure=measure)(x)
    energy = (y**2 if measure == "amplitude" else y).sum()
    assert float(energy) == pytest.approx(float((x**2).sum()), rel=1e-12)


@pytest.mark.parametrize(
    "settings", [{}, {"complex_values": True}, {"kind": "coded"}, {"kind": "coded", "complex_values": True, "pad": 2}]
)
@pytest.mark.parametrize("measure", ["amplitude", "intensity"])
def test_closed_form_derivatives_are_those_of_automatic_differentiation(settings, measure):
    a = build("phase-retrieval", (2, 6, 7), measure=measure, **settings)
    x = _picture((1, *a.input_shape), complex_values=a.complex_input).requires_grad_()
    u = _picture((1, *a.output_shape), seed=1)
    (automatic,) = torch.autograd.grad(a(x), x, u)
    torch.testing.assert_close(a.vjp(x.detach(), u), automatic, rtol=1e-11, atol=1e-12)


def test_the_gradient_where_the_spectrum_vanishes_is_zero():
    a = build("phase-retrieval", (1, 4, 4))
    zero, u = torch.zeros(1, 1, 4, 4, dtype=torch.float64), torch.ones(1, *a.output_shape, dtype=torch.float64)
    assert not a.vjp(zero, u).any()
    leaf = zero.clone().requires_grad_()
    assert not torch.autograd.grad(a(leaf), leaf, u)[0].any()


def test_turning_the_picture_leaves_the_measurement():
    x = _picture((1, 1, 8, 8))
    a = build("phase-retrieval", (1, 8, 8))
    torch.testing.assert_close(a(x.flip((-2, -1))), a(x), rtol=0, atol=1e-12)
    torch.testing.assert_close(a(-x), a(x), rtol=0, atol=1e-12)


def test_coded_patterns_tell_a_picture_from_its_turned_copy():
    x = _picture((1, 1, 8, 8))
    a = build("phase-retrieval", (1, 8, 8), kind="coded")
    assert float((a(x.flip((-2, -1))) - a(x)).abs().max()) > 0.1


def test_own_masks_take_the_place_of_drawn_ones():
    masks = torch.from_numpy(np.exp(1j * np.random.default_rng(0).random((2, 5, 6))))
    x = _picture((1, 1, 5, 6))
    wanted = torch.fft.fft2(masks * x[:, :, None], norm="ortho").abs() / 2**0.5
    got = build("phase-retrieval", (1, 5, 6), masks=masks)(x)
    torch.testing.assert_close(torch.fft.ifftshift(got, (-2, -1)), wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"kind": "fresnel"}, "kind"),
        ({"measure": "phase"}, "measure"),
        ({"oversample": -1.0}, "oversample"),
        ({"pad": -1}, "pad"),
        ({"kind": "coded", "patterns": 0}, "patterns"),
        ({"masks": torch.ones(2, 3, 3)}, "masks"),
        ({"kind": "coded", "masks": 2 * torch.ones(1, 6, 7)}, "modulus 1"),
    ],
)
def test_impossible_phase_retrieval_is_refused(settings, says):
    with pytest.raises(BadInput, match=says):
        build("phase-retrieval", (1, 6, 7), **settings)


# -- ptychography ---------------------------------------------------------------------------------------------------


def test_patterns_are_transforms_of_lit_patches():
    x = _picture((2, 1, 12, 11), complex_values=True)
    probe = _picture((5, 4), seed=2, complex_values=True)
    a = build("ptychography", (1, 12, 11), probe=probe, positions=[[0, 0], [3, 7], [7, 2]])
    wanted = [torch.fft.fft2(probe * x[..., r : r + 5, c : c + 4], norm="ortho") for r, c in ((0, 0), (3, 7), (7, 2))]
    torch.testing.assert_close(a(x), torch.stack(wanted, -3).abs() ** 2, rtol=0, atol=1e-12)


def test_a_probe_moved_by_a_whole_pixel_is_rolled():
    probe = np.random.default_rng(0).standard_normal((6, 5))
    np.testing.assert_allclose(shifted(probe, np.array([[1.0, 2.0]]))[0], np.roll(probe, (1, 2), (0, 1)), atol=1e-12)


def test_a_fraction_of_a_pixel_moves_a_smooth_probe_by_it():
    place = np.arange(32)
    probe = np.exp(-((place[:, None] - 15) ** 2 + (place - 16) ** 2) / 12)
    wanted = np.exp(-((place[:, None] - 15.25) ** 2 + (place - 15.4) ** 2) / 12)
    np.testing.assert_allclose(shifted(probe, np.array([[0.25, -0.6]]))[0], wanted, atol=1e-6)


def test_the_normal_matrix_of_a_scan_is_the_light_on_each_pixel():
    a = build("ptychography", (1, 10, 9), positions=[[0.0, 0.5], [4.25, 3.0]]).linear
    x = _picture((1, 1, 10, 9), complex_values=True)
    torch.testing.assert_close(a.adjoint(a(x)), a.light * x, rtol=0, atol=1e-12)
    solved = a.solve(x, 0.3)
    torch.testing.assert_close(a.gram(solved) + 0.3 * solved, x, rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", [(1, 64, 64), (1, 40, 57)])
def test_the_default_raster_lights_the_middle_and_overlaps(shape):
    a = build("ptychography", shape)
    corners = np.array(a.linear.corners)
    steps = np.diff(np.unique(corners[:, 0]))
    assert steps.max() <= round(0.3 * a.output_shape[-2]) + 1
    height, width = shape[1:]
    assert float(a.linear.light[height // 4 : -height // 4, width // 4 : -width // 4].min()) > 0


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"probe": np.ones((20, 3))}, "probe"),
        ({"probe": np.zeros((3, 3))}, "dark"),
        ({"size": 0}, "size"),
        ({"overlap": 1.0}, "overlap"),
        ({"positions": [[0.0, 9.5]]}, "inside the picture"),
        ({"positions": [[float("nan"), 0.0]]}, "inside the picture"),
        ({"positions": [1.0, 2.0]}, "positions"),
    ],
)
def test_impossible_scans_are_refused(settings, says):
    with pytest.raises(BadInput, match=says):
        build("ptychography", (1, 12, 12), **settings)


# -- scattering -----------------------------------------------------------------------------------------------------


def test_born_fields_are_the_reference(arrays):
    width, height, radius, wave = (float(v) for v in arrays["is_Lx_Ly_radius_wave"])
    a = build(
        "scattering",
        (1, 12, 16),
        transmitters=5,
        receivers=9,
        extent=width,
        height=height,
        radius=radius,
        wave=wave,
    )
    y = a(torch.from_numpy(arrays["is_f"])[None, None])[0].numpy()
    np.testing.assert_allclose(y, arrays["is_born"], atol=1e-12 * np.abs(arrays["is_born"]).max())
    cell = (width / 16) * (height / 12)
    green = (a.green / cell).reshape(12, 16, 9).numpy()
    np.testing.assert_allclose(green, arrays["is_sensor_green"], rtol=1e-10)
    np.testing.assert_allclose(
        a.incident.conj().resolve_conj().mT.reshape(12, 16, 5).numpy(), arrays["is_uinc"], rtol=1e-10
    )


def test_a_field_far_away_is_the_asymptotic_wave():
    """H0(t) = sqrt(2 / (pi t)) exp(i (t - pi / 4)) (1 + O(1 / t))."""
    k, distance = 50.0, 40.0
    value = field(k, np.zeros((1, 2)), np.array([[distance, 0.0]]))[0, 0]
    t = k * distance
    assert value == pytest.approx(0.25j * np.sqrt(2 / (np.pi * t)) * np.exp(1j * (t - np.pi / 4)), rel=1e-3)


def test_antennas_end_one_degree_before_the_start():
    places = antennas(4, 2.0)
    assert places[0] == pytest.approx([2.0, 0.0]) and places[-1] == pytest.approx(
        [2 * np.cos(np.deg2rad(359)), 2 * np.sin(np.deg2rad(359))]
    )


def test_a_large_picture_has_no_dense_decomposition_and_the_matched_filter_points_to_it():
    a = build("scattering", (1, 33, 34), transmitters=6, receivers=40)
    assert a.svd is None
    x = torch.zeros(1, 1, 33, 34, dtype=torch.float64)
    x[..., 12, 20] = 1
    found = int(a.direct(a(x)).abs().argmax())
    assert divmod(found, 34) == (12, 20)


@pytest.mark.parametrize(
    ("settings", "says"), [({"radius": 0.05}, "reaches"), ({"wave": 0.0}, "wave"), ({"receivers": 0}, "receivers")]
)
def test_impossible_antennas_are_refused(settings, says):
    with pytest.raises(BadInput, match=says):
        build("scattering", (1, 8, 8), **settings)


def test_a_colour_picture_cannot_scatter():
    with pytest.raises(BadInput, match="1, H, W"):
        build("scattering", (3, 8, 8))


# -- JPEG -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("quality", QUALITIES)
def test_tables_are_those_of_libjpeg(arrays, quality):
    got = np.stack(quality_tables(quality)).reshape(2, 64)
    np.testing.assert_array_equal(got, arrays[f"jpeg_qtables_q{quality}"])


@pytest.mark.parametrize("quality", QUALITIES)
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:0"])
def test_decoded_pictures_are_those_of_libjpeg(arrays, quality, subsampling):
    """Two grey levels are the decoder's own rounding. At fine tables libjpeg's 13-bit cosines move a few coefficients
    of the reference across a threshold: a twentieth of the pixels may differ by more there."""
    x = torch.from_numpy(arrays["jpeg_x"] / 255.0).permute(2, 0, 1)[None]
    a = build("jpeg", tuple(x.shape[1:]), quality=quality, subsampling=subsampling)
    levels = (255 * a(x)).round()[0].permute(1, 2, 0).numpy()
    gap = np.abs(levels - arrays[f"jpeg_q{quality}_{subsampling.replace(':', '')}"])
    if quality <= 30:
        assert gap.max() <= 2
    else:
        assert gap.max() <= 8 and (gap > 2).mean() < 0.05
    assert gap.mean() < 0.5
