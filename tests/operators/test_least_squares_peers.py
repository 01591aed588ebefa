"""Our least squares against dense algebra on the problems that stand beside a peer, and how the peer is shown."""

from __future__ import annotations

import pytest

from benchmarks.studies import least_squares
from benchmarks.studies.least_squares import OURS, PEER, PROBLEMS, RIGHT, Distance, distances, questions, table


def test_ours_equal_dense_algebra_on_every_problem() -> None:
    found = [one for question in questions() for one in distances(question, [OURS])]
    assert len(found) == 2 * len(PROBLEMS)
    assert max(one.distance for one in found) <= 1e-6


def test_symmetric_and_unsymmetric_square_operators_are_among_the_problems() -> None:
    square = {q.name: q.operator for q in questions() if q.operator.input_shape == q.operator.output_shape}
    dense = {name: least_squares.to_dense(operator) for name, operator in square.items()}
    symmetric = {name for name, matrix in dense.items() if matrix.allclose(matrix.mT, atol=1e-12)}
    assert set(square) - symmetric == {"camera shake"} and {"identity", "mask", "symmetric blur"} <= symmetric


def test_a_peer_that_answers_another_question_is_shown_with_its_factor() -> None:
    rows = [Distance("mask", 0.1, solver, 1e-9, 1.0) for solver in least_squares.SOLVERS[:-1]]
    text = table([*rows, Distance("mask", 0.1, least_squares.SOLVERS[-1], 0.5, 1.5)])
    assert "| mask | rho | 1e-09 |" in text and text.rstrip().endswith("**5e-01** (1.5) |")


def test_the_peer_leaves_the_penalty_out_where_shapes_agree() -> None:
    pytest.importorskip("deepinv")
    question = next(q for q in questions() if q.name == "mask" and q.rho)
    ours, right, other = distances(question, [OURS, f"{PEER} lsqr", f"{PEER} minres"])
    assert max(ours.distance, right.distance) <= 1e-6
    assert other.distance > RIGHT
