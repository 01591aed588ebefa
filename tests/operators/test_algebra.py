"""Composition, sums, stacks and packed forms against dense algebra."""

from __future__ import annotations

import copy
import pickle
import warnings

import numpy as np
import pytest
import torch

import operators
from operators import BadInput, BadType
from operators.core.interop import Function, from_function, from_matrix
from operators.core.linear import Adjoint, Composed, Select

SHAPE = (2, 3, 4)
RNG = np.random.default_rng(0)


def matrix(rows, columns=24, *, is_complex=False):
    values = RNG.standard_normal((rows, columns))
    return values + 1j * RNG.standard_normal((rows, columns)) if is_complex else values


M, N, OUTER = matrix(10), matrix(10), matrix(7, 10)
A = from_matrix(M, input_shape=SHAPE, output_shape=(5, 2))
B = from_matrix(N, input_shape=SHAPE, output_shape=(5, 2))
C = from_matrix(OUTER, input_shape=(5, 2))
COMPLEX_M = matrix(6, is_complex=True)
REAL_TO_COMPLEX = from_matrix(COMPLEX_M, input_shape=SHAPE)
COMPLEX = from_matrix(COMPLEX_M, input_shape=SHAPE, complex_input=True)


class Masked(Composed):
    """A with a mask on its measurements."""

    @property
    def observed(self):
        return torch.arange(10).reshape(5, 2) % 3 != 0


MASKED = Masked(A, operators.from_function(lambda x: x, lambda y: y, input_shape=SHAPE))

COMBINED = {
    "adjoint": A.H,
    "composed": C @ A,
    "sum": A + B,
    "scaled": -2.5 * A,
    "stack": operators.stack([A, C @ A, B]),
    "real-plus-complex": from_matrix(matrix(6), input_shape=SHAPE) + REAL_TO_COMPLEX,
    "stack-of-real-and-complex": operators.stack([A, REAL_TO_COMPLEX]),
    "complex-after-real": from_matrix(matrix(4, 6, is_complex=True), input_shape=(6,), complex_input=True)
    @ from_matrix(matrix(6), input_shape=SHAPE),
    "complex": 3 * COMPLEX,
    "complex-adjoint": COMPLEX.H,
    "complex-gram": COMPLEX.H @ COMPLEX,
    "packed": MASKED.compact(),
}


@pytest.fixture(params=COMBINED, ids=str)
def combined(request):
    return COMBINED[request.param]


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_adjoints_of_combinations_pass_the_dot_test(laws, combined, dtype, positive):
    laws.adjoint_passes_the_dot_test(combined, dtype, positive=positive)


@pytest.mark.parametrize(
    "law",
    [
        "map_is_linear",
        "backward_is_the_adjoint",
        "norm_is_the_largest_singular_value",
        "batch_of_three_equals_each_alone",
        "empty_batch_gives_empty_batch",
        "memory_layout_does_not_matter",
        "pinv_is_a_generalised_inverse",
        "pinv_of_zero_is_zero",
        "input_and_global_random_state_stay",
    ],
)
def test_combinations_keep_the_laws(laws, combined, law):
    getattr(laws, law)(combined)


def test_solve_of_combinations_solves(laws, combined):
    laws.solve_solves(combined, torch.float64)


def test_combinations_equal_dense_algebra(laws):
    assert torch.allclose(laws.dense(C @ A), torch.from_numpy(OUTER @ M))
    assert torch.allclose(laws.dense(A + B), torch.from_numpy(M + N))
    assert torch.allclose(laws.dense(-2.5 * A), torch.from_numpy(-2.5 * M))
    assert torch.allclose(laws.dense(-A), torch.from_numpy(-M))
    assert torch.allclose(laws.dense(A.H), torch.from_numpy(M.T))
    assert torch.allclose(laws.dense(operators.stack([A, B])), torch.from_numpy(np.concatenate([M, N])))


def test_adjoint_of_the_adjoint_is_the_operator_itself():
    assert A.H.H is A
    assert isinstance(A.H, Adjoint)


def test_adjoint_of_a_product_is_the_reversed_product(laws):
    assert torch.allclose(laws.dense((C @ A).H), laws.dense(A.H @ C.H))


def test_scaled_operator_keeps_closed_forms(laws):
    laws.svd_rebuilds_the_operator(-2.5 * A)
    assert (-2.5 * A).norm() == pytest.approx(2.5 * A.norm())
    y = laws.measurement(A)
    laws.same((-2.5 * A).pinv(y), A.pinv(y) / -2.5)


