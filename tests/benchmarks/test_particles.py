"""Particle samplers come nearer to the exact posterior as particles grow; their ensembles keep pictures apart."""

from __future__ import annotations

import pytest
import torch

from benchmarks.studies import particles
from operators.common.randomness import NoiseSource
from operators.core.identity import Identity
from operators.noise import Gaussian
from restore.problem import Problem
from restore.solvers.parts.particles import ParticleEnsemble


@pytest.mark.parametrize("name", ["mcg-diff", "afdps"])
def test_error_of_mean_and_covariance_falls_with_particles(name):
    """16 particles against 256: a slope of -1/2 is a quarter; what few steps leave as bias makes it less."""
    settings = {**particles.SOLVERS[name], "steps": 200}
    few, many = (particles.errors(name, size, 8, settings) for size in (16, 256))
    slopes = [particles.slope((16, 256), (a, b)) for a, b in zip(few, many, strict=True)]
    assert -0.8 < slopes[0] < -0.25
    assert -0.8 < slopes[1] < -0.25


def test_slope_is_that_of_a_power_law():
    assert particles.slope((10, 100, 1000), [3 * n**-0.5 for n in (10, 100, 1000)]) == pytest.approx(-0.5)


def _ensemble() -> ParticleEnsemble:
    """Two pictures, three copies of each, four particles for each copy."""
    problem = Problem(torch.zeros(2, 1, 2, 2), Identity((1, 2, 2)), Gaussian(sigma=0.1), image_ids=("a", "b"))
    return ParticleEnsemble(problem.repeated(3), 4)


def test_ancestors_are_of_the_same_picture():
    ensemble = _ensemble()
    picture = ensemble.spread(torch.arange(6) % 2)
    noise = NoiseSource(0, ("a", "b") * 3, sample=[0, 0, 1, 1, 2, 2])
    rows = ensemble.ancestors(torch.zeros(24), noise)
    assert torch.equal(picture[rows], picture)
    assert len(set(rows.tolist())) > 8


def test_all_weight_on_one_particle_makes_it_everybodys_ancestor_and_the_effective_size_one():
    ensemble = _ensemble()
    weights = torch.full((24,), -1e4)
    weights[[5, 13]] = 0.0  # entry 1 is picture b, entry 3 too
    weights[[0]] = 0.0
    effective = ensemble.effective(weights)
    assert effective.tolist() == pytest.approx([1 / 12, 2 / 12])
    noise = NoiseSource(0, ("a", "b") * 3, sample=[0, 0, 1, 1, 2, 2])
    rows = ensemble.ancestors(weights, noise)
    picture = ensemble.spread(torch.arange(6) % 2)
    assert set(rows[picture == 0].tolist()) == {0} and set(rows[picture == 1].tolist()) == {5, 13}


def test_the_weighted_mean_is_that_of_the_ensemble():
    ensemble = _ensemble()
    rows = torch.arange(24.0, dtype=torch.float64).reshape(24, 1)
    mean = ensemble.mean(rows, torch.zeros(24))
    picture = ensemble.spread(torch.arange(6) % 2)
    assert mean.flatten().tolist() == pytest.approx([float(rows[picture == k % 2].mean()) for k in range(6)])
