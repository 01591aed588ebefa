"""The laws of operators, one function each; every function raises AssertionError where the law is broken.

Data are drawn from a generator fixed by the shape, so a failure repeats, and placed where the operator's arrays are.
"""

from __future__ import annotations

import copy
import functools
import pickle
import random
import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from operators import BadInput, BadType, Tape
from operators.core.base import LinearOperator, Operator
from operators.core.linear_solvers import conjugate_gradients, least_squares
from operators.noise import Gaussian
from priors.regularisers.tv import gradient
from restore.problem import Problem
from restore.solvers.classical.tikhonov import Tikhonov

DOT = {torch.float64: 1e-12, torch.float32: 1e-6}  # of |Ax| |y|, the promise of the design
# Relative L2 of quantities that differ by rounding only: a few hundred sums of a few thousand terms each.
ROUNDING = {torch.float64: 1e-11, torch.float32: 2e-5}
CG_PRECISION = {torch.float64: 1e-10, torch.float32: 1e-4}  # of solve: conjugate gradients stop at 1e-12 and 1e-6
DENSE = 1e-6  # relative distance to dense algebra in double precision, the promise of every linear solver
KEPT = 1e-4  # singular values, relative to the largest, that a pseudo-inverse is asked to keep here
STOP = 1e-12  # residual of the normal equations at which Krylov methods stop here
WELL_SEEN = 1e-2  # singular values, relative to the largest, whose squares cost a Krylov method few digits


def placed(a: Operator, device: str) -> Operator:
    """The operator on a device; one without arrays of its own gets an empty one, which tells the laws where it is."""
    if not any(True for _ in a.buffers()):
        a.register_buffer("place", torch.empty(0), persistent=False)
    return a.to(device)


def device_of(a: Operator) -> torch.device:
    return next((buffer.device for buffer in a.buffers()), torch.device("cpu"))


def draw(
    shape: tuple[int, ...], is_complex: bool, dtype: torch.dtype, *, seed: int = 0, positive: bool = False
) -> Tensor:
    values = np.random.default_rng([seed, *shape]).standard_normal((*shape, 2) if is_complex else shape)
    tensor = torch.from_numpy(np.abs(values) if positive else values).to(dtype)
    return torch.complex(tensor[..., 0], tensor[..., 1]) if is_complex else tensor


def picture(
    a: Operator, dtype: torch.dtype = torch.float64, *, batch: int = 2, seed: int = 0, positive: bool = False
) -> Tensor:
    drawn = draw((batch, *a.input_shape), a.complex_input, dtype, seed=seed, positive=positive)
    return drawn.to(device_of(a))


def measurement(
    a: Operator, dtype: torch.dtype = torch.float64, *, batch: int = 2, seed: int = 1, positive: bool = False
) -> Tensor:
    drawn = draw((batch, *a.output_shape), a.complex_output, dtype, seed=seed, positive=positive)
    return drawn.to(device_of(a))


def product(a: Tensor, b: Tensor) -> complex:
    return complex((a.to(torch.complex128).conj() * b.to(torch.complex128)).sum())


def distance(a: Tensor, b: Tensor) -> float:
    assert a.shape == b.shape, f"{tuple(a.shape)} against {tuple(b.shape)}"
    a, b = a.detach(), b.detach()
    size = max(float(torch.linalg.vector_norm(t.to(torch.complex128))) for t in (a, b))
    return float(torch.linalg.vector_norm((a - b).to(torch.complex128))) / size if size else 0.0


def same(a: Tensor, b: Tensor) -> None:
    assert distance(a, b) <= ROUNDING[a.real.dtype], f"relative distance {distance(a, b):.1e}"


def equal(a: Tensor, b: Tensor) -> None:
    """The same bits on the processor; elsewhere sums may be taken in another order each time."""
    if a.device.type == "cpu":
        assert torch.equal(a, b)
    else:
        same(a, b)


def dense(a: LinearOperator) -> Tensor:
    """The real matrix of a linear operator; complex spaces count twice, real parts first."""
    unknowns = int(np.prod(a.input_shape))
    basis = torch.eye(unknowns, dtype=torch.float64, device=device_of(a)).reshape(unknowns, *a.input_shape)
    columns = [_as_real(a(basis + 0j if a.complex_input else basis))]
    if a.complex_input:
        columns.append(_as_real(a(1j * basis)))
    return torch.cat(columns).mT


