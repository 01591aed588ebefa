"""Task files, what they say, and the problems they pose."""

from __future__ import annotations

from pathlib import Path

import pytest
import skimage.data
import torch

import operators
import restore
from operators import BadInput, BadType
from operators.core.base import LinearOperator
from restore import tasks
from restore.tasks import measurement
from restore.tasks.sections import parse
from restore.tasks.settings import override

NAMES = {
    "denoise", "denoise-poisson", "sr2x", "sr4x", "sr8x", "deblur-gaussian", "deblur-motion", "inpaint-box",
    "inpaint-random", "cs4x", "cs10x",
}  # fmt: skip
MINIMAL = """
version = 1
summary = "nothing happens"
[operator]
name = "identity"
[noise]
name = "gaussian"
sigma = 0.1
[solver]
name = "tikhonov"
"""


@pytest.fixture
def picture() -> torch.Tensor:
    """64 x 64 pixels of the astronaut, 3 x 64 x 64 in [0, 1]."""
    return torch.from_numpy(skimage.data.astronaut()[50:114, 190:254].copy()).permute(2, 0, 1).float() / 255


def test_the_tasks_of_the_first_release_are_there() -> None:
    assert set(tasks.names()) >= NAMES


@pytest.mark.parametrize("name", tasks.names())
def test_every_part_a_task_names_exists(name: str) -> None:
    tasks.load(name).check()


@pytest.mark.parametrize("name", tasks.names())
def test_every_task_has_a_card_and_a_source(name: str) -> None:
    from restore.commands.tables import card_text

    assert card_text("tasks", name) is not None and tasks.load(name).source


@pytest.mark.parametrize("name", tasks.names())
def test_a_task_poses_its_problem_on_an_odd_colour_or_gray_picture(name: str, picture: torch.Tensor) -> None:
    task = tasks.load(name)
    channels = getattr(operators.REGISTRY.load(task.table["operator"]["name"]), "channels", None)
    for colour in (picture[:, :61, :50], picture[:1, :40, :63]):
        # An operator made for one number of channels gets that many.
        image = colour if channels in (None, len(colour)) else colour[:1].repeat(channels, 1, 1)
        problem = task.problem(image, seed=0)
        assert problem.truth is not None and bool(torch.isfinite(problem.y).all())
        multiple = task.table["input"]["crop_to_multiple"]
        assert all(side % multiple == 0 for side in problem.truth.shape[-2:])
        kept = image[:, : problem.truth.shape[-2], : problem.truth.shape[-1]]
        leaving = problem.in_file_units().truth[0]
        # Attenuation of a thousandth of water is rounded in float32; pictures in their own unit are not touched.
        allowed = 0.0 if problem.file_units.is_identity else 1e-3
        torch.testing.assert_close(leaving, kept.to(leaving.dtype), atol=allowed, rtol=0)


@pytest.mark.parametrize("name", tasks.names())
def test_a_problem_is_rebuilt_from_its_recipe(name: str, picture: torch.Tensor) -> None:
    problem = tasks.load(name).problem(picture, seed=3)
    recipe = dict(problem.recipe or {})
    again = tasks.rebuild(recipe, problem.y, recipe.pop("arrays"), truth=problem.truth, image_ids=problem.image_ids)
    assert torch.equal(again.residual(problem.truth), problem.residual(problem.truth))
    assert again.noise == problem.noise


@pytest.mark.parametrize("name", tasks.names())
def test_the_truth_explains_its_measurement(name: str, picture: torch.Tensor) -> None:
    problem = tasks.load(name).problem(picture, seed=0)
    if problem.sigma == 0:
        # float32 arithmetic of a few hundred terms
        assert float(problem.residual(problem.truth).abs().max()) < 1e-4
    elif not isinstance(problem.operator, LinearOperator):
        # Values beyond the range are clipped when y is stored, which the rounding of the noise model does not cover.
        assert 0 <= problem.chi2(problem.truth) < 2
    else:
        # Mean of n squared standard normals: 1 +- sqrt(2 / n), and the Poisson stand-in is a little wider.
        assert problem.chi2(problem.truth) == pytest.approx(1, abs=6 * (2 / problem.observed_count) ** 0.5 + 0.05)


def test_the_noise_of_a_picture_does_not_depend_on_its_neighbours(picture: torch.Tensor) -> None:
    task = tasks.load("denoise")
    both = task.problem(torch.stack([picture, picture.flip(-1)]), seed=1).y
    alone = task.problem(picture.flip(-1), seed=1).y
    assert torch.equal(both[1:], alone)


def test_a_stored_measurement_has_256_levels_and_says_its_rounding(picture: torch.Tensor) -> None:
    problem = tasks.load("sr4x").problem(picture)
    levels = problem.y * 255
    assert torch.equal(levels, levels.round()) and float(problem.y.min()) >= 0 and float(problem.y.max()) <= 1
    assert problem.sigma == pytest.approx(1 / 255 / 12**0.5)


