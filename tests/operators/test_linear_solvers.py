"""Krylov methods against dense solutions, one batch entry at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from operators import BadInput, Diverged
from operators.core.interop import from_matrix
from operators.core.linear_solvers import conjugate_gradients, least_squares, spectral_norm

RNG = np.random.default_rng(1)


def spectrum(values) -> torch.Tensor:
    """A symmetric matrix with these eigenvalues."""
    q, _ = np.linalg.qr(RNG.standard_normal((len(values), len(values))))
    return torch.from_numpy(q * np.asarray(values) @ q.T)


CONDITIONS = (1.0, 1e2, 1e5)
MATRICES = torch.stack([spectrum(np.geomspace(1, 1 / c, 12)) for c in CONDITIONS])
RHS = torch.from_numpy(RNG.standard_normal((3, 12)))


def apply(x: torch.Tensor) -> torch.Tensor:
    return torch.einsum("bij,bj->bi", MATRICES.to(x.dtype), x)


def test_every_picture_of_a_batch_equals_its_dense_solution():
    solution = conjugate_gradients(apply, RHS)
    wanted = torch.linalg.solve(MATRICES, RHS)
    assert solution.converged and solution.residual <= 1e-12
    for got, true, condition in zip(solution.x, wanted, CONDITIONS, strict=True):
        assert torch.linalg.vector_norm(got - true) <= 1e-11 * condition * torch.linalg.vector_norm(true)


def test_single_precision_stops_at_its_own_tolerance():
    matrix = MATRICES[1].float()
    solution = conjugate_gradients(lambda x: x @ matrix, RHS.float())
    assert solution.x.dtype == torch.float32 and solution.converged
    # Condition 100: rounding of the solution shows up 100 times larger in the residual.
    assert torch.allclose(solution.x @ matrix, RHS.float(), atol=1e-4)


def test_a_picture_does_not_depend_on_harder_neighbours():
    alone = conjugate_gradients(lambda x: x @ MATRICES[1], RHS[1:2]).x
    together = conjugate_gradients(apply, RHS).x[1:2]
    assert torch.allclose(alone, together, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("picture", [0, 1])  # the third is so ill-conditioned that rounding alone moves it
def test_a_picture_that_has_reached_a_coarse_tolerance_stays_where_it_is(picture):
    """At a coarse tolerance any further step, whole or partial, would be seen."""
    matrix = MATRICES[picture]
    alone = conjugate_gradients(lambda x: x @ matrix, RHS[picture : picture + 1], rtol=0.1).x
    together = conjugate_gradients(apply, RHS, rtol=0.1).x[picture : picture + 1]
    assert torch.allclose(alone, together, rtol=1e-9, atol=1e-9)


def test_a_preconditioner_saves_iterations():
    diagonal = torch.from_numpy(np.geomspace(1, 1e5, 200))
    rhs = torch.ones(1, 200, dtype=torch.float64)
    plain = conjugate_gradients(lambda x: diagonal * x, rhs)
    helped = conjugate_gradients(lambda x: diagonal * x, rhs, preconditioner=lambda r: r / (diagonal * 1.1))
    assert helped.converged and helped.iterations <= 2 < plain.iterations
    assert torch.allclose(helped.x, 1 / diagonal[None])


def test_a_start_at_the_solution_costs_no_iteration():
    wanted = torch.linalg.solve(MATRICES[:2], RHS[:2])
    solution = conjugate_gradients(
        lambda x: torch.einsum("bij,bj->bi", MATRICES[:2], x), RHS[:2], start=wanted, rtol=1e-9
    )
    assert solution.iterations == 0 and torch.equal(solution.x, wanted)


def test_complex_hermitian_systems_are_solved():
    half = torch.from_numpy(RNG.standard_normal((8, 8)) + 1j * RNG.standard_normal((8, 8)))
    matrix = half @ half.mH + torch.eye(8)
    rhs = torch.from_numpy(RNG.standard_normal((2, 8)) + 1j * RNG.standard_normal((2, 8)))
    solution = conjugate_gradients(lambda x: x @ matrix.mT, rhs)
    assert torch.allclose(solution.x, torch.linalg.solve(matrix, rhs.mT).mT)


def test_a_singular_consistent_system_gets_its_minimum_norm_solution():
    matrix = spectrum([1.0, 0.5, 0.2, 0.0, 0.0])
    rhs = (matrix @ torch.ones(5, dtype=torch.float64))[None]
    solution = conjugate_gradients(lambda x: x @ matrix, rhs)
    assert torch.allclose(solution.x[0], torch.linalg.pinv(matrix, rtol=1e-9) @ rhs[0], atol=1e-9)


def test_an_unreachable_tolerance_is_reported():
    solution = conjugate_gradients(apply, RHS, iterations=3)
    assert not solution.converged and solution.iterations == 3 and solution.residual > 1e-12


def test_zero_right_hand_side_has_zero_solution_at_once():
    solution = conjugate_gradients(apply, torch.zeros(3, 12))
    assert solution.converged and solution.iterations == 0 and not solution.x.any()


def test_zero_pictures_beside_others_stay_zero():
    rhs = RHS.clone()
    rhs[0] = 0
    solution = conjugate_gradients(apply, rhs)
    assert solution.converged and not solution.x[0].any()


def test_an_empty_batch_is_solved():
    assert conjugate_gradients(lambda x: x, torch.zeros(0, 4)).x.shape == (0, 4)


@pytest.mark.parametrize("size", [1e-8, 1.0, 1e8])
def test_an_indefinite_map_is_detected_at_any_scale(size):
    matrix = size * spectrum([1.0, 0.5, -0.5, -1.0])
    with pytest.raises(Diverged, match=r"operators\.check"):
        conjugate_gradients(lambda x: x @ matrix, RHS[:1, :4])


@pytest.mark.parametrize("size", [1e-12, 1e12])
def test_large_and_small_maps_are_not_taken_for_indefinite(size):
    solution = conjugate_gradients(lambda x: size * (x @ MATRICES[1].float()), RHS[:1].float())
    assert solution.converged


def test_nan_is_never_returned():
    with pytest.raises(Diverged, match="finite"):
        conjugate_gradients(lambda x: x, torch.full((1, 3), math.nan))


def test_zero_iterations_are_refused():
    with pytest.raises(BadInput, match="iterations is 0"):
        conjugate_gradients(apply, RHS, iterations=0)


def test_least_squares_gives_the_minimum_norm_solution():
    wide, tall = RNG.standard_normal((5, 9)), RNG.standard_normal((9, 5))
    for matrix in (wide, tall):
        operator = from_matrix(matrix, input_shape=(matrix.shape[1],))
        y = torch.from_numpy(RNG.standard_normal((2, matrix.shape[0])))
        solution = least_squares(operator, y, rtol=1e-12).x
        assert torch.allclose(solution, y @ torch.linalg.pinv(torch.from_numpy(matrix)).mT, atol=1e-9)


def test_spectral_norm_equals_the_dense_one():
    for shape in ((30, 20), (20, 30), (1, 7)):
        matrix = RNG.standard_normal(shape)
        operator = from_matrix(matrix, input_shape=(shape[1],))
        # Lanczos needs at most as many steps as there are unknowns.
        assert spectral_norm(operator) == pytest.approx(np.linalg.norm(matrix, 2), rel=1e-9)


def test_spectral_norm_resolves_clustered_singular_values():
    operator = from_matrix(np.diag(np.linspace(0.99, 1, 300)), input_shape=(300,))
    assert spectral_norm(operator) == pytest.approx(1, rel=1e-4)


def test_spectral_norm_of_zero_is_zero():
    assert spectral_norm(from_matrix(np.zeros((3, 4)), input_shape=(4,))) == 0


def test_spectral_norm_of_a_complex_matrix():
    matrix = RNG.standard_normal((6, 8)) + 1j * RNG.standard_normal((6, 8))
    operator = from_matrix(matrix, input_shape=(8,), complex_input=True)
    assert spectral_norm(operator) == pytest.approx(np.linalg.norm(matrix, 2), rel=1e-9)


def test_solve_takes_one_rho_per_picture_and_refuses_bad_ones(laws):
    matrix = RNG.standard_normal((5, 9))
    operator = from_matrix(matrix, input_shape=(9,))
    rhs, dense = laws.picture(operator), torch.from_numpy(matrix.T @ matrix)
    for rho in (0.7, torch.tensor([0.7, 0.01])):
        levels = torch.as_tensor(rho, dtype=torch.float64).expand(2)
        wanted = torch.stack(
            [torch.linalg.solve(dense + r * torch.eye(9), b) for r, b in zip(levels, rhs, strict=True)]
        )
        assert torch.allclose(operator.solve(rhs, rho), wanted, atol=1e-8)
    for bad in (-1.0, math.inf, math.nan, torch.tensor([1.0, 2.0, 3.0])):
        with pytest.raises(BadInput, match="rho"):
            operator.solve(rhs, bad)


def test_negative_curvature_is_the_maps_fault_early_and_that_of_the_tolerance_late():
    exact = torch.tensor([3.0, 2.0, 1.0, 0.0], dtype=torch.float64)
    rough = exact - torch.tensor([0, 0, 0, 1e-6], dtype=torch.float64)  # as by transforms of a tolerance of 1e-6
    rhs = torch.tensor([[1.0, 1.0, 1.0, 1e-5]], dtype=torch.float64)
    assert conjugate_gradients(lambda x: rough * x, rhs, rtol=1e-4).converged
    with pytest.raises(Diverged, match=r"rtol = 1\.0e-12.*not exact enough.*give rtol of at least"):
        conjugate_gradients(lambda x: rough * x, rhs, rtol=1e-12)
    with pytest.raises(Diverged, match="adjoint"):
        conjugate_gradients(lambda x: -exact * x, rhs, rtol=1e-12)
