"""Measured data against the wrong problem: refused with the remedy, or taken rightly and said."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from torch import Tensor

import operators
import restore
from benchmarks.cases.planning import Context
from benchmarks.runs.mapping.request import Request, prepare
from operators import BadInput
from operators.mri.fourier import centred_fft, centred_ifft
from restore import tasks
from restore.cli import main
from restore.problem import Problem
from restore.runs.trust import OperatorWarning
from restore.tasks.sections import parse

SIDE = 32


def head(side: int = SIDE) -> Tensor:
    """An ellipse with a bright spot and a smooth phase: 1 x side x side, complex128."""
    rows, columns = torch.meshgrid(*[torch.linspace(-1, 1, side, dtype=torch.float64)] * 2, indexing="ij")
    x = ((rows / 0.8) ** 2 + (columns / 0.6) ** 2 < 1) * 0.6 + ((rows - 0.2) ** 2 + columns**2 < 0.05) * 0.4
    return (x * torch.exp(1j * 0.4 * rows))[None]


def lines(side: int = SIDE) -> Tensor:
    """Every third line, and those in the middle."""
    keep = torch.zeros(side, dtype=torch.bool)
    keep[::3] = True
    keep[side // 2 - 3 : side // 2 + 3] = True
    return keep


def kspace() -> Tensor:
    """Of the head, along measured columns."""
    return centred_fft(head()) * lines()


def coils(count: int = 4) -> Tensor:
    """Maps that are 0 outside a disc."""
    rows, columns = torch.meshgrid(*[torch.linspace(-1, 1, SIDE, dtype=torch.float64)] * 2, indexing="ij")
    return operators.mri.birdcage((SIDE, SIDE), coils=count) * (rows**2 + columns**2 < 0.85)


def task(operator: str, unit: str = "complex", **settings: object) -> tasks.Task:
    words = "".join(f"{key} = {value!r}\n" for key, value in settings.items())
    text = f"version = 1\nsummary = 'a scan'\n[operator]\nname = '{operator}'\n{words}[noise]\nname = 'gaussian'\n"
    text += f"sigma = 0.001\n[input]\nunit = '{unit}'\n[solver]\nname = 'tikhonov'\n"
    return tasks.Task("scan", parse(text, where="scan"))


def notes(problem: Problem) -> str:
    return " ".join(problem.notes)


# -- coils -------------------------------------------------------------------------------------------------------------


def test_kspace_of_several_coils_is_not_taken_for_so_many_pictures() -> None:
    y = centred_fft(head() * coils()) * lines()
    for one in (tasks.load("mri4x"), task("mri")):
        with pytest.raises(BadInput, match=r"4 channels.*operator\.name=mri-multicoil --array maps=FILE.*--shape 4,32"):
            one.measured(y)
    assert task("mri").measured(y, shape=(4, SIDE, SIDE)).operator.input_shape == (4, SIDE, SIDE)
    with pytest.raises(BadInput, match="coil maps were given"):
        task("mri").measured(y[:1], arrays={"maps": coils()})


@pytest.mark.parametrize("operator", ["mri-multicoil", "mri-nufft"])
def test_no_coil_maps_are_made_up_for_a_measurement(operator: str) -> None:
    with pytest.raises(BadInput, match=r"simulated ones belong to no scan.*--array maps=FILE.*espirit"):
        task(operator, coils=4).measured(centred_fft(head() * coils()))


def test_maps_tell_the_picture_and_bring_it_back() -> None:
    y = centred_fft(head() * coils()) * lines()
    problem = task("mri-multicoil").measured(y, arrays={"maps": coils()})
    assert problem.operator.input_shape == (1, SIDE, SIDE) and "coils: 4" in notes(problem)
    assert torch.equal(problem.operator.observed[0], lines().expand(SIDE, SIDE))
    estimate = restore.solve(problem).estimate
    truth = head() * problem.operator.support
    assert float((estimate - truth).abs().pow(2).sum() / truth.abs().pow(2).sum()) < 0.01
    with pytest.raises(BadInput, match="maps have shape"):
        task("mri-multicoil").measured(y, arrays={"maps": coils(3)})
    two = torch.cat([y, y])
    assert task("mri-multicoil").measured(two, arrays={"maps": coils()}).operator.input_shape == (2, SIDE, SIDE)


def test_several_coils_on_a_trajectory_ask_for_maps() -> None:
    points = operators.build("mri-nufft", (1, SIDE, SIDE), spokes=9).points[0]
    scanner = operators.build("mri-nufft", (1, SIDE, SIDE), points=points, maps=coils())
    y = scanner(head()[None])[0]
    with pytest.raises(BadInput, match="4 channels.*--array maps=FILE"):
        task("mri-nufft").measured(y, arrays={"points": points}, shape=(1, SIDE, SIDE))
    problem = task("mri-nufft").measured(y, arrays={"points": points, "maps": coils()})
    torch.testing.assert_close(problem.operator(head()[None]), y[None])


@pytest.mark.parametrize("operator", ["mri-multicoil", "mri-nufft"])
@pytest.mark.parametrize("solver", ["direct", "tikhonov", "tv", "wavelet", "dpir", "diffpir", "gradient"])
def test_nothing_is_invented_where_no_coil_sees_anything(operator: str, solver: str) -> None:
    more = {"spokes": 12} if operator == "mri-nufft" else {"acceleration": 2}
    a = operators.build(operator, (1, SIDE, SIDE), maps=coils(), **more)
    y = a(head()[None]) + 0.02 * torch.randn(1, *a.output_shape, dtype=torch.complex128)
    problem = Problem(y, a, operators.noise.Gaussian(sigma=0.02))
    settings = {"steps": 3} if solver in ("dpir", "diffpir", "tv", "wavelet") else {}
    prior = "natural:real-imaginary" if solver in ("dpir", "diffpir") else None
    result = restore.solve(problem, prior, restore.solvers.build(solver, **settings), samples=2)
    seen = (coils() != 0).any(0)
    assert not result.estimate[..., ~seen].any() and not result.samples[..., ~seen].any()
    assert bool(result.estimate[..., seen].any())


@pytest.mark.parametrize("kind", [torch.complex64, torch.complex128])
@pytest.mark.parametrize("settings", [{}, {"rule": "norm", "sampler": "ddim"}])
def test_dps_takes_complex_pictures(kind: torch.dtype, settings: dict) -> None:
    a = operators.build("mri", (1, SIDE, SIDE), mask=torch.ones(SIDE, SIDE))
    y = a(head()[None].to(kind))
    problem = Problem(y, a, operators.noise.Gaussian(sigma=0.02))
    solver = restore.solvers.build("dps", steps=20, **settings)
    estimate = restore.solve(problem, "natural:real-imaginary", solver).estimate
    assert estimate.dtype == kind
    size = head().abs().square().mean().sqrt()
    assert (estimate - head()).abs().square().mean().sqrt() < 0.6 * size  # nothing at all is off by 1 size


@pytest.mark.parametrize("name", ["mri-multicoil", "mri-nufft"])
def test_simulated_maps_are_said_where_a_measurement_has_no_truth(name: str) -> None:
    noise = operators.noise.Gaussian(sigma=0.02)
    invented = operators.build(name, (1, SIDE, SIDE), coils=4)
    y = invented(head()[None])
    with pytest.warns(OperatorWarning, match="simulated.*maps="):
        restore.solve(Problem(y, invented, noise), solver="direct")
    given = operators.build(name, (1, SIDE, SIDE), maps=invented.maps.reshape(4, SIDE, SIDE))
    with warnings.catch_warnings():
        warnings.simplefilter("error", OperatorWarning)
        restore.solve(Problem(y, given, noise), solver="direct")
        restore.solve(Problem(y, invented, noise, truth=head()[None]), solver="direct")


# -- the order and the kind of numbers ---------------------------------------------------------------------------------


def test_zero_frequency_in_the_corner_is_refused_with_the_remedy() -> None:
    whole = centred_fft(head())
    for shifted in (torch.fft.ifftshift(whole, dim=(-2, -1)), torch.fft.ifftshift(kspace(), dim=(-2, -1))):
        with pytest.raises(BadInput, match="corner.*fftshift"):
            task("mri").measured(shifted, mask=torch.ones(SIDE, SIDE))
        again = torch.fft.fftshift(shifted, dim=(-2, -1))
        task("mri").measured(again, mask=torch.ones(SIDE, SIDE))
    with pytest.raises(BadInput, match="corner"):
        y = torch.fft.ifftshift(centred_fft(head() * coils()), dim=(-2, -1))
        task("mri-multicoil").measured(y, arrays={"maps": coils(), "mask": torch.ones(SIDE, SIDE)})


def test_the_file_with_zero_frequency_in_its_corner_is_refused_and_right_when_shifted(data_root) -> None:
    y = torch.from_numpy(np.load(data_root / "formats/mri/dc_in_corner.npz")["kspace"])[None]
    full = {"mask": torch.ones(y.shape[-2:])}
    with pytest.raises(BadInput, match="corner"):
        task("mri").measured(y, **full)
    estimate = restore.solve(
        task("mri").measured(torch.fft.fftshift(y, dim=(-2, -1)), **full), solver="direct"
    ).estimate
    assert complex(estimate[0, 0, 18, 13]) == pytest.approx(0.498344 + 0.040657j, abs=1e-4)


def test_the_brain_of_eight_coils_is_refused_without_maps(data_root) -> None:
    y = torch.from_numpy(np.load(data_root / "mri/brain_8coil_undersampled_kspace.npz")["kspace"])
    with pytest.raises(BadInput, match="8 channels"):
        tasks.load("mri4x").measured(y)
    with pytest.raises(BadInput, match="without coil maps"):
        tasks.load("mri4x").override({"operator.name": "mri-multicoil"}).measured(y)
    maps = operators.mri.espirit(y)
    problem = tasks.load("mri4x").override({"operator.name": "mri-multicoil"}).measured(y, arrays={"maps": maps})
    estimate = restore.solve(problem, solver="direct").estimate
    assert not estimate[..., (maps == 0).all(0)].any() and bool(estimate.any())


def test_a_picture_is_not_taken_for_kspace() -> None:
    with pytest.raises(BadInput, match="looks like a picture"):
        task("mri").measured(head(), mask=torch.ones(SIDE, SIDE))
    for real in (head().abs(), kspace().abs()):
        with pytest.raises(BadInput, match="magnitudes without a phase"):
            task("mri").measured(real)
    with pytest.raises(BadInput, match="real numbers in 1 channels"):
        task("mri").measured(kspace().real)
    noise = torch.randn(1, SIDE, SIDE, dtype=torch.complex128)
    task("mri").measured(noise, mask=torch.ones(SIDE, SIDE))  # noise alone is legal


def test_real_and_imaginary_part_as_two_channels_are_one_complex_one() -> None:
    y = kspace()
    problem = task("mri").measured(torch.cat([y.real, y.imag]))
    torch.testing.assert_close(problem.y[0], y)
    assert "real and imaginary part" in notes(problem)


# -- masks -------------------------------------------------------------------------------------------------------------


def test_a_vector_of_lines_is_a_mask_where_its_length_or_the_data_tell_its_direction() -> None:
    wide = centred_fft(head()[:, :24]) * lines()
    problem = task("mri").measured(wide, mask=lines())
    assert torch.equal(problem.operator.observed[0], lines().expand(24, SIDE)) and "the columns" in notes(problem)
    rows = task("mri").measured(wide.mT, mask=lines())
    assert torch.equal(rows.operator.observed[0], lines()[:, None].expand(SIDE, 24)) and "the rows" in notes(rows)
    square = task("mri").measured(kspace(), mask=lines())
    assert torch.equal(square.operator.observed[0], lines().expand(SIDE, SIDE))
    assert torch.equal(
        task("mri").measured(kspace(), mask=lines()[None]).operator.observed[0], square.operator.observed[0]
    )
    with pytest.raises(BadInput, match="1 x W for columns"):
        task("mri").measured(centred_fft(head()), mask=lines())
    with pytest.raises(BadInput, match=f"vector of 9.*{SIDE} columns or {SIDE} rows"):
        task("mri").measured(kspace(), mask=torch.ones(9))


def test_a_vector_serves_pictures_too() -> None:
    y = torch.rand(3, 20, SIDE)
    problem = tasks.load("inpaint-box").measured(y, mask=lines())
    assert torch.equal(problem.operator.observed[0].expand(20, SIDE), lines().expand(20, SIDE))


def test_a_transposed_mask_is_refused() -> None:
    with pytest.raises(BadInput, match="transposed"):
        task("mri").measured(kspace(), mask=lines()[:, None].expand(SIDE, SIDE))
    with pytest.raises(BadInput, match="transposed"):
        task("mri").measured(centred_fft(head()[:, :24]), mask=torch.ones(SIDE, 24))
    generous = task("mri").measured(kspace(), mask=torch.ones(SIDE, SIDE))
    assert "exactly 0 at" in notes(generous)


def test_the_command_line_takes_a_vector_of_lines_and_refuses_coils(tmp_path, capsys) -> None:
    np.save(tmp_path / "k.npy", kspace().numpy().astype(np.complex64))
    np.save(tmp_path / "lines.npy", lines().numpy().astype(np.uint8))
    np.save(tmp_path / "coils.npy", centred_fft(head() * coils()).numpy().astype(np.complex64))
    run = ["run", "--task", "mri4x", "--solver", "direct", "--no-baseline", "--measured", "--axes", "CHW"]
    main(
        [*run, "--input", str(tmp_path / "k.npy"), "--mask", str(tmp_path / "lines.npy"), "--out", str(tmp_path / "o")]
    )
    assert "are the columns of the measurement" in (tmp_path / "o" / "report.html").read_text()
    capsys.readouterr()
    assert main([*run, "--input", str(tmp_path / "coils.npy"), "--out", str(tmp_path / "p")]) == 2
    said = capsys.readouterr().err
    assert "mri-multicoil" in said and len(said.strip().splitlines()) == 1 and not (tmp_path / "p").exists()


# -- tomography --------------------------------------------------------------------------------------------------------


def disc(side: int = 24) -> Tensor:
    """Off the middle, so that views differ."""
    rows, columns = torch.meshgrid(*[torch.arange(side, dtype=torch.float64) - (side - 1) / 2] * 2, indexing="ij")
    return (((rows - 2) ** 2 + (columns + 3) ** 2) < 49).double()[None]


def test_a_beam_that_diverges_does_not_tell_the_size_of_its_picture() -> None:
    angles = torch.linspace(0, 2 * math.pi, 31, dtype=torch.float64)[:-1]
    y = operators.build("ct-fan", (1, 24, 24), angles=angles, detectors=40)(disc()[None])[0]
    fan = task("ct-fan", unit="magnitude", detectors=40)
    with pytest.raises(BadInput, match="--shape C,H,W.*operator.pixel"):
        fan.measured(y, arrays={"angles": angles})
    told = fan.measured(y, arrays={"angles": angles}, shape=(1, 24, 24))
    torch.testing.assert_close(told.operator(disc()[None])[0], y)
    cone = task("ct-cone", unit="magnitude")
    scanner = operators.build("ct-cone", (1, 6, 8, 8), views=12)
    sinogram = scanner(torch.ones(1, 1, 6, 8, 8, dtype=torch.float64))[0]
    with pytest.raises(BadInput, match="--shape C,D,H,W"):
        cone.measured(sinogram[0])
    assert cone.measured(sinogram[0], shape=(1, 6, 8, 8)).operator.output_shape == scanner.output_shape


def test_counts_are_no_line_integrals() -> None:
    y = operators.build("ct-parallel", (1, 24, 24), views=20, pixel=0.05)(disc()[None])[0]
    parallel = task("ct-parallel", unit="magnitude", pixel=0.05)
    parallel.measured(y)
    for light in (5e4 * torch.exp(-y), torch.exp(-y)):
        with pytest.raises(BadInput, match="counts, or transmitted.*line_integrals"):
            parallel.measured(light)
        with pytest.raises(BadInput, match="counts, or transmitted"):
            task("ct-fan", unit="magnitude").measured(light, shape=(1, 24, 24))


def test_views_of_air_are_no_counts() -> None:
    noise = torch.randn(1, 20, 24, generator=torch.Generator().manual_seed(0)).abs() * 1e-3
    noise[..., ::2] *= -1
    noise[..., [0, -1]] = 0.01
    task("ct-parallel", unit="magnitude").measured(noise)


def test_a_transposed_sinogram_is_refused() -> None:
    y = operators.build("ct-parallel", (1, 24, 24), views=20)(disc()[None])[0]
    parallel = task("ct-parallel", unit="magnitude")
    with pytest.raises(BadInput, match="views and cells are exchanged"):
        parallel.measured(y.mT)
    angles = torch.linspace(0, 3, 20)
    with pytest.raises(BadInput, match="Transpose the sinogram"):
        parallel.measured(y.mT, arrays={"angles": angles})
    with pytest.raises(BadInput, match="7 angles for a measurement of 20 views"):
        parallel.measured(y, arrays={"angles": angles[:7]})
    with pytest.raises(BadInput, match="complex"):
        parallel.measured(torch.complex(y, y))


def test_angles_of_a_measurement_in_degrees_are_refused() -> None:
    y = operators.build("ct-parallel", (1, 24, 24), views=20)(disc()[None])[0]
    with pytest.raises(BadInput, match="deg2rad"):
        task("ct-parallel", unit="magnitude").measured(y, arrays={"angles": torch.arange(20.0) * 9})


# -- trajectories ------------------------------------------------------------------------------------------------------


def test_points_a_hair_beyond_pi_are_noted_and_mean_the_same() -> None:
    points = operators.build("mri-nufft", (1, SIDE, SIDE), spokes=9).points[0] * 1.02
    inside = torch.remainder(points + math.pi, 2 * math.pi) - math.pi
    y = operators.build("mri-nufft", (1, SIDE, SIDE), points=inside)(head()[None])
    problem = task("mri-nufft").measured(y, arrays={"points": points}, shape=(1, SIDE, SIDE))
    torch.testing.assert_close(problem.operator(head()[None]), y)
    assert "beyond pi" in notes(problem)


def test_the_inverse_transform_of_the_tests_is_right() -> None:
    torch.testing.assert_close(centred_ifft(centred_fft(head())), head())


@pytest.mark.parametrize(
    ("name", "words"), [("coils", "bench map has neither"), ("corner", "fftshift"), ("counts", "line_integrals")]
)
def test_a_map_refuses_before_any_piece_is_computed(tmp_path, name: str, words: str) -> None:
    y = {
        "coils": centred_fft(head() * coils()),
        "corner": torch.fft.ifftshift(centred_fft(head()), dim=(-2, -1)),
        "counts": 1e4 * torch.exp(-operators.build("ct-parallel", (1, 24, 24), views=20, pixel=0.05)(disc()[None])[0]),
    }[name]
    np.save(tmp_path / "y.npy", y.numpy())
    known = "ct-sparse" if name == "counts" else "mri4x"
    request = Request(known, tmp_path / "y.npy", reading={"axes": "CHW"}, measured=True, solver="direct", tile=0)
    with pytest.raises(BadInput, match=words):
        prepare(request, Context(settings={"device": "cpu", "dtype": "float32"}), tmp_path)


def test_a_trajectory_in_cycles_is_named_on_the_way_in() -> None:
    points = operators.build("mri-nufft", (1, SIDE, SIDE), spokes=9).points[0]
    y = operators.build("mri-nufft", (1, SIDE, SIDE), points=points)(head()[None])
    cycles = {"points": points / (2 * math.pi)}
    with pytest.raises(BadInput, match=r"--set operator\.unit=cycles/pixel"):
        tasks.load("mri-radial").measured(y, arrays=cycles, shape=(1, SIDE, SIDE))
    named = tasks.load("mri-radial").override({"operator.unit": "cycles/pixel"})
    problem = named.measured(y, arrays=cycles, shape=(1, SIDE, SIDE))
    torch.testing.assert_close(problem.operator.points[0], points)
    again = tasks.rebuild(problem.recipe, problem.y, problem.recipe.arrays)
    torch.testing.assert_close(again.operator.points[0], points)
