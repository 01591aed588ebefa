"""A problem knows its likelihood, its units and what was observed."""

from __future__ import annotations

import pytest
import torch

import operators
from operators import BadInput, BadType
from restore.problem import Problem

Noise = operators.noise


def blurred(noise: Noise.NoiseModel | None = None) -> Problem:
    x = torch.rand(2, 3, 9, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    a = operators.Blur((3, 9, 8), boundary="zero")
    return Problem(a(x), a, noise or Noise.Gaussian(sigma=0.1), truth=x)


def test_posing_a_linear_gaussian_problem_moves_the_measurement_and_sigma() -> None:
    problem = blurred()
    posed = problem.posed(0.5, 0.25)
    z = (problem.truth - 0.5) / 0.25
    # Zero boundaries: A(2x - 1) is not 2A(x) - 1, so only this conversion leaves no residual.
    torch.testing.assert_close(posed.residual(z), torch.zeros_like(posed.y), rtol=0, atol=1e-12)
    assert posed.sigma == pytest.approx(0.4)
    torch.testing.assert_close(posed.truth, z)


def test_posing_leaves_the_likelihood_of_other_noise_unchanged() -> None:
    problem = blurred(Noise.Poisson(peak=40.0))
    posed = problem.posed(0.5, 0.5)
    x = problem.truth * 0.9 + 0.05
    torch.testing.assert_close(posed.log_likelihood((x - 0.5) / 0.5), problem.log_likelihood(x))


def test_the_gradient_of_the_likelihood_is_the_adjoint_of_the_whitened_residual() -> None:
    problem = blurred()
    x = torch.rand_like(problem.truth)
    expected = problem.linear.adjoint(problem.residual(x)) / 0.01
    torch.testing.assert_close(problem.likelihood_gradient(x), expected)


def test_chi_square_is_one_for_the_truth_and_counts_observed_entries_only() -> None:
    a = operators.Mask((1, 64, 64), missing=0.7)
    x = torch.rand(1, 1, 64, 64)
    noise = Noise.Gaussian(sigma=0.05)
    source = operators.NoiseSource(0, ["x"])
    y = torch.where(a.observed, noise.sample(a(x), source), torch.zeros(()))
    problem = Problem(y, a, noise, truth=x)
    # 1229 observed entries: the standard deviation of the mean square is sqrt(2 / 1229) = 0.04.
    assert problem.chi2(x) == pytest.approx(1.0, abs=0.16)
    assert problem.observed_count == round(0.3 * 64 * 64)


def test_without_noise_there_is_no_chi_square() -> None:
    problem = blurred(Noise.Gaussian(sigma=0.0))
    assert problem.chi2(problem.truth) is None


def test_nan_in_the_measurement_is_refused_with_count_and_place() -> None:
    y = torch.rand(1, 1, 4, 4)
    y[0, 0, 2, 3] = float("nan")
    with pytest.raises(BadInput, match=r"1 NaN.*\(0, 0, 2, 3\)"):
        Problem(y, operators.Identity((1, 4, 4)), Noise.Gaussian(sigma=0.1))


def test_a_measurement_of_the_wrong_shape_is_refused_with_both_shapes() -> None:
    with pytest.raises(BadInput, match=r"\(1, 1, 4, 5\).*B x 1 x 4 x 4"):
        Problem(torch.rand(1, 1, 4, 5), operators.Identity((1, 4, 4)), Noise.Gaussian(sigma=0.1))


def test_parts_of_the_wrong_kind_are_refused() -> None:
    y = torch.rand(1, 1, 4, 4)
    with pytest.raises(BadType, match="operators.Operator"):
        Problem(y, lambda x: x, Noise.Gaussian(sigma=0.1))  # type: ignore[arg-type]
    with pytest.raises(BadType, match="operators.noise"):
        Problem(y, operators.Identity((1, 4, 4)), 0.1)  # type: ignore[arg-type]
    with pytest.raises(BadType, match="floating"):
        Problem(torch.ones(1, 1, 4, 4, dtype=torch.uint8), operators.Identity((1, 4, 4)), Noise.Gaussian(sigma=0.1))


def test_the_image_id_is_that_of_the_truth_alone() -> None:
    problem = blurred()
    alone = Problem(problem.y[1:], problem.operator, problem.noise, truth=problem.truth[1:])
    assert alone.image_ids == problem.image_ids[1:]


def test_other_noise_has_a_gaussian_stand_in_of_the_same_mean_variance() -> None:
    problem = blurred(Noise.Poisson(peak=25.0))
    stand_in = problem.gaussian()
    assert stand_in.sigma == pytest.approx(float((problem.y / 25).mean((1, 2, 3)).sqrt().mean()), rel=1e-6)