@functools.lru_cache(maxsize=256)
def matrix(a: LinearOperator) -> Tensor:
    """`dense`, once for all laws of an operator."""
    return dense(a)


@functools.lru_cache(maxsize=256)
def singular_values(a: LinearOperator) -> Tensor:
    """All of them, largest first, by dense algebra."""
    return torch.linalg.svdvals(matrix(a))


def _as_real(y: Tensor) -> Tensor:
    flat = y.flatten(1)
    return torch.cat([flat.real, flat.imag], dim=1) if flat.is_complex() else flat


# -- the map and its adjoint --------------------------------------------------------------------------------------


def adjoint_passes_the_dot_test(a: LinearOperator, dtype: torch.dtype, *, positive: bool) -> None:
    x, y = picture(a, dtype, positive=positive), measurement(a, dtype, positive=positive)
    image, back = a(x), a.adjoint(y)
    gap = product(image, y) - product(x, back)
    # Between a real and a complex space only the real part of the inner product is preserved.
    gap = abs(gap) if a.complex_input and a.complex_output else abs(gap.real)
    size = float(torch.linalg.vector_norm(image)) * float(torch.linalg.vector_norm(y))
    assert gap <= DOT[dtype] * size, f"gap {gap / size:.1e} of |Ax| |y|"


def map_is_linear(a: LinearOperator) -> None:
    x, z = picture(a), picture(a, seed=2)
    same(a(2.5 * x - z), 2.5 * a(x) - a(z))
    assert not a(torch.zeros_like(x)).any()


def shapes_and_types_follow(a: LinearOperator, dtype: torch.dtype) -> None:
    x, y = picture(a, dtype), measurement(a, dtype)
    image, back = a(x), a.adjoint(y)
    assert tuple(image.shape) == (2, *a.output_shape) and image.real.dtype == dtype
    assert tuple(back.shape) == (2, *a.input_shape) and back.real.dtype == dtype
    assert image.is_complex() == a.complex_output and back.is_complex() == a.complex_input


def backward_is_the_adjoint(a: LinearOperator) -> None:
    x, u = picture(a).requires_grad_(), measurement(a).requires_grad_()
    (gradient,) = torch.autograd.grad(a(x), x, u, create_graph=True)
    same(gradient, a.adjoint(u))
    v = picture(a, seed=3)
    (second,) = torch.autograd.grad(gradient, u, v)
    same(second, a(v))


def norm_is_the_largest_singular_value(a: LinearOperator) -> None:
    largest = float(singular_values(a)[0])
    # Lanczos stops after 50 steps, with clustered singular values a little below the limit.
    assert a.norm() == pytest.approx(largest, rel=1e-5)


# -- batches, layouts, side effects -------------------------------------------------------------------------------


def batch_of_three_equals_each_alone(a: Operator) -> None:
    x = picture(a, batch=3)
    same(a(x), torch.cat([a(x[i : i + 1]) for i in range(3)]))
    if isinstance(a, LinearOperator):
        y = measurement(a, batch=3)
        same(a.adjoint(y), torch.cat([a.adjoint(y[i : i + 1]) for i in range(3)]))


def empty_batch_gives_empty_batch(a: Operator) -> None:
    assert tuple(a(picture(a, batch=0)).shape) == (0, *a.output_shape)
    if isinstance(a, LinearOperator):
        y = measurement(a, batch=0)
        assert tuple(a.adjoint(y).shape) == (0, *a.input_shape)
        assert tuple(a.pinv(y).shape) == (0, *a.input_shape)
        assert tuple(a.solve(picture(a, batch=0), 0.5).shape) == (0, *a.input_shape)


def memory_layout_does_not_matter(a: Operator) -> None:
    x = picture(a)
    wanted = a(x)
    strided = torch.stack([x, -x], dim=-1)[..., 0]
    assert not strided.is_contiguous() or strided.numel() <= 1
    same(a(strided), wanted)
    if x.ndim == 4:
        same(a(x.to(memory_format=torch.channels_last)), wanted)
    same(a(x[:1].expand(2, *a.input_shape)), a(x[:1].repeat(2, *[1] * len(a.input_shape))))


