"""Operators from functions, matrices, SciPy and deepinv, and back."""

from __future__ import annotations

import copy
import pickle
import sys

import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.linalg
import torch

import operators
from operators import BadInput, BadType, Downsample, MissingExtra
from operators.core.base import LinearOperator
from operators.core.interop import to_dense

RNG = np.random.default_rng(2)
SHAPE = (2, 3, 4)
M = RNG.standard_normal((10, 24))
SPARSE = scipy.sparse.random(10, 24, density=0.2, random_state=np.random.default_rng(3))
COMPLEX = RNG.standard_normal((10, 24)) + 1j * RNG.standard_normal((10, 24))


def fourier(x):
    return torch.fft.fft2(x, norm="ortho")


MADE = {
    "function-with-adjoint": operators.from_function(
        lambda x: torch.roll(x, 1, -1), lambda y: torch.roll(y, -1, -1), input_shape=SHAPE
    ),
    "function-by-backward-pass": operators.from_function(lambda x: x.cumsum(-1)[..., ::2], input_shape=SHAPE),
    "real-to-complex-function": operators.from_function(fourier, input_shape=SHAPE),
    "complex-function": operators.from_function(fourier, input_shape=SHAPE, complex_input=True),
    "dense": operators.from_matrix(M, input_shape=SHAPE),
    "tall": operators.from_matrix(M.T, input_shape=(10,), output_shape=SHAPE),
    "torch": operators.from_matrix(torch.from_numpy(M).float(), input_shape=SHAPE, output_shape=(5, 2)),
    "sparse": operators.from_matrix(SPARSE, input_shape=SHAPE),
    "csr": operators.from_matrix(SPARSE.tocsr(), input_shape=SHAPE),
    "complex-matrix-on-real-pictures": operators.from_matrix(COMPLEX, input_shape=SHAPE),
    "complex-matrix": operators.from_matrix(COMPLEX, input_shape=SHAPE, complex_input=True),
    "scipy": operators.from_scipy(scipy.sparse.linalg.aslinearoperator(M), input_shape=SHAPE, output_shape=(2, 5)),
    "scipy-complex": operators.from_scipy(COMPLEX, input_shape=SHAPE),
}


@pytest.fixture(params=MADE, ids=str)
def made(request):
    return MADE[request.param]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("positive", [False, True])
def test_adjoint_passes_the_dot_test(laws, made, dtype, positive):
    laws.adjoint_passes_the_dot_test(made, dtype, positive=positive)


@pytest.mark.parametrize(
    "law",
    [
        "map_is_linear",
        "backward_is_the_adjoint",
        "norm_is_the_largest_singular_value",
        "batch_of_three_equals_each_alone",
        "empty_batch_gives_empty_batch",
        "memory_layout_does_not_matter",
        "wrong_inputs_are_refused",
        "pinv_is_a_generalised_inverse",
    ],
)
def test_made_operators_keep_the_laws(laws, made, law):
    getattr(laws, law)(made)


def test_check_finds_no_fault(made):
    assert str(operators.check(made)) == "no fault found"


@pytest.mark.parametrize("name", ["dense", "tall", "complex-matrix"])
def test_dense_matrices_have_a_decomposition(laws, name):
    laws.svd_rebuilds_the_operator(MADE[name])
    laws.solve_solves(MADE[name], torch.float64)


def test_matrices_act_on_row_major_pictures(laws):
    assert torch.allclose(laws.dense(MADE["dense"]), torch.from_numpy(M))
    assert torch.allclose(laws.dense(MADE["sparse"]), torch.from_numpy(SPARSE.toarray()))
    assert torch.allclose(laws.dense(MADE["scipy"]), torch.from_numpy(M))


def test_matrix_operators_are_copied_pickled_and_moved(laws):
    for name in ("dense", "sparse", "complex-matrix"):
        MADE[name].norm()
        x = laws.picture(MADE[name])
        for other in (copy.deepcopy(MADE[name]), pickle.loads(pickle.dumps(MADE[name]))):
            assert torch.equal(other.to(torch.float64)(x), MADE[name](x))


def test_output_shape_is_found_by_one_call():
    assert MADE["function-by-backward-pass"].output_shape == (2, 3, 2)
    assert MADE["real-to-complex-function"].complex_output


def test_a_matrix_that_does_not_fit_is_refused_with_both_sizes():
    with pytest.raises(BadInput, match=r"10 x 24.*10 x 12"):
        operators.from_matrix(M, input_shape=(3, 4))
    with pytest.raises(BadInput, match=r"10 x 24"):
        operators.from_scipy(M, input_shape=(3, 4))
    with pytest.raises(BadInput, match="2"):
        operators.from_matrix(M[0], input_shape=(24,))


def test_functions_that_do_not_fit_are_refused():
    with pytest.raises(BadInput, match=r"\(2, 3, 4\).*\(7,\)"):
        operators.from_function(lambda x: x, input_shape=SHAPE, output_shape=(7,))
    with pytest.raises(BadType, match="tuple"):
        operators.from_function(lambda x: (x, x), input_shape=SHAPE)
    with pytest.raises(BadInput, match="output_shape"):
        operators.from_function(lambda x: x.sum(), input_shape=SHAPE)


