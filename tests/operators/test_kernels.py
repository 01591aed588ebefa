"""Kernels sum to one, sit on their centre and match recorded ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import pytest
import scipy.special

import operators
from operators import BadInput, BadType
from operators.blurring import kernels

ALL = {
    "gaussian": kernels.gaussian(sigma=2.0),
    "anisotropic": kernels.gaussian(sigma=(3.0, 1.0), angle=40.0),
    "even gaussian": kernels.gaussian(size=(8, 12), sigma=1.0),
    "motion": kernels.motion(length=12.0, angle=30.0),
    "trajectory": kernels.trajectory(size=31, seed=3),
    "oblong trajectory": kernels.trajectory(size=(21, 32), seed=4, length=90.0, intensity=1.0),
    "gaussian process": kernels.gaussian_process(size=31, seed=3),
    "oblong gaussian process": kernels.gaussian_process(size=(20, 33), amplitude=1.0, correlation=0.1),
    "disk": kernels.disk(radius=4.3),
    "airy": kernels.airy(radius=2.5),
    "aberrated airy": kernels.airy(radius=2.0, size=61, obstruction=0.3, zernike=(0.1, 0.05, -0.1, 0.06, 0.06)),
    "box": kernels.box(size=7),
    "even box": kernels.box(size=(4, 6)),
}


@pytest.mark.parametrize("name", ALL)
def test_a_kernel_sums_to_one_and_is_centred_to_half_a_pixel(name: str) -> None:
    taps = ALL[name]
    assert taps.sum() == pytest.approx(1.0, abs=1e-12)
    assert taps.min() >= 0
    grid = np.indices(taps.shape) - np.array(taps.shape)[:, None, None] // 2
    assert np.all(np.abs((grid * taps).sum((1, 2))) <= 0.5 + 1e-12)


def test_gaussians_are_those_of_matlab(reference: Callable[[str], Mapping[str, np.ndarray]]) -> None:
    arrays = reference("operators_blur")
    names = [k for k in arrays if k.startswith("fspecial_gauss_")]
    assert names
    for name in names:
        _, _, size, sigma = name.split("_")
        # MATLAB zeroes entries under eps times the largest.
        np.testing.assert_allclose(kernels.gaussian(size=int(size), sigma=float(sigma)), arrays[name], atol=1e-15)


def test_a_gaussian_cut_at_four_sigma_is_that_of_dps(reference: Callable[[str], Mapping[str, np.ndarray]]) -> None:
    recorded = reference("operators_blur")["dps_gauss_61_3.0"]
    np.testing.assert_allclose(np.pad(kernels.gaussian(sigma=3.0), 18), recorded, atol=1e-12)


def test_an_oblique_gaussian_is_deepinvs(reference: Callable[[str], Mapping[str, np.ndarray]]) -> None:
    # sigma 2 along the rows' axis (up), 1 across, turned by 30 degrees counter-clockwise.
    recorded = reference("operators_blur")["deepinv_gauss_s2_1_a30"][0]
    np.testing.assert_allclose(kernels.gaussian(size=15, sigma=(2.0, 1.0), angle=90 + 30), recorded, atol=1e-7)


def test_angles_turn_counter_clockwise_with_rows_downward() -> None:
    for taps in (kernels.gaussian(sigma=(3.0, 0.7), angle=45.0), kernels.motion(length=9.0, angle=45.0)):
        centre = taps.shape[0] // 2
        assert taps[centre - 3, centre + 3] > 10 * taps[centre + 3, centre + 3]


@pytest.mark.parametrize("angle", [0.0, 90.0, 180.0])
def test_a_line_of_whole_pixels_along_an_axis_is_a_moving_mean(angle: float) -> None:
    taps = kernels.motion(length=5.0, angle=angle)
    taps = taps if angle % 180 == 0 else taps.T
    np.testing.assert_allclose(taps[2], np.full(5, 0.2), atol=1e-12)


def test_a_line_has_the_spread_of_its_length() -> None:
    taps = kernels.motion(length=20.0, angle=25.0)
    rows, columns = np.indices(taps.shape) - taps.shape[0] // 2
    along = columns * math.cos(math.radians(25)) - rows * math.sin(math.radians(25))
    # A segment's variance is L^2 / 12; rounding to pixel centres adds less than a quarter pixel squared.
    assert (along**2 * taps).sum() == pytest.approx(20.0**2 / 12, abs=0.25)


@pytest.mark.parametrize("radius", [0.4, 1.5, 3.0, 4.3])
def test_a_disk_is_weighted_by_area(radius: float) -> None:
    taps = kernels.disk(radius=radius)
    fine, side = 400, taps.shape[0]
    axis = (np.arange(side * fine) + 0.5) / fine - side / 2
    inside = (axis[:, None] ** 2 + axis[None, :] ** 2 <= radius**2).reshape(side, fine, side, fine).mean((1, 3))
    # Counting 400 x 400 points in each pixel is right to about the boundary's length over 400.
    np.testing.assert_allclose(taps * math.pi * radius**2, inside, atol=2e-3)


def test_a_trajectory_depends_on_its_seed_alone() -> None:
    state = np.random.get_state()[1].copy()  # noqa: NPY002 - the global state must not move
    assert np.array_equal(kernels.trajectory(seed=5), kernels.trajectory(seed=5))
    assert not np.array_equal(kernels.trajectory(seed=5), kernels.trajectory(seed=6))
    assert np.array_equal(state, np.random.get_state()[1])  # noqa: NPY002


def test_a_calm_hand_draws_a_straighter_line_than_a_nervous_one() -> None:
    def spread(intensity: float) -> float:
        taps = [kernels.trajectory(size=61, length=30.0, intensity=intensity, seed=s) for s in range(8)]
        grid = np.indices((61, 61)) - 30
        return float(np.mean([((grid**2).sum(0) * t).sum() for t in taps]))

    assert spread(0.0) == pytest.approx(30.0**2 / 12, rel=0.02)  # a straight line's own variance
    assert spread(1.0) < 0.7 * spread(0.0)


def test_a_gaussian_process_has_its_spread_and_its_smoothness() -> None:
    def second_moment(correlation: float) -> float:
        taps = [kernels.gaussian_process(size=61, amplitude=0.2, correlation=correlation, seed=s) for s in range(60)]
        grid = np.indices((61, 61)) - 30
        return float(np.mean([((grid**2).sum(0) * t).sum() for t in taps]))

    # Of many short pieces the path's own mean takes little away: the variance is 2 (amplitude * half a side)^2.
    assert second_moment(0.02) == pytest.approx(2 * (0.2 * 30.5) ** 2, rel=0.1)
    assert second_moment(1.0) < 0.5 * second_moment(0.02)


def test_a_clear_pupil_gives_the_airy_pattern() -> None:
    taps = kernels.airy(radius=4.0, size=33)
    rows, columns = np.indices(taps.shape) - 16
    v = np.maximum(kernels.shapes.FIRST_ZERO / 4.0 * np.hypot(rows, columns), 1e-12)
    expected = (2 * scipy.special.j1(v) / v) ** 2
    # The pupil's edge is sampled at 192 points across, weighted by area.
    np.testing.assert_allclose(taps / taps[16, 16], expected / expected[16, 16], atol=2e-4)


def test_a_central_stop_narrows_the_core_and_feeds_the_rings() -> None:
    clear, stopped = (kernels.airy(radius=4.0, size=33, obstruction=o) for o in (0.0, 0.5))
    inner, outer = 0.5, 1 - 0.5**2
    v = kernels.shapes.FIRST_ZERO / 4.0 * np.arange(1, 17)
    field = (2 * scipy.special.j1(v) / v - inner**2 * 2 * scipy.special.j1(inner * v) / (inner * v)) / outer
    np.testing.assert_allclose(stopped[16, 17:] / stopped[16, 16], field**2, atol=3e-4)
    assert stopped[16, 18] / stopped[16, 16] < clear[16, 18] / clear[16, 16]


@pytest.mark.parametrize("term", range(8))
def test_aberrations_lower_the_peak_by_the_strehl_ratio(term: int) -> None:
    waves = [0.0] * 8
    waves[term] = 0.05
    perfect, aberrated = (kernels.airy(radius=3.0, size=121, zernike=w) for w in ((), waves))
    # Marechal: exp(-(2 pi W)^2). Coma is moved back to its centroid, off its own peak.
    expected = math.exp(-((2 * math.pi * 0.05) ** 2))
    assert aberrated.max() / perfect.max() == pytest.approx(expected, abs=0.06 if term in (3, 4) else 0.01)


def test_trefoil_and_coma_point_where_they_should() -> None:
    right = kernels.airy(radius=3.0, size=41, zernike=(0, 0, 0, 0, 0.15))
    np.testing.assert_allclose(right, right[::-1], atol=1e-9)  # horizontal coma: up and down alike
    assert np.abs(right - right[:, ::-1]).max() > 0.1 * right.max()
    defocused = kernels.airy(radius=3.0, size=41, zernike=(0.2,))
    np.testing.assert_allclose(defocused, defocused.T, atol=1e-9)


@pytest.mark.parametrize("ending", [".npy", ".npz", ".txt", ".csv"])
def test_a_measured_kernel_is_read_from_a_file(tmp_path, ending: str) -> None:
    taps = np.random.default_rng(0).random((3, 5))
    path = tmp_path / f"psf{ending}"
    {
        ".npy": lambda: np.save(path, taps),
        ".npz": lambda: np.savez(path, psf=taps),
        ".txt": lambda: np.savetxt(path, taps, fmt="%.18e"),
        ".csv": lambda: np.savetxt(path, taps, fmt="%.18e", delimiter=","),
    }[ending]()
    np.testing.assert_allclose(kernels.from_file(path), taps / taps.sum(), rtol=1e-15)
    blur = operators.build("blur", (1, 8, 9), kernel=str(path))
    np.testing.assert_allclose(blur.kernel.numpy(), taps / taps.sum(), rtol=1e-15)


def test_kernel_files_that_cannot_be_used_are_refused(tmp_path) -> None:
    np.savez(tmp_path / "two.npz", a=np.ones((2, 2)), b=np.ones((2, 2)))
    (tmp_path / "broken.npy").write_bytes(b"not numpy")
    for name, found in (
        ("two.npz", "2 arrays"),
        ("broken.npy", "no array file"),
        ("absent.npy", "no such file"),
        ("psf.png", "restore.read"),
    ):
        with pytest.raises(BadInput, match=found):
            kernels.from_file(tmp_path / name)


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (lambda: kernels.gaussian(sigma=0.0), "sigma is 0.0"),
        (lambda: kernels.gaussian(sigma=(1.0, 2.0, 3.0)), "2 numbers"),
        (lambda: kernels.disk(radius=-1.0), "radius is -1.0"),
        (lambda: kernels.disk(radius=5.0, size=7), "does not fit"),
        (lambda: kernels.motion(length=0.0), "length is 0.0"),
        (lambda: kernels.motion(length=20.0, size=9, angle=0.0), "does not fit"),
        (lambda: kernels.trajectory(intensity=2.0), "intensity is 2.0"),
        (lambda: kernels.gaussian_process(correlation=0.0), "correlation is 0.0"),
        (lambda: kernels.airy(obstruction=1.0), "obstruction is 1.0"),
        (lambda: kernels.airy(zernike=(0.1,) * 9), "zernike is"),
        (lambda: kernels.box(size=0), "size is 0"),
        (lambda: kernels.named("gauss"), "gaussian"),
        (lambda: kernels.from_array([1.0, 2.0]), "h x w"),
        (lambda: kernels.from_array([[1.0, 2.0], [3.0]]), "ragged"),
        (lambda: kernels.from_array([[float("nan"), 1.0]]), r"1 NaN.*\(0, 0\)"),
        (lambda: kernels.from_array([[1.0, -1.0]]), "sums to 0"),
    ],
)
def test_kernels_that_cannot_be_are_refused(make: Callable[[], np.ndarray], found: str) -> None:
    with pytest.raises(BadInput, match=found):
        make()


def test_an_unknown_setting_of_a_kernel_is_refused_with_the_closest_one() -> None:
    with pytest.raises(BadType, match="sigma"):
        kernels.named("gaussian", sigm=2.0)


def test_an_array_is_kept_as_it_is_on_request() -> None:
    assert kernels.from_array([[1, -1]], normalise=False).tolist() == [[1.0, -1.0]]