def input_and_global_random_state_stay(a: Operator) -> None:
    before = _random_state()
    x = picture(a)
    kept = x.clone()
    a(x)
    if isinstance(a, LinearOperator):
        y = measurement(a)
        kept_y = y.clone()
        a.adjoint(y), a.pinv(y), a.solve(x, 0.5), a.norm()
        assert torch.equal(y, kept_y)
    assert torch.equal(x, kept)
    assert _random_state() == before


def _random_state() -> tuple[bytes, bytes, object]:
    numpy_state = pickle.dumps(np.random.get_state())  # noqa: NPY002 - the global state is what is watched here
    return torch.get_rng_state().numpy().tobytes(), numpy_state, random.getstate()


def wrong_inputs_are_refused(a: Operator) -> None:
    where = device_of(a)
    wrong = draw((1, *a.input_shape[:-1], a.input_shape[-1] + 1), a.complex_input, torch.float64).to(where)
    both = f"{re.escape(str(tuple(wrong.shape)))}.*{' x '.join(map(str, a.input_shape))}"
    with pytest.raises(BadInput, match=both):
        a(wrong)
    with pytest.raises(BadInput):
        a(picture(a)[0])
    with pytest.raises(BadType, match="uint8"):
        a(torch.zeros(1, *a.input_shape, dtype=torch.uint8, device=where))
    if not a.complex_input:
        with pytest.raises(BadType, match="complex"):
            a(picture(a) + 0j)
    if isinstance(a, LinearOperator):
        with pytest.raises(BadInput):
            longer = (1, *a.output_shape[:-1], a.output_shape[-1] + 1)
            a.adjoint(draw(longer, a.complex_output, torch.float64).to(where))


def copies_equal_the_original(a: Operator) -> None:
    x = picture(a)
    wanted = a(x)
    for other in (copy.deepcopy(a), pickle.loads(pickle.dumps(a))):
        equal(other(x), wanted)


def moving_keeps_state(a: Operator) -> None:
    x = picture(a)
    wanted, state = a(x), {name: value.clone() for name, value in a.state_dict().items()}
    moved = copy.deepcopy(a).to("cpu").to(torch.float64).to(device_of(a))
    equal(moved(x), wanted)
    assert moved.state_dict().keys() == state.keys()
    assert all(torch.equal(moved.state_dict()[name], value) for name, value in state.items())


def autocast_and_inference_mode_do_not_matter(a: LinearOperator) -> None:
    x, y = picture(a, torch.float32), measurement(a, torch.float32)
    fresh = copy.deepcopy(a)
    with torch.inference_mode(), torch.autocast(x.device.type, dtype=torch.bfloat16):
        results = [fresh(x), fresh.adjoint(y), fresh.solve(x, 0.5), fresh.pinv(y)]
    for result, wanted in zip(results, [a(x), a.adjoint(y), a.solve(x, 0.5), a.pinv(y)], strict=True):
        assert distance(result, wanted) <= CG_PRECISION[torch.float32]
    leaf = x.clone().requires_grad_()
    fresh.solve(fresh(leaf).abs().sum() * leaf, 0.5).abs().sum().backward()
    assert leaf.grad is not None


# -- closed forms -------------------------------------------------------------------------------------------------


def solve_solves(a: LinearOperator, dtype: torch.dtype) -> None:
    x = picture(a, dtype)
    for rho in (0.3, torch.tensor([0.05, 2.0])):
        solution = a.solve(x, rho)
        column = torch.as_tensor(rho, dtype=dtype, device=x.device).reshape(-1, *[1] * len(a.input_shape))
        assert distance(a.gram(solution) + column * solution, x) <= CG_PRECISION[dtype]


