"""Cartesian MRI against fastMRI, sigpy and dense algebra."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest
import torch

import operators
from operators import BadInput, BadType
from operators.mri import (
    birdcage,
    centred_fft,
    centred_ifft,
    combine,
    espirit,
    normalise,
    prewhiten,
    root_sum_of_squares,
    sampling_mask,
    walsh,
)

FAMILIES = ("random", "equispaced", "equispaced_fraction", "magic", "magic_fraction")


@pytest.fixture
def vectors(reference):
    return {key: torch.from_numpy(np.asarray(value)) for key, value in reference("operators_mri").items()}


def brain_like(shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.complex128)


@pytest.mark.parametrize("size", ["even", "odd"])
def test_centred_transform_equals_the_published_one(vectors, size):
    x = vectors[f"x_{size}"]
    assert torch.allclose(centred_fft(x), vectors[f"fft2c_{size}"], rtol=0, atol=1e-13)
    assert torch.allclose(centred_ifft(x), vectors[f"ifft2c_{size}"], rtol=0, atol=1e-13)
    assert torch.allclose(centred_fft(x), vectors[f"sigpy_fft_{size}"], rtol=0, atol=1e-13)


@pytest.mark.parametrize("size", ["even", "odd"])
def test_full_scan_is_the_centred_transform_both_ways(vectors, size):
    x = vectors[f"x_{size}"][None, None]
    A = operators.build("mri", tuple(x.shape[1:]), kind="full")
    assert torch.allclose(A(x)[0, 0], vectors[f"fft2c_{size}"], rtol=0, atol=1e-13)
    assert torch.allclose(A.adjoint(x)[0, 0], vectors[f"ifft2c_{size}"], rtol=0, atol=1e-13)


@pytest.mark.parametrize("family", FAMILIES)
def test_lines_equal_the_published_masks_bit_for_bit(vectors, family):
    names = [name for name in vectors if name.startswith(f"mask_{family}_N")]
    assert len(names) >= 4
    for name in names:
        width, acceleration, seed = (int(re.sub(r"\D", "", part)) for part in name.split("_")[-3:])
        mask = sampling_mask((5, width), kind=family, acceleration=acceleration, seed=seed)
        assert torch.equal(mask[0], vectors[name].bool()), name


def test_sense_equals_the_reference(vectors):
    A = operators.build(
        "mri-multicoil", (1, 48, 48), maps=vectors["birdcage_maps"], mask=vectors["line_mask_axis_last"]
    )
    y = A(vectors["image"][None, None])
    assert (y[0] - vectors["sense_forward"]).abs().max() <= 2e-6 * vectors["sense_forward"].abs().max()
    x = A.adjoint(vectors["sense_v"][None])
    assert (x[0, 0] - vectors["sense_adjoint"]).abs().max() <= 2e-6 * vectors["sense_adjoint"].abs().max()


def test_birdcage_equals_the_reference(vectors):
    assert torch.allclose(birdcage((48, 48), coils=6).to(torch.complex64), vectors["birdcage_maps"], atol=1e-6)


def test_espirit_equals_the_reference_up_to_phase(vectors):
    wanted = vectors["espirit_maps_cal24_k6_thr0.02_crop0.95"].to(torch.complex128)
    maps = espirit(vectors["kspace_noisy"])
    support = root_sum_of_squares(wanted) > 0
    assert torch.equal(root_sum_of_squares(maps) > 0.5, support)
    assert (maps.conj() * wanted).sum(0).abs()[support].min() > 0.999


def test_walsh_finds_the_true_maps_where_there_is_signal(vectors):
    maps = walsh(vectors["kspace_noisy"], window=5)
    signal = vectors["image"].abs() > 0.1 * vectors["image"].abs().max()
    agreement = (maps.conj() * vectors["birdcage_maps"]).sum(0).abs()[signal]
    assert agreement.min() > 0.99 and agreement.median() > 0.999


def test_espirit_works_on_volumes():
    size = (10, 12, 11)
    maps = birdcage(size, coils=3)
    kspace = centred_fft(maps, dimensions=3)  # a uniform object
    estimated = espirit(kspace, calibration=8, kernel=3, crop=0.9)
    inside = root_sum_of_squares(estimated) > 0
    assert inside.double().mean() > 0.5
    # Three points of kernel follow maps only roughly.
    assert (estimated.conj() * maps).sum(0).abs()[inside].median() > 0.99


def test_calibrated_operator_recovers_an_undersampled_picture(vectors):
    full = vectors["kspace"].to(torch.complex128)
    mask = sampling_mask((48, 48), kind="equispaced", acceleration=2, center_fraction=0.5)
    A = operators.MultiCoilMri.calibrated(full * mask, crop=0.8)
    assert torch.equal(A.observed[0], mask.expand(48, 48) & (full != 0).any(0))
    x = A.solve(A.adjoint((full * mask)[None]), 1e-6)[0, 0]
    truth = vectors["image"].to(torch.complex128)
    inside = (root_sum_of_squares(A.maps) > 0) & (truth.abs() > 0.05 * truth.abs().max())
    error = (x.abs() - truth.abs())[inside].abs().mean() / truth.abs()[inside].mean()
    assert error < 0.02


def test_a_plane_of_one_frequency_lands_on_its_point():
    n, k = 9, 2
    place = torch.arange(n, dtype=torch.float64) - n // 2
    x = torch.exp(2j * torch.pi * k * place / n).expand(n, n)[None, None] / n
    y = operators.build("mri", (1, n, n), kind="full")(x)[0, 0]
    expected = torch.zeros_like(y)
    expected[n // 2, n // 2 + k] = 1
    assert torch.allclose(y, expected, atol=1e-13)


@pytest.mark.parametrize("kind", ["poisson", "radial"])
def test_patterns_measure_the_share_asked_for_and_the_middle(kind):
    mask = sampling_mask((64, 64), kind=kind, acceleration=6, calibration=16)
    assert mask.double().mean() == pytest.approx(1 / 6, rel=0.05)
    assert mask[24:40, 24:40].all()
    assert torch.equal(mask, sampling_mask((64, 64), kind=kind, acceleration=6, calibration=16))


def test_poisson_points_keep_apart_and_thin_out(reference):
    mask = sampling_mask((64, 64), kind="poisson", acceleration=6, calibration=16).numpy()
    published = reference("operators_mri")["poisson_mask_64x64_R6_cal16"].astype(bool)
    rows, columns = np.indices(mask.shape) - 32
    outer = np.hypot(rows, columns) > 20
    assert mask.mean() == pytest.approx(published.mean(), rel=0.1)
    # Two ways to draw: the profiles agree, the places do not.
    assert mask[outer].mean() == pytest.approx(published[outer].mean(), rel=0.35)
    # No two neighbours far out, where the distance is well above 1.
    assert not (mask[:, 1:] & mask[:, :-1] & outer[:, 1:] & outer[:, :-1]).any()


def test_frames_may_have_lines_of_their_own():
    A = operators.build("mri", (4, 8, 64), frames="different")
    lines = A.observed[:, 0]
    assert len({tuple(row.tolist()) for row in lines}) == 4
    series = operators.build("mri", (1, 4, 8, 64), dimensions=2, frames="different")
    assert torch.equal(series.observed[0, :, 0], lines)


def test_volumes_are_transformed_along_three_axes():
    x = brain_like((1, 1, 4, 5, 6))
    A = operators.build("mri", (1, 4, 5, 6), kind="full")
    shifted = torch.fft.ifftshift(x, dim=(-3, -2, -1))
    wanted = torch.fft.fftshift(torch.fft.fftn(shifted, dim=(-3, -2, -1), norm="ortho"), dim=(-3, -2, -1))
    assert torch.allclose(A(x), wanted, atol=1e-13)


def test_gram_with_lines_equals_forward_and_adjoint():
    A = operators.build("mri-multicoil", (2, 18, 20), coils=3)
    assert A.keep.shape == (1, 1, 20)
    x = brain_like((2, 2, 18, 20))
    assert torch.allclose(A.gram(x), A.adjoint(A(x)), atol=1e-13)


def test_direct_is_the_combined_zero_filled_picture():
    A = operators.build("mri-multicoil", (1, 16, 16), kind="full")
    x = brain_like((1, 1, 16, 16))
    assert torch.allclose(A.direct(A(x)), x, atol=1e-12)


def test_combination_with_maps_recovers_the_picture():
    maps, x = birdcage((12, 14), coils=5), brain_like((12, 14))
    assert torch.allclose(combine(maps * x, maps), x, atol=1e-13)
    assert torch.allclose(root_sum_of_squares(maps * x), x.abs(), atol=1e-13)
    assert torch.allclose(root_sum_of_squares(normalise(3 * maps)), torch.ones(12, 14, dtype=torch.float64))


def test_prewhitened_noise_is_uncorrelated():
    factor = brain_like((3, 3)) + 3 * torch.eye(3)
    noise = factor @ brain_like((3, 4000), seed=1)
    covariance = factor @ factor.mH
    white = prewhiten(noise, covariance)
    # brain_like has variance 1; 4000 samples leave 2 percent.
    assert torch.allclose(white @ white.mH / 4000, torch.eye(3, dtype=torch.complex128), atol=0.1)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"kind": "randm"}, "random"),
        ({"acceleration": 0.5}, "at least 1"),
        ({"center_fraction": 1.5}, "center_fraction is 1.5"),
        ({"kind": "magic", "acceleration": 3.5}, "whole number"),
        ({"frames": "other"}, "frames"),
        ({"seed": -1}, "seed"),
        ({"dimensions": 3}, "dimensions"),
        ({"mask": np.zeros((12, 16))}, "nothing"),
        ({"mask": np.ones((3, 16))}, "broadcasts"),
        ({"mask": np.full((12, 16), 0.5)}, "other than 0 and 1"),
        ({"kind": "poisson", "calibration": 99}, "calibration"),
    ],
)
def test_bad_settings_are_refused(settings, match):
    with pytest.raises((BadInput, BadType), match=match):
        operators.build("mri", (1, 12, 16), **settings)


@pytest.mark.parametrize(
    ("maps", "error", "match"),
    [
        (torch.ones(4, 12, 16), BadType, "complex"),
        (torch.ones(4, 12, 15, dtype=torch.complex64), BadInput, "coils x 12 x 16"),
        (torch.zeros(4, 12, 16, dtype=torch.complex64), BadInput, "0 everywhere"),
        (torch.full((4, 12, 16), torch.nan + 0j), BadInput, "NaN"),
    ],
)
def test_bad_maps_are_refused(maps, error, match):
    with pytest.raises(error, match=match):
        operators.build("mri-multicoil", (1, 12, 16), maps=maps)


def test_maps_that_are_not_normalised_are_warned_about():
    with pytest.warns(UserWarning, match="root sum of squares"):
        operators.build("mri-multicoil", (1, 12, 16), maps=5 * birdcage((12, 16)))


def test_bad_calibration_data_are_refused():
    with pytest.raises(BadType, match="complex"):
        espirit(torch.ones(2, 30, 30))
    with pytest.raises(BadInput, match="everywhere"):
        espirit(torch.zeros(2, 30, 30, dtype=torch.complex64))
    with pytest.raises(BadInput, match="kernel"):
        espirit(torch.ones(2, 5, 5, dtype=torch.complex64))


def test_the_quick_picture_of_unequal_maps_is_divided_by_their_power() -> None:
    """Every line measured: A^H A = sum |s|^2, so A^H y over that is the picture, whatever the maps' size."""
    generator = torch.Generator().manual_seed(3)
    maps = torch.randn(4, 10, 12, generator=generator, dtype=torch.complex128) * torch.linspace(0.3, 0.9, 12)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scan = operators.MultiCoilMri((1, 10, 12), maps=maps, mask=torch.ones(10, 12))
    x = torch.randn(1, 1, 10, 12, generator=generator, dtype=torch.complex128)
    torch.testing.assert_close(scan.direct(scan(x)), x)
