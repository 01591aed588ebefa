"""Tomography against ASTRA's values, closed forms of ellipses and ellipsoids, and its own reconstructions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import operators
from operators import BadInput
from operators.ct.filters import redundancy, view_weights
from operators.ct.geometry import attenuation, hounsfield
from operators.ct.scan import line_integrals

SCANS = {"par_": {}, "par_ds0.75_": {"spacing": 0.75}, "par_offset2.5_": {"shift": 2.5}}


def distance(a, b) -> float:
    return float(np.linalg.norm(np.asarray(a) - b) / np.linalg.norm(b))


def batch(array) -> torch.Tensor:
    return torch.from_numpy(np.asarray(array, dtype=np.float64))[None, None]


def parallel(r, **settings):
    return operators.build("ct-parallel", (1, 48, 48), angles=r["angles_rad"], detectors=72, **settings)


def fan(r, projector):
    so, od, ds = map(float, r["fan_so_od_ds"])
    return operators.build(
        "ct-fan",
        (1, 48, 48),
        angles=r["fan_angles_rad"],
        source=so,
        detector=od,
        spacing=ds,
        detectors=72,
        projector=projector,
    )


def blob(size: int) -> torch.Tensor:
    """Discs with soft edges, which every projector resolves."""
    x, y = np.meshgrid(np.arange(size) - (size - 1) / 2, (size - 1) / 2 - np.arange(size))
    discs = [(0, 0, 0.35, 1.0), (0.1, 0.1, 0.1, -0.5), (-0.15, 0.1, 0.06, 0.4)]
    radius = [np.hypot(x - cx * size, y - cy * size) - r * size for cx, cy, r, _ in discs]
    return batch(sum(value / (1 + np.exp(r / 1.5)) for r, (*_, value) in zip(radius, discs, strict=True)))


@pytest.mark.parametrize("scan", SCANS)
def test_strips_are_exact_areas(reference, scan) -> None:
    r = reference("operators_ct")
    a = parallel(r, projector="strip", **SCANS[scan])
    # The reference is in single precision, and its back-projection of noise cancels to a tenth.
    assert distance(a(batch(r["x"]))[0, 0], r[f"{scan}strip_sino"]) < 4e-6
    assert distance(a.adjoint(batch(r[f"{scan}v"]))[0, 0], r[f"{scan}strip_bp"]) < 4e-5


def test_josephs_lines_are_astras(reference) -> None:
    r = reference("operators_ct")
    a = parallel(r, projector="joseph")
    assert distance(a(batch(r["x"]))[0, 0], r["par_linear_sino"]) < 4e-6
    assert distance(a.adjoint(batch(r["par_v"]))[0, 0], r["par_linear_bp"]) < 4e-5


@pytest.mark.parametrize("scan", SCANS)
def test_fourier_slices_are_near_strips(reference, scan) -> None:
    r = reference("operators_ct")
    y = parallel(r, **SCANS[scan])(batch(r["x"]))[0, 0].numpy()
    strip = r[f"{scan}strip_sino"]
    # The two views along the pixels' edges hold steps beyond the band limit of the detector: 7 % there.
    oblique = np.abs(np.sin(2 * r["angles_rad"])) > 1e-9
    assert distance(y[oblique], strip[oblique]) < 0.02
    assert distance(y, strip) < 0.025


@pytest.mark.parametrize("projector", ["fourier", "strip", "joseph"])
def test_parallel_integrals_of_ellipses_are_the_closed_form(reference, projector) -> None:
    r = reference("operators_ct")
    y = parallel(r, projector=projector)(batch(r["ellipse_image_16x_area"]))[0, 0]
    assert distance(y, r["ana_parallel"]) < 0.04


@pytest.mark.parametrize("projector", ["footprint", "joseph"])
def test_fan_matches_strips_and_ellipses(reference, projector) -> None:
    r = reference("operators_ct")
    a = fan(r, projector)
    assert distance(a(batch(r["x"]))[0, 0], r["fan_strip_fanflat_sino"]) < (0.003 if projector == "footprint" else 0.01)
    assert distance(a(batch(r["ellipse_image_16x_area"]))[0, 0], r["ana_fan"]) < 0.04


def test_fan_footprints_spread_back_like_strips(reference) -> None:
    r = reference("operators_ct")
    assert distance(fan(r, "footprint").adjoint(batch(r["fan_v"]))[0, 0], r["fan_strip_fanflat_bp"]) < 0.02


def test_cone_integrals_of_ellipsoids_are_the_closed_form(reference) -> None:
    r = reference("operators_ct")
    so, od, ds, nu, nv = map(float, r["cone_so_od_ds_nu_nv"])
    size, fine = 48, 2  # half voxels: the pixel's width, not the rays, is what differs from the closed form
    g = (np.arange(size * fine * 2) - (size * fine * 2 - 1) / 2) / (2 * fine)
    z, y, x = np.meshgrid(g, -g, g, indexing="ij", sparse=True)
    volume = np.zeros((g.size,) * 3)
    for cx, cy, cz, a, b, c, value in r["ellipsoids_cx_cy_cz_a_b_c_val"]:
        volume += value * (((x - cx) / a) ** 2 + ((y - cy) / b) ** 2 + ((z - cz) / c) ** 2 <= 1)
    n = size * fine
    volume = volume.reshape(n, 2, n, 2, n, 2).mean((1, 3, 5))
    scan = operators.build(
        "ct-cone",
        (1, n, n, n),
        angles=r["cone_angles_rad"],
        source=so,
        detector=od,
        spacing=ds,
        detectors=int(nu),
        rows=int(nv),
        pixel=1 / fine,
    )
    assert distance(scan(torch.from_numpy(volume)[None, None])[0, 0], r["ana_cone_a_v_u"]) < 0.04


def test_filtered_back_projection_along_lines_is_astras(reference) -> None:
    r = reference("operators_ct")
    x = parallel(r, projector="joseph").direct(batch(r["par_linear_sino"]))[0, 0]
    assert distance(x, r["par_linear_fbp_ramlak"]) < 2e-5  # single precision reference


def test_reading_between_cells_is_nearer_to_the_truth_than_astras_lines(reference) -> None:
    # Both reconstructions of 24 views of a sharp picture are mostly streaks, so that they differ by 5 %.
    r = reference("operators_ct")
    x = parallel(r, projector="strip").direct(batch(r["par_linear_sino"]))[0, 0]
    assert distance(x, r["par_linear_fbp_ramlak"]) < 0.055
    assert distance(x, r["x"]) < distance(r["par_linear_fbp_ramlak"], r["x"])


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("ct-parallel", {"views": 120}),
        ("ct-parallel", {"views": 120, "projector": "strip"}),
        ("ct-parallel", {"views": 120, "projector": "joseph", "pixel": 0.5, "spacing": 0.4}),
        (
            "ct-parallel",
            {"angles": np.sort(np.random.default_rng(0).uniform(0, np.pi, 300)), "shift": 3.3, "pixel": 0.5},
        ),
        ("ct-fan", {"views": 240}),
        ("ct-fan", {"scan": "short", "views": 160, "start": 1.0}),
        ("ct-fan", {"angles": -np.arange(160) / 160 * 4.0}),
    ],
)
def test_direct_reconstruction_finds_a_smooth_picture(name, settings) -> None:
    x = blob(64)
    a = operators.build(name, (1, 64, 64), **settings)
    assert distance(a.direct(a(x)), x.numpy()) < 0.02


def test_feldkamps_reconstruction_finds_a_smooth_volume() -> None:
    along = torch.hann_window(16, periodic=False, dtype=torch.float64)
    x = blob(64)[:, :, None, ::2, ::2] * along[:, None, None]
    a = operators.build("ct-cone", (1, 16, 32, 32), views=64)
    assert distance(a.direct(a(x)), x.numpy()) < 0.06  # the cone angle is 8 degrees


def test_preconditioner_saves_most_iterations() -> None:
    from operators.core.linear_solvers import conjugate_gradients

    a = operators.build("ct-parallel", (1, 48, 48), views=60)
    rho = torch.tensor(0.5, dtype=torch.float64)
    rhs = torch.randn(1, 1, 48, 48, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    plain = conjugate_gradients(lambda z: a.gram(z) + rho * z, rhs, rtol=1e-8)
    quick = conjugate_gradients(lambda z: a.gram(z) + rho * z, rhs, rtol=1e-8, preconditioner=a.preconditioner(rho))
    assert quick.iterations < 0.6 * plain.iterations


def test_every_line_is_counted_once_in_a_short_scan() -> None:
    gamma, step = np.linspace(-0.3, 0.3, 61), 0.002
    angles = np.arange(int((np.pi + 0.6) / step)) * step
    weights = redundancy(angles, gamma)
    # The ray (t, g) is the ray (t + pi - 2 g, -g).
    for t, g in ((0.1, 5), (0.3, 20), (0.02, 50)):
        partner = t + np.pi - 2 * gamma[g]
        pair = weights[round(t / step), g] + weights[min(round(partner / step), len(angles) - 1), 60 - g]
        assert pair == pytest.approx(1, abs=0.02)


def test_views_stand_for_the_angle_around_them() -> None:
    assert view_weights(np.array([0.0, 0.1, 0.3]), period=math.pi) == pytest.approx([0.15, 0.15, 0.2])
    assert view_weights(np.arange(6) * math.pi / 6, period=math.pi) == pytest.approx([math.pi / 6] * 6)


def test_hounsfield_units_come_back() -> None:
    hu = torch.tensor([-1000.0, 0.0, 500.0])
    assert torch.allclose(hounsfield(attenuation(hu)), hu, atol=1e-3)
    assert float(attenuation(hu)[0]) == 0.0


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("ct-parallel", {"angles": []}, "at least one"),
        ("ct-parallel", {"angles": [0.0, math.nan]}, "NaN"),
        ("ct-parallel", {"projector": "siddon"}, "fourier"),
        ("ct-parallel", {"filter": "rampe"}, "ram-lak"),
        ("ct-parallel", {"spacing": 0.0}, "above 0"),
        ("ct-parallel", {"views": 0}, "at least 1"),
        ("ct-fan", {"source": 5.0}, "outside"),
        ("ct-fan", {"detector": -100.0}, "in front"),
        ("ct-fan", {"scan": "half"}, "short"),
    ],
)
def test_settings_that_make_no_scan_are_refused(name, settings, words) -> None:
    with pytest.raises(BadInput, match=words):
        operators.build(name, (1, 16, 16), **settings)


def test_degrees_are_noticed() -> None:
    with pytest.warns(UserWarning, match="radians"):
        operators.build("ct-parallel", (1, 8, 8), angles=[0.0, 45.0, 90.0])


def test_log_of_counts_has_the_stated_density_and_variance() -> None:
    from scipy.stats import poisson

    from operators.noise import Transmission

    model = Transmission(photons=500.0)
    z = torch.full((1, 40_000), 1.2, dtype=torch.float64)
    y = model.sample(z, operators.NoiseSource(0, ["a"]))
    counts = 500 * torch.exp(-y)
    expected = poisson(500 * math.exp(-1.2)).logpmf(counts.round().numpy()) + math.log(500) - y.numpy()
    np.testing.assert_allclose(model.log_likelihood(y, z).numpy(), expected, rtol=1e-9)
    # To first order in 1 / counts, which are 150.
    assert float(y.var()) == pytest.approx(float(model.variance(z)[0, 0]), rel=0.04)


def test_axis_of_rotation_is_found_to_a_twentieth_of_a_cell() -> None:
    from operators.ct import centre

    angles = torch.arange(91, dtype=torch.float64) * math.pi / 90
    a = operators.build("ct-parallel", (1, 64, 64), angles=angles.numpy(), shift=-3.4, detectors=96)
    assert centre(a(blob(64))[0, 0], angles) == pytest.approx(3.4, abs=0.051)


def test_dead_cells_and_counts_below_the_dark_level_read_as_the_darkest_light_there_is() -> None:
    white, dark = torch.full((2, 5), 110.0), torch.full((3, 5), 10.0)
    white[:, 1] = 10.0  # dead: no light without an object either
    counts = torch.tensor([[60.0, 300.0, 35.0, 110.0, 4.0], [85.0, 10.0, 60.0, 110.0, 60.0]])
    integrals = line_integrals(counts, white, dark)
    share = torch.tensor([[0.5, 0.25, 0.25, 1.0, 0.25], [0.75, 0.25, 0.5, 1.0, 0.5]])
    torch.testing.assert_close(integrals, -share.log())