def pinv_is_a_generalised_inverse(a: LinearOperator) -> None:
    """A A+ A = A, with rtol between the rounding of zero singular values and the smallest one that counts."""
    image = a(picture(a))
    if a.svd is None:
        # Conjugate gradients stop at the normal equations: A^H (A A+ y - y) small against A^H y.
        gap = a.adjoint(a(a.pinv(image, rtol=1e-5)) - image)
        assert float(torch.linalg.vector_norm(gap)) <= 2e-5 * float(torch.linalg.vector_norm(a.adjoint(image)))
        return
    singular = singular_values(a)
    singular = singular[singular > 1e-9 * singular[0]] / singular[0]
    smallest = float(singular.min())
    assert distance(a(a.pinv(image, rtol=smallest / 10)), image) <= 1e-9 / smallest


def solve_equals_the_dense_answer(a: LinearOperator) -> None:
    """(A^H A + rho)^-1 r, and the same of A^H y from the side of the measurement, against LU of the normal matrix."""
    m, x, y = matrix(a), picture(a), measurement(a)
    for rho in (0.3, 1e-3):
        normal = m.mT @ m + rho * torch.eye(m.shape[1], dtype=m.dtype, device=m.device)
        close_to_dense(_as_real(a.solve(x, rho)), torch.linalg.solve(normal, _as_real(x).mT).mT)
        close_to_dense(_as_real(a.correction(y, rho)), torch.linalg.solve(normal, m.mT @ _as_real(y).mT).mT)


def pinv_equals_the_dense_answer(a: LinearOperator) -> None:
    """The truncated pseudo-inverse of a closed form; that of conjugate gradients is a least-squares solution."""
    if a.svd is None:
        _solves_least_squares(a, lambda y: a.pinv(y, rtol=STOP))
        return
    y, cut = measurement(a), _widest_gap(singular_values(a))
    close_to_dense(_as_real(a.pinv(y, rtol=cut)), (torch.linalg.pinv(matrix(a), rtol=cut) @ _as_real(y).mT).mT)


def least_squares_equals_the_dense_answer(a: LinearOperator) -> None:
    _solves_least_squares(a, lambda y: least_squares(a, y, rtol=STOP, iterations=2000).x)


def _solves_least_squares(a: LinearOperator, method: Callable[[Tensor], Tensor]) -> None:
    """The picture of least norm behind any y, where the squared condition leaves six digits; else behind such a y as
    only well seen pictures have."""
    m, singular = matrix(a), singular_values(a)
    y, smallest = measurement(a), singular[singular > 1e-9 * singular[0]][-1]
    if STOP * float(singular[0] / smallest) ** 2 > DENSE:
        _, _, right = torch.linalg.svd(m, full_matrices=False)
        right = right[singular >= WELL_SEEN * singular[0]]
        seen = _as_real(picture(a)) @ right.mT @ right
        y = a(_as_picture(seen, a))
    close_to_dense(_as_real(method(y)), (torch.linalg.pinv(m, rtol=1e-9) @ _as_real(y).mT).mT)


def _as_picture(rows: Tensor, a: LinearOperator) -> Tensor:
    """The inverse of `_as_real` for pictures."""
    unknowns = int(np.prod(a.input_shape))
    flat = torch.complex(rows[:, :unknowns], rows[:, unknowns:]) if a.complex_input else rows
    return flat.reshape(-1, *a.input_shape)


def conjugate_gradients_equal_the_dense_answer(a: LinearOperator) -> None:
    """On the normal matrix, and on A + 1 itself where A is self-adjoint and not negative."""
    m, x = matrix(a), picture(a)
    one = torch.eye(m.shape[1], dtype=m.dtype, device=m.device)
    found = conjugate_gradients(lambda v: a.gram(v) + 0.1 * v, x).x
    close_to_dense(_as_real(found), torch.linalg.solve(m.mT @ m + 0.1 * one, _as_real(x).mT).mT)
    if is_symmetric(a):
        found = conjugate_gradients(lambda v: a(v) + 2 * v, x).x
        close_to_dense(_as_real(found), torch.linalg.solve(m + 2 * one, _as_real(x).mT).mT)


def is_symmetric(a: LinearOperator) -> bool:
    m = matrix(a)
    return m.shape[0] == m.shape[1] and bool(torch.allclose(m, m.mT, atol=1e-12))


