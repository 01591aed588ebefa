"""The weights that ship: every file has its line and its card, all are small, and those of a task serve it."""

from __future__ import annotations

from pathlib import Path

import pytest

import priors
import restore
from priors.residual.prior import ResidualPrior
from priors.selfsupervised.files import METHODS

ROOT = Path(priors.__file__).parents[1]
FILES = sorted((ROOT / "priors" / "weights").glob("*.safetensors"))
OF_SR4X = [path.stem for path in FILES if path.stem.endswith("-sr4x")]


def test_every_file_is_a_line_of_the_table_and_every_line_a_file_or_learns_from_the_measurement():
    # Imported priors of whoever runs this come after those that ship.
    learning = set(METHODS)
    assert learning <= set(priors.REGISTRY) and not any(name in learning for name in map(str, FILES))
    assert set(priors.REGISTRY) - set(priors.files.store.stored()) - learning == {path.stem for path in FILES}


def test_no_weights_are_over_20_megabytes_and_all_together_stay_under_80():
    assert max(path.stat().st_size for path in FILES) < 20e6
    assert sum(path.stat().st_size for path in FILES) < 80e6


@pytest.mark.parametrize("name", [path.stem for path in FILES])
def test_every_line_has_a_card_and_terms(name):
    assert (ROOT / "docs" / "cards" / "priors" / f"{name}.md").read_text().startswith(f"# {name}")
    assert "research" in (ROOT / "priors" / "weights" / "NOTICE").read_text()


@pytest.mark.parametrize("name", OF_SR4X)
def test_a_prior_of_sr4x_comes_by_name_and_is_what_its_solver_takes(name):
    prior = priors.load(name)
    assert isinstance(prior, ResidualPrior) and prior.name == name and len(prior.sha256) == 64
    task = restore.tasks.load("sr4x")
    takers = [solver for solver in restore.solvers.REGISTRY if task.prior_for(solver) == name]
    assert takers and all(restore.solvers.REGISTRY.load(solver).takes(prior) for solver in takers)


@pytest.mark.parametrize("name", OF_SR4X)
def test_a_prior_of_sr4x_explains_a_photograph_that_it_was_not_trained_on(name):
    import skimage.data

    photograph = restore.read(Path(skimage.data.__file__).parent / "astronaut.png").data
    task = restore.tasks.load("sr4x")
    problem = task.problem(photograph[None, :, 60:156, 180:276].clone(), seed=0)
    solver = next(s for s in restore.solvers.REGISTRY if task.prior_for(s) == name)
    chosen = task.override({"solver.name": solver})
    estimate = restore.solve(problem, chosen.prior, chosen.solver_for(), seed=0).estimate
    enlarged = task.baseline(problem)

    def misfit(picture):
        return float((problem.operator(picture) - problem.y).square().mean().sqrt())

    def error(picture):
        return float((picture - problem.truth).square().mean().sqrt())

    # A draw errs by up to sqrt(2) of what the mean does, which is about that of bicubic; y it must explain far better.
    assert misfit(estimate) < 0.5 * misfit(enlarged)
    assert error(estimate) < 1.2 * error(enlarged)