def test_adjoint_by_backward_pass_works_under_inference_mode(laws):
    operator = MADE["function-by-backward-pass"]
    with torch.inference_mode():
        inside = operator.adjoint(laws.measurement(operator))
    laws.same(inside.clone(), operator.adjoint(laws.measurement(operator)))


def test_scipy_solves_with_our_operators(laws):
    a = Downsample((1, 8, 8), factor=2)
    wrapped = a.as_scipy()
    assert wrapped.shape == (16, 64) and wrapped.dtype == np.float64
    dense = laws.dense(a).numpy()
    assert np.allclose(wrapped @ np.eye(64), dense) and np.allclose(wrapped.H @ np.eye(16), dense.T)
    y = RNG.standard_normal(16)
    solution = scipy.sparse.linalg.lsqr(wrapped, y, atol=1e-14, btol=1e-14)[0]
    assert np.allclose(solution, a.pinv(torch.from_numpy(y).reshape(1, 1, 4, 4)).flatten().numpy(), atol=1e-8)


def test_complex_operators_go_to_scipy(laws):
    wrapped = MADE["complex-matrix"].as_scipy()
    x = laws.picture(MADE["complex-matrix"])[0].flatten().numpy()
    assert np.allclose(wrapped @ x, COMPLEX @ x)
    assert np.allclose(wrapped.H @ (COMPLEX @ x), COMPLEX.conj().T @ (COMPLEX @ x))


def test_there_and_back_through_scipy_is_the_same_operator(laws):
    a = Downsample((1, 6, 9), factor=3)
    back = operators.from_scipy(a.as_scipy(), input_shape=a.input_shape, output_shape=a.output_shape)
    laws.same(back(laws.picture(a)), a(laws.picture(a)))
    laws.same(back.adjoint(laws.measurement(a)), a.adjoint(laws.measurement(a)))


def test_dense_form_of_a_large_operator_is_refused():
    assert torch.allclose(to_dense(MADE["dense"]), torch.from_numpy(M))
    with pytest.raises(BadInput, match="12288"):
        to_dense(Downsample((3, 64, 64)))


class StandIn(torch.nn.Module):
    """The part of deepinv's LinearPhysics that is read."""

    def __init__(self):
        super().__init__()
        self.img_size = SHAPE
        self.register_buffer("weights", torch.arange(1.0, 5.0))

    def A(self, x, **kwargs):
        return x * self.weights

    def A_adjoint(self, y, **kwargs):
        return y * self.weights


class CurvedStandIn(torch.nn.Module):
    def A(self, x, **kwargs):
        return torch.sin(x)


def test_a_physics_object_becomes_a_linear_operator(laws):
    a = operators.from_deepinv(StandIn())
    assert isinstance(a, LinearOperator) and a.input_shape == SHAPE
    assert [name for name, _ in a.named_buffers()] == ["physics.weights"]
    laws.adjoint_passes_the_dot_test(a, torch.float64, positive=True)
    laws.copies_equal_the_original(a)


def test_a_physics_object_without_adjoint_becomes_a_nonlinear_operator(laws):
    a = operators.from_deepinv(CurvedStandIn(), input_shape=SHAPE)
    assert not a.is_linear
    laws.derivatives_match_finite_differences(a)


def test_unfit_physics_objects_are_refused():
    with pytest.raises(BadInput, match="img_size"):
        operators.from_deepinv(CurvedStandIn())
    with pytest.raises(BadType, match="method A"):
        operators.from_deepinv(object(), input_shape=SHAPE)


def test_without_deepinv_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "deepinv", None)
    with pytest.raises(MissingExtra, match=r"restore\[peers\]"):
        Downsample((1, 8, 8)).as_deepinv()


@pytest.mark.filterwarnings("ignore")
def test_there_and_back_through_deepinv_is_the_same_operator(laws):
    pytest.importorskip(
        "deepinv", reason="deepinv is not installed: pip install 'restore[peers]'", exc_type=ImportError
    )
    a = Downsample((1, 8, 8), factor=2)
    physics = a.as_deepinv()
    x, y = laws.picture(a), laws.measurement(a)
    laws.same(physics.A(x), a(x))
    laws.same(physics.A_adjoint(y), a.adjoint(y))
    back = operators.from_deepinv(physics)
    laws.same(back(x), a(x))
    laws.adjoint_passes_the_dot_test(back, torch.float64, positive=True)


@pytest.mark.filterwarnings("ignore")
def test_a_physics_of_deepinv_becomes_an_operator(laws):
    deepinv = pytest.importorskip(
        "deepinv", reason="deepinv is not installed: pip install 'restore[peers]'", exc_type=ImportError
    )
    kernel = torch.rand(1, 1, 3, 3, generator=torch.Generator().manual_seed(0))
    blur = deepinv.physics.BlurFFT(img_size=(1, 8, 9), filter=kernel / kernel.sum())
    a = operators.from_deepinv(blur)
    assert a.input_shape == (1, 8, 9)
    laws.adjoint_passes_the_dot_test(a, torch.float32, positive=True)