def tikhonov_equals_the_dense_answer(a: LinearOperator) -> None:
    """argmin |A x - y|^2 + rho |A|^2 |L x|^2 for a given rho, L the identity and the gradient."""
    m, y = matrix(a), measurement(a)
    y = y if a.observed is None else torch.where(a.observed, y, torch.zeros_like(y))
    problem = Problem(y, a, Gaussian(sigma=0.1))
    rho = 0.05 * float(singular_values(a)[0]) ** 2
    for penalty in ("identity", "gradient"):
        solver = Tikhonov(rho=0.05, penalty=penalty, rtol=1e-12, iterations=4000)
        *_, last = solver.iterate(problem, None, Tape([]))
        normal, right = m.mT @ m + rho * _penalty(a, penalty), _as_real(y) @ m
        close_to_dense(_as_real(last.estimate) @ normal, right)
        if torch.linalg.cond(normal) < 1e8:  # else constants that A does not see are free
            close_to_dense(_as_real(last.estimate), torch.linalg.solve(normal, right.mT).mT)


def _penalty(a: LinearOperator, kind: str) -> Tensor:
    """L^H L of the operator's pictures; of complex ones for real and imaginary parts apart."""
    unknowns = int(np.prod(a.input_shape))
    basis = torch.eye(unknowns, dtype=torch.float64, device=device_of(a))
    rows = basis if kind == "identity" else gradient(basis.reshape(unknowns, *a.input_shape)).flatten(1)
    square = rows @ rows.mT
    return torch.block_diag(square, square) if a.complex_input else square


def close_to_dense(found: Tensor, wanted: Tensor) -> None:
    assert distance(found, wanted) <= DENSE, f"relative distance {distance(found, wanted):.1e} to dense algebra"


def _widest_gap(singular: Tensor) -> float:
    """A threshold, relative to the largest, that rounding cannot move a singular value across."""
    ratios = (singular / singular[0]).clamp_min(1e-13)
    below = torch.cat([ratios[1:], ratios.new_tensor([1e-14])])
    gaps = torch.where(ratios >= KEPT, ratios / below, 0.0)
    place = int(gaps.argmax())
    return float((ratios[place] * below[place]).sqrt())


def pinv_of_zero_is_zero(a: LinearOperator) -> None:
    assert not a.pinv(torch.zeros_like(measurement(a))).any()


def svd_rebuilds_the_operator(a: LinearOperator) -> None:
    parts = a.svd
    assert parts is not None
    x, y = picture(a), measurement(a)
    rank = len(parts.s)
    same(parts.U(parts.s * parts.Vt(x)[:, :rank]), a(x))
    same(parts.V(parts.Vt(x)), x)
    unknowns = parts.Vt(x).shape[1]
    c = draw((2, unknowns), parts.Vt(x).is_complex(), torch.float64, seed=4).to(x.device)
    same(parts.Vt(parts.V(c)), c)
    same(parts.Ut(parts.U(c[:, :rank])), c[:, :rank])
    # V^T is orthonormal and U^T the adjoint of U: lengths and inner products are kept.
    assert abs(product(parts.Vt(x), parts.Vt(x)) - product(x, x)) <= 1e-11 * abs(product(x, x))
    gap = product(parts.U(c[:, :rank]), y) - product(c[:, :rank], parts.Ut(y))
    assert (
        abs(gap if parts.Ut(y).is_complex() else gap.real) <= 1e-11 * float(torch.linalg.vector_norm(y)) * rank**0.5 * 2
    )
    assert bool((parts.s >= 0).all())


# -- operators that are not linear --------------------------------------------------------------------------------


def derivatives_match_finite_differences(a: Operator) -> None:
    """jvp against finite differences (of the relaxed map where A is a staircase), vjp against jvp by the dot test."""
    x, v, u = 0.5 + 0.1 * picture(a), picture(a, seed=3), measurement(a)
    step = 1e-5
    slope = (a.relaxed(x + step * v) - a.relaxed(x - step * v)) / (2 * step)
    derivative = a.jvp(x, v)
    assert distance(derivative, slope) <= 1e-6
    gap = product(derivative, u) - product(v, a.vjp(x, u))
    assert abs(gap.real) <= 1e-10 * float(torch.linalg.vector_norm(derivative) * torch.linalg.vector_norm(u))
