"""Non-Cartesian MRI against direct sums, Toeplitz against gridding, density compensation against areas."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
import torch

import operators
from operators import BadInput, BadType, MissingExtra
from operators.mri import birdcage, pipe_menon, ramp, trajectory
from operators.mri.plans import Nufft
from operators.mri.trajectories import TrajectoryWrapped

PHANTOM_SIDE = 32


def relative(a, b):
    return float(torch.linalg.vector_norm(a - b) / torch.linalg.vector_norm(b))


def disc(side=PHANTOM_SIDE):
    """A smooth blob well inside the field of view."""
    place = torch.arange(side, dtype=torch.float64) - side // 2
    radius2 = place[:, None] ** 2 + place[None, :] ** 2
    return torch.exp(-radius2 / (2 * (side / 8) ** 2)).to(torch.complex128)[None, None]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.complex128, 1e-9), (torch.complex64, 1e-5)])
def test_planes_equal_direct_sums(reference, dtype, tolerance):
    stored = reference("operators_nufft")
    x, y = (torch.from_numpy(stored[name]).to(dtype) for name in ("x", "y"))
    scale = np.sqrt(x.numel())
    A = operators.build("mri-nufft", (1, 20, 27), points=stored["k_rad_yx"])
    assert relative(A(x[None, None])[0, 0] * scale, torch.from_numpy(stored["type2_direct"])) <= tolerance
    assert relative(A.adjoint(y[None, None])[0, 0] * scale, torch.from_numpy(stored["type1_direct"])) <= tolerance
    spokes = operators.build("mri-nufft", (1, 20, 27), points=stored["radial_k_rad_yx"])
    assert relative(spokes(x[None, None])[0, 0] * scale, torch.from_numpy(stored["radial_direct"])) <= tolerance


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.complex128, 1e-9), (torch.complex64, 1e-5)])
def test_volumes_equal_direct_sums(reference, dtype, tolerance):
    stored = reference("operators_nufft")
    x = torch.from_numpy(stored["x3"]).to(dtype)[None, None]
    A = operators.build("mri-nufft", tuple(x.shape[1:]), points=stored["k3_rad_zyx"])
    assert relative(A(x)[0, 0] * np.sqrt(x.numel()), torch.from_numpy(stored["type2_3d_direct"])) <= tolerance


@pytest.mark.parametrize("eps", [1e-3, 1e-6])
def test_adjoint_is_exact_at_any_precision_of_the_transform(eps):
    points = trajectory((16, 18), kind="golden", spokes=11)
    transform = Nufft(points, (16, 18), eps=eps)
    x = torch.randn(1, 16, 18, dtype=torch.complex64)
    y = torch.randn(1, len(transform.points), dtype=torch.complex64)
    gap = torch.vdot(transform.forward(x).flatten(), y.flatten()) - torch.vdot(
        x.flatten(), transform.adjoint(y).flatten()
    )
    assert abs(gap) <= 1e-6 * float(transform.forward(x).norm() * y.norm())


@pytest.mark.parametrize(
    "settings", [{"kind": "spiral"}, {"kind": "golden", "coils": 3}, {"kind": "golden", "frames": "different"}]
)
def test_toeplitz_gram_equals_forward_and_adjoint(settings):
    A = operators.build("mri-nufft", (2, 15, 12), **settings)
    x = torch.randn(2, 2, 15, 12, dtype=torch.complex128)
    assert relative(A.gram(x), A.adjoint(A(x))) <= 1e-11


def test_many_coils_are_one_coil_after_each_map():
    maps, x = birdcage((12, 14), coils=3), torch.randn(1, 1, 12, 14, dtype=torch.complex128)
    many = operators.build("mri-nufft", (1, 12, 14), maps=maps)
    one = operators.build("mri-nufft", (1, 12, 14))
    assert relative(many(x), torch.cat([one(x * s) for s in maps], dim=1)) <= 1e-12


@pytest.mark.parametrize(
    ("settings", "tolerance"),
    [
        ({"kind": "radial", "acceleration": 1}, 0.01),
        ({"kind": "radial", "acceleration": 1, "density": "pipe-menon"}, 0.01),
        ({"kind": "golden", "acceleration": 0.7, "coils": 3}, 0.04),
        ({"kind": "spiral", "acceleration": 0.5}, 0.01),
    ],
)
# Golden lines are not quite evenly spaced, which the ramp does not know.
def test_direct_returns_a_well_sampled_picture_at_its_scale(settings, tolerance):
    A = operators.build("mri-nufft", (1, PHANTOM_SIDE, PHANTOM_SIDE), **settings)
    assert relative(A.direct(A(disc())), disc()) <= tolerance


def test_density_weights_are_areas():
    points = trajectory((32, 32), kind="radial", spokes=60)
    area = np.pi * np.pi**2 / (2 * np.pi) ** 2 * 32 * 32  # the disc of radius pi, in units of (2 pi)^2 / N
    assert float(ramp(points, (32, 32)).sum()) == pytest.approx(area, rel=1e-9)
    # Pipe-Menon spreads half a step beyond the outermost points.
    assert float(pipe_menon(points, (32, 32)).sum()) == pytest.approx(area, rel=0.05)


def test_a_cartesian_trajectory_is_the_cartesian_scan():
    line = 2 * np.pi * (np.arange(10) - 5) / 10
    points = np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1)
    x = torch.randn(1, 1, 10, 10, dtype=torch.complex128)
    A = operators.build("mri-nufft", (1, 10, 10), points=points)
    assert A.output_shape == (1, 10, 10)
    assert relative(A(x), operators.build("mri", (1, 10, 10), kind="full")(x)) <= 1e-11
    weights = pipe_menon(torch.from_numpy(points), (10, 10))
    assert torch.allclose(weights, torch.ones(10, 10, dtype=torch.float64), atol=1e-3)


def test_trajectories_stay_in_range_and_start_where_they_should():
    for kind in ("radial", "golden", "spiral"):
        points = trajectory((31, 24), kind=kind)
        assert points.shape[-1] == 2 and float(points.abs().max()) <= np.pi
    spokes = trajectory((32, 32), kind="golden", spokes=3, samples=8)
    assert torch.equal(spokes[:, 4], torch.zeros(3, 2, dtype=torch.float64))
    angle = np.arctan2(*spokes[1, 5].tolist())
    assert angle == pytest.approx(np.pi * (np.sqrt(5) - 1) / 2)


def test_stacks_and_kooshballs_fill_volumes():
    stack = trajectory((4, 8, 8), kind="radial", spokes=3)
    assert stack.shape == (12, 16, 3) and len(torch.unique(stack[..., 0])) == 4
    ball = trajectory((8, 8, 8), kind="kooshball", spokes=50)
    assert ball.shape == (50, 16, 3)
    directions = ball[:, 0] / ball[:, 0].norm(dim=-1, keepdim=True)
    assert float(directions.mean(0)[1:].norm()) < 0.1


def test_golden_series_go_on_with_the_lines_that_follow():
    A = operators.build("mri-nufft", (2, 12, 12), kind="golden", spokes=5, frames="different")
    long = trajectory((12, 12), kind="golden", spokes=10)
    assert torch.equal(A.points.reshape(10, -1, 2), long)


def test_solve_recovers_the_picture_from_enough_spokes():
    A = operators.build("mri-nufft", (1, PHANTOM_SIDE, PHANTOM_SIDE), kind="radial", acceleration=1)
    y = A(disc())
    assert relative(A.solve(A.adjoint(y), 1e-6), disc()) <= 1e-3


def test_gradients_flow_to_the_picture():
    A = operators.build("mri-nufft", (1, 8, 8), spokes=5)
    x = torch.randn(1, 1, 8, 8, dtype=torch.complex128, requires_grad=True)
    assert torch.autograd.gradcheck(A, (x,), fast_mode=True)


@pytest.mark.parametrize(
    ("settings", "error", "match"),
    [
        ({"points": np.full((5, 2), 4.0)}, BadInput, "radians per pixel"),
        ({"points": np.zeros((5, 3))}, BadInput, "points x 2"),
        ({"points": np.full((5, 2), np.nan)}, BadInput, "NaN"),
        ({"points": np.zeros((5, 2), dtype=complex)}, BadType, "real"),
        ({"kind": "radail"}, BadInput, "radial"),
        ({"kind": "kooshball"}, BadInput, "volume"),
        ({"spokes": 0}, BadInput, "spokes"),
        ({"eps": 0}, BadInput, "eps"),
        ({"density": "voronoy"}, BadInput, "density"),
        ({"density": np.ones(7)}, BadInput, "one weight for each point"),
        ({"frames": "own"}, BadInput, "frames"),
    ],
)
def test_bad_settings_are_refused(settings, error, match):
    with pytest.raises(error, match=match):
        operators.build("mri-nufft", (1, 12, 16), **settings)


def test_a_missing_gpu_library_names_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "cufinufft", None)
    transform = Nufft(torch.zeros(3, 2), (4, 4), eps=1e-6)
    like = torch.empty(1, 4, 4, dtype=torch.complex64, device="meta")
    with pytest.raises(MissingExtra, match=r"restore\[cuda\]"):
        transform._make(2, 1, like, 0)


def spokes_of(side: int) -> torch.Tensor:
    return operators.build("mri-nufft", (1, side, side), spokes=7, samples=2 * side).points[0]


def test_points_in_other_units_are_taken_by_their_name_and_refused_without() -> None:
    side, points = 24, spokes_of(24)
    right = operators.build("mri-nufft", (1, side, side), points=points)
    x = torch.rand(1, 1, side, side, dtype=torch.complex128)
    for unit, factor in (("cycles/pixel", 2 * math.pi), ("cycles/field", 2 * math.pi / side), ("radians/pixel", 1.0)):
        named = operators.build("mri-nufft", (1, side, side), points=points / factor, unit=unit)
        torch.testing.assert_close(named(x), right(x))
    with pytest.raises(BadInput, match=r"look like cycles per pixel.*unit='cycles/pixel'"):
        operators.build("mri-nufft", (1, side, side), points=points / (2 * math.pi))
    with pytest.raises(BadInput, match="unit='cycles/field'"):
        operators.build("mri-nufft", (1, side, side), points=points * side / (2 * math.pi))
    with pytest.raises(BadInput, match="1/m are multiplied by the pixel's side"):
        operators.build("mri-nufft", (1, side, side), points=points / (2 * math.pi) / 1e-3)
    oblong = operators.build(
        "mri-nufft", (1, 16, 32), points=points * torch.tensor([16, 32]) / (2 * math.pi), unit="cycles/field"
    )
    torch.testing.assert_close(oblong.points[0], points)
    near = operators.build("mri-nufft", (1, side, side), points=0.1 * points, unit="radians/pixel")
    torch.testing.assert_close(near.points[0], 0.1 * points)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_points_a_little_beyond_pi_repeat_after_exactly_two_pi(dtype) -> None:
    side, points = 24, (spokes_of(24) * 1.04).to(dtype)
    x = torch.rand(1, 1, side, side, dtype=torch.complex128)
    with pytest.warns(TrajectoryWrapped, match="beyond pi"):
        a = operators.build("mri-nufft", (1, side, side), points=points)
    assert float(a.points.abs().max()) <= math.pi
    grid = torch.arange(side, dtype=torch.float64) - side // 2
    rows, columns = torch.meshgrid(grid, grid, indexing="ij")
    k = points.double().reshape(-1, 2)
    phase = k[:, :1] * rows.flatten() + k[:, 1:] * columns.flatten()
    dense = (torch.exp(-1j * phase) @ x.flatten()) / side
    torch.testing.assert_close(a(x).flatten(), dense, rtol=0, atol=1e-9)
    with pytest.raises(BadInput, match="reaches"):
        operators.build("mri-nufft", (1, side, side), points=spokes_of(24) * 1.06)