def test_no_noise_falls_where_nothing_was_observed(picture: torch.Tensor) -> None:
    problem = tasks.load("inpaint-random").override({"noise.sigma": 0.5}).problem(picture)
    observed = problem.operator.observed.expand(problem.y.shape)
    assert bool((problem.y[~observed] == 0).all()) and float(problem.y[observed].std()) > 0.4
    assert float((~observed).double().mean()) == pytest.approx(0.7, abs=0.01)


def test_settings_replace_dotted_keys_and_nothing_else() -> None:
    task = tasks.load("sr4x")
    changed = task.override({"operator.factor": 2, "solver.steps": 7, "metrics.psnr": "psnr[y601,crop=2]"})
    assert changed.solver_for().steps == 7 and changed.table["operator"]["factor"] == 2
    assert changed.metrics["psnr"] == "psnr[y601,crop=2]" and task.table["operator"]["factor"] == 4


def test_a_new_solver_drops_the_settings_of_the_old_one() -> None:
    table = parse(MINIMAL + "iterations = 5\n[solvers.tv]\nsteps = 9\n", where="test")
    changed = override(table, {"solver.name": "tv"}, where="test")
    assert changed.solver.plain() == {"name": "tv", "steps": 9}


def test_a_preset_wins_over_the_settings_of_the_task() -> None:
    task = tasks.Task("t", parse(MINIMAL.replace('"tikhonov"', '"diffpir"\nsteps = 7'), where="t"))
    assert task.solver_for().steps == 7
    assert task.override({"solver.preset": "paper"}).solver_for().steps == 100
    assert task.override({"solver.preset": "paper", "solver.steps": 30}).solver_for().steps == 30


def test_a_solver_may_have_its_own_prior_in_a_task() -> None:
    table = parse(MINIMAL + '[solvers.diffpir]\nprior = "other"\nsteps = 3\n', where="t")
    task = tasks.Task("t", table)
    assert (task.prior_for(), task.prior_for("diffpir")) == ("natural", "other")
    assert task.solver_for("diffpir").steps == 3


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("[noise]", "[nose]", "Did you mean 'noise'"),
        ("version = 1", "version = 0", "at least 1"),
        ("version = 1", 'version = "1"', "an integer"),
        ('summary = "nothing happens"', "", "summary"),
        ('name = "identity"', "", "name"),
        ("[solver]", "[input]\ncrop_to_multipel = 2\n[solver]", "Did you mean 'crop_to_multiple'"),
        ("[solver]", "[input]\nunit = 'reflectence'\n[solver]", "Did you mean 'reflectance'"),
        ("[solver]", "[measurement]\nbits = 99\n[solver]", "1 to 16"),
        ("[solver]", "[metrics]\npsnr = 3\n[solver]", "metric"),
    ],
)
def test_a_wrong_task_file_is_refused_with_the_place(old: str, new: str, says: str) -> None:
    with pytest.raises((BadInput, BadType)) as caught:
        parse(MINIMAL.replace(old, new), where="task 'x'")
    assert says in str(caught.value) and "task 'x'" in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"solver.stepz": 3}, "steps"),
        ({"operator.factr": 3}, "factor"),
        ({"noise.sgma": 3}, "sigma"),
        ({"oprator.factor": 3}, "operator"),
        ({"solver.steps": "many"}, "whole number"),
        ({"solver.steps": 2.5}, "whole number"),
        ({"solver.steps": True}, "whole number"),
        ({"solver.name": "difpir"}, "diffpir"),
        ({"baseline.name": "bicubik"}, "bicubic"),
        ({"baseline.name": "diffpir"}, "a solver without one"),
        ({"metrics.psnr": "pnsr[rgb]"}, "psnr"),
        ({"prior.name": "naturel"}, "natural"),
    ],
)
def test_a_wrong_setting_is_refused_with_a_suggestion(settings: dict, says: str) -> None:
    with pytest.raises((BadInput, BadType)) as caught:
        tasks.load("sr4x").override(settings)
    assert says in str(caught.value)


def test_settings_are_read_as_toml_or_else_as_text() -> None:
    pairs = ["a.b=3", "a.c=1e-4", "a.d=true", "a.e=natural", "a.f=[1, 2]", 'a.g="3"', "a.h=psnr[y601,crop=4]"]
    expected = {
        "a.b": 3,
        "a.c": 1e-4,
        "a.d": True,
        "a.e": "natural",
        "a.f": [1, 2],
        "a.g": "3",
        "a.h": "psnr[y601,crop=4]",
    }
    assert tasks.parse_settings(pairs) == expected