def test_zero_times_an_operator_has_zero_pinv_and_solves(laws):
    nothing = 0.0 * A
    assert not nothing.pinv(laws.measurement(A)).any()
    laws.same(nothing.solve(laws.picture(A), 0.5), laws.picture(A) / 0.5)


def test_stack_splits_into_the_shapes_of_its_parts(laws):
    stacked = operators.stack([A, REAL_TO_COMPLEX])
    first, second = stacked.split(stacked(laws.picture(A)))
    laws.same(first, A(laws.picture(A)))
    laws.same(second, REAL_TO_COMPLEX(laws.picture(A)))
    assert not first.is_complex() and second.is_complex()


def test_stack_observes_what_its_parts_observe():
    observed = operators.stack([A, MASKED]).observed
    assert observed is not None
    assert observed[:10].all()
    assert torch.equal(observed[10:], MASKED.observed.flatten())
    assert operators.stack([A, B]).observed is None


def test_sum_observes_what_either_part_observes():
    assert (MASKED + A).observed is None
    assert torch.equal((MASKED + MASKED).observed, MASKED.observed)


def test_compact_packs_the_observed_entries_in_row_major_order(laws):
    packed, y = MASKED.compact(), A(laws.picture(A))
    assert packed.output_shape == (6,)
    laws.same(packed(laws.picture(A)), y.flatten(1)[:, MASKED.observed.flatten()])
    assert A.compact() is A


def test_select_has_closed_forms(laws):
    select = Select((2, 3), keep=torch.tensor([True, False, True]))
    laws.solve_solves(select, torch.float64)
    laws.pinv_is_a_generalised_inverse(select)
    x = laws.picture(select)
    laws.same(select.solve(x, 0.0), torch.where(torch.tensor([True, False, True]), x, 0.0))


def test_packing_nothing_is_refused():
    with pytest.raises(BadInput, match="nothing is observed"):
        Select((2, 3), keep=torch.zeros(2, 3, dtype=torch.bool))


def test_linear_after_nonlinear_is_differentiable(laws):
    curved = A @ Function(torch.sin, input_shape=SHAPE)
    assert not curved.is_linear
    laws.derivatives_match_finite_differences(curved)


def test_first_jvp_under_torch_func_equals_the_operator(laws):
    x, v = laws.picture(A), laws.picture(A, seed=5)
    primal, tangent = _functional_jvp(A, x, v)
    laws.same(primal, A(x))
    laws.same(tangent, A(v))


def _functional_jvp(operator, x, v):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch's own, at the first forward derivative of a process
        return torch.func.jvp(operator, (x,), (v,))


def test_functional_jacobian_is_the_matrix(laws):
    x = laws.picture(A, batch=1)
    jacobian = torch.func.jacrev(A)(x)
    assert torch.allclose(jacobian.reshape(10, 24), torch.from_numpy(M))


def test_gradients_pass_gradcheck_twice(laws):
    small = from_matrix(matrix(3, 4), input_shape=(2, 2))
    x = laws.picture(small).requires_grad_()
    assert torch.autograd.gradcheck(lambda t: small(t) ** 2, x)
    assert torch.autograd.gradgradcheck(lambda t: small(t) ** 2, x)


def test_combinations_are_copied_and_pickled(laws):
    for operator in (C @ A, A + B, 2 * A, operators.stack([A, B]), A.H):
        x = laws.picture(operator)
        for other in (copy.deepcopy(operator), pickle.loads(pickle.dumps(operator))):
            assert torch.equal(other(x), operator(x))


def test_unfit_parts_are_refused_with_both_shapes():
    with pytest.raises(BadInput, match=r"\(5, 2\).*\(2, 3, 4\)"):
        A @ A
    with pytest.raises(BadInput, match=r"\(5, 2\)"):
        A + C
    with pytest.raises(BadInput, match=r"cannot stack"):
        operators.stack([A, C])
    with pytest.raises(BadInput, match="no operators"):
        operators.stack([])
    with pytest.raises(BadType, match="complex values"):
        from_matrix(matrix(2, 6), input_shape=(6,)) @ REAL_TO_COMPLEX
    with pytest.raises(BadType, match="real pictures"):
        operators.stack([A, COMPLEX])


def test_pictures_and_other_things_are_no_operands():
    with pytest.raises(BadType, match=r"Apply an operator with A\(x\)"):
        A @ torch.zeros(1, *SHAPE)
    with pytest.raises(BadType):
        A * torch.zeros(1, *SHAPE)
    with pytest.raises(BadType):
        A * float("nan")
    with pytest.raises(BadType):
        A + 3
    with pytest.raises(BadType):
        operators.stack([A, from_function])