def test_a_task_loads_from_a_file_of_ones_own(tmp_path: Path, picture: torch.Tensor) -> None:
    (tmp_path / "mine.toml").write_text(MINIMAL)
    task = tasks.load(tmp_path / "mine.toml")
    assert task.name == "mine" and task.problem(picture).sigma == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("image", "error"),
    [
        (torch.rand(3, 16, 16) * 255, BadInput),
        (torch.full((3, 16, 16), float("nan")), BadInput),
        (torch.zeros(3, 16, 16, dtype=torch.uint8), BadType),
        (torch.zeros(16, 16), BadInput),
        (torch.zeros(3, 3, 3), BadInput),
        ("photo.png", BadType),
    ],
)
def test_a_picture_that_cannot_be_measured_is_refused(image: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        tasks.load("sr4x").problem(image)


# -- measurements from elsewhere ----------------------------------------------------------------------------------


def test_the_size_of_the_picture_is_told_by_the_measurement(picture: torch.Tensor) -> None:
    for name, size in (("sr4x", 256), ("denoise", 64), ("deblur-gaussian", 64)):
        problem = tasks.load(name).measured(picture)
        assert problem.operator.input_shape == (3, size, size) and problem.truth is None


def test_given_sigma_is_taken_and_a_missing_one_is_said(picture: torch.Tensor) -> None:
    task = tasks.load("denoise")
    rounding = 1 / 255**2 / 12
    noisy = (picture + 0.05 * torch.randn(picture.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    assert task.measured(noisy, sigma=0.05).sigma == 0.05
    fixed = task.measured(noisy)
    assert fixed.sigma == pytest.approx(25 / 255) and any("the task's own" in note for note in fixed.recipe["notes"])
    estimated = task.measured(noisy, sigma="estimate")
    assert estimated.sigma == pytest.approx(0.05, rel=0.4) and any("estimated" in n for n in estimated.recipe["notes"])
    stored = tasks.load("sr4x").measured(noisy)
    assert stored.sigma == pytest.approx(rounding**0.5)


def test_the_estimated_sigma_of_a_flat_picture_is_its_noise() -> None:
    flat = 0.5 + 0.07 * torch.randn(1, 3, 96, 96, generator=torch.Generator().manual_seed(1))
    assert measurement.estimate_sigma(flat) == pytest.approx(0.07, rel=0.05)


def test_a_mask_is_found_where_pixels_are_exactly_zero(picture: torch.Tensor) -> None:
    task = tasks.load("inpaint-random")
    simulated = task.problem(picture * 0.9 + 0.05)
    problem = task.measured(simulated.y)
    there = simulated.operator.observed.expand(simulated.y.shape)[0, 0]
    assert torch.equal(problem.operator.observed.expand(problem.y.shape)[0, 0], there)
    assert any("exactly 0" in note for note in problem.recipe["notes"])
    with pytest.raises(BadInput, match="--mask"):
        task.measured(picture * 0.9 + 0.05)


def test_what_stands_in_a_hole_does_not_matter(picture: torch.Tensor) -> None:
    mask = torch.ones(64, 64)
    mask[20:40, 20:40] = 0
    spoilt = picture.clone()
    spoilt[:, 20:40, 20:40] = float("nan")
    problem = tasks.load("inpaint-box").measured(spoilt, mask=mask)
    assert torch.equal(problem.y[0], picture * mask)


def test_a_kernel_of_ones_own_is_normalised_and_survives_the_recipe(picture: torch.Tensor) -> None:
    kernel = torch.ones(5, 5) * 3
    problem = tasks.load("deblur-gaussian").measured(picture, kernel=kernel, sigma=0.02)
    flat = torch.full((1, 3, 64, 64), 0.5)
    assert float((problem.operator(flat) - 0.5).abs().max()) < 1e-5
    recipe = dict(problem.recipe or {})
    again = tasks.rebuild(recipe, problem.y, recipe.pop("arrays"))
    assert torch.equal(again.operator(problem.y), problem.operator(problem.y))


# -- baselines ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", tasks.names())
def test_every_task_has_a_baseline_that_runs(name: str, picture: torch.Tensor) -> None:
    task = tasks.load(name)
    problem = task.problem(picture[:, :32, :32])
    estimate = task.baseline(problem)
    assert estimate.shape == problem.truth.shape and bool(torch.isfinite(estimate).all())


def test_the_bicubic_baseline_is_matlab_enlargement_of_y(picture: torch.Tensor) -> None:
    problem = tasks.load("sr2x").problem(picture)
    expected = operators.resampling.matrices.resize(problem.y, size=(64, 64)).clamp(0, 1)
    assert torch.equal(restore.solve(problem, solver="bicubic").estimate, expected)


def test_the_biharmonic_baseline_keeps_what_was_measured_and_is_exact_on_a_plane() -> None:
    rows, columns = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    plane = (0.2 + 0.01 * rows + 0.008 * columns)[None].expand(3, -1, -1)
    problem = tasks.load("inpaint-random").problem(plane)
    filled = restore.solve(problem, solver="biharmonic").estimate
    observed = problem.operator.observed.expand(problem.y.shape)
    assert torch.equal(filled[observed], problem.y[observed])
    # The bilaplacian of a plane is zero; boundary stencils of the library leave a little.
    assert float((filled - problem.truth).abs().max()) < 0.05


def test_a_baseline_that_does_not_fit_says_so(picture: torch.Tensor) -> None:
    problem = tasks.load("cs4x").problem(picture)
    for name in ("measurement", "biharmonic"):
        with pytest.raises(BadInput, match="another baseline"):
            restore.solve(problem, solver=name)


def test_restore_gives_the_task_table_as_an_attribute() -> None:
    assert restore.tasks.load("sr4x").version == 1
