"""Krylov methods over batches: every picture has its own step lengths and its own stopping."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ..common.errors import Diverged
from ..common.settings import Count, check

Map = Callable[[Tensor], Tensor]
RUN = 1024  # numbers
LATE = 1e-2  # relative residual; a map with a wrong adjoint is met before it is that small, as a rule


class Domain(Protocol):
    """A map that says what it is a map of, and carries its arrays with it."""

    input_shape: tuple[int, ...]
    complex_input: bool

    def forward(self, x: Tensor) -> Tensor: ...

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]: ...


class Normal(Domain, Protocol):
    """What the methods below ask of a linear operator: A^H A and A^H."""

    def gram(self, x: Tensor) -> Tensor: ...

    def adjoint(self, y: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Solution:
    """x, whether every picture converged, the largest relative residual, and the iterations used."""

    x: Tensor
    converged: bool
    residual: float
    iterations: int


def inner(a: Tensor, b: Tensor) -> Tensor:
    """Real part of <a, b> per picture, shaped B x 1 x ... x 1, in float64.

    Short runs are summed in the precision of the data and the runs in float64: as good as float64 throughout (an
    error of a few units in the last place of single precision) without a copy of twice the size.
    """
    shape = (-1, *[1] * (a.ndim - 1))
    if a.is_complex():
        a, b = (torch.view_as_real(v.resolve_conj()) for v in (a, b))
    product = (a * b).flatten(1)
    whole = product.shape[1] // RUN * RUN
    runs = product[:, :whole].reshape(len(product), whole // RUN, RUN).sum(2)
    return (runs.double().sum(1) + product[:, whole:].sum(1).double()).reshape(shape)


def conjugate_gradients(
    matrix: Map,
    rhs: Tensor,
    *,
    start: Tensor | None = None,
    preconditioner: Map | None = None,
    rtol: float | None = None,
    iterations: int = 500,
) -> Solution:
    """Solve matrix(x) = rhs for a self-adjoint positive semi-definite map (Hestenes & Stiefel 1952).

    rtol: stop when |residual| <= rtol |rhs|; default 1e-6 in single and 1e-12 in double precision. Diverged where the
    map turns out indefinite.
    """
    check("iterations", iterations, Count)
    single = rhs.real.dtype if rhs.is_complex() else rhs.dtype
    tolerance = rtol if rtol is not None else (1e-12 if single == torch.float64 else 1e-6)
    tolerance = max(tolerance, 4 * torch.finfo(single).eps)
    apply_inverse = preconditioner if preconditioner is not None else (lambda r: r)
    x = torch.zeros_like(rhs) if start is None else start
    residual = rhs - matrix(x) if start is not None else rhs
    direction = z = apply_inverse(residual)
    energy = inner(residual, z)
    norms = inner(rhs, rhs)
    limit = tolerance**2 * norms
    misfit = inner(residual, residual)
    done = 0
    while done < iterations and bool((misfit > limit).any()):
        image = matrix(direction)
        curvature = inner(direction, image)
        if bool((curvature < 0).any()) and _indefinite(direction, image, curvature, torch.finfo(single).eps):
            raise _not_positive(float(_relative(misfit, norms)[curvature < 0].max()), tolerance)
        # A picture that has converged stays as it is, so that its result does not depend on its neighbours.
        active = (curvature > 0) & (energy > 0) & (misfit > limit)
        if not bool(active.any()):
            break
        step = torch.where(active, energy / torch.where(active, curvature, 1.0), 0.0).to(single)
        x = x + step * direction
        residual = residual - step * image
        misfit = inner(residual, residual)
        z = apply_inverse(residual)
        fresh = inner(residual, z)
        momentum = torch.where(energy > 0, fresh / torch.where(energy > 0, energy, 1.0), 0.0).to(single)
        direction = z + momentum * direction
        energy = fresh
        done += 1
    relative = _relative(misfit, norms)
    worst = float(relative.detach().max()) if relative.numel() else 0.0
    if not math.isfinite(worst):
        raise Diverged(
            f"conjugate gradients left the finite numbers after {done} iterations",
            do="Look for NaN in the data, and check the operator with operators.check.",
        )
    return Solution(x, worst <= tolerance * 1.01, worst, done)


def _relative(misfit: Tensor, norms: Tensor) -> Tensor:
    return torch.sqrt(misfit / torch.where(norms > 0, norms, 1.0))


def _not_positive(reached: float, rtol: float) -> Diverged:
    """The error for negative curvature: an early one is the map's fault, a late one that of the precision asked for."""
    if reached <= LATE:
        return Diverged(
            f"conjugate gradients met a direction of negative curvature at a residual of {reached:.1e}, asked for "
            f"rtol = {rtol:.1e}",
            do="The map is not exact enough for that (single precision, or the tolerance of non-uniform transforms): "
            f"give rtol of at least {reached:.1e}, or compute in double precision with a smaller eps.",
        )
    return Diverged(
        "conjugate gradients met a direction of negative curvature",
        do="The map must be self-adjoint and not negative: check the operator's adjoint with operators.check.",
    )


def _indefinite(direction: Tensor, image: Tensor, curvature: Tensor, eps: float) -> bool:
    """Whether a curvature is more negative than rounding explains."""
    rounding = torch.sqrt(inner(direction, direction) * inner(image, image)) * eps**0.5
    return bool((curvature < -rounding).any())


def least_squares(operator: Normal, y: Tensor, *, rtol: float, iterations: int = 500) -> Solution:
    """The minimum-norm least-squares solution A^+ y: conjugate gradients on A^H A x = A^H y from zero.

    Components with small singular values come last, so that stopping at rtol leaves them out.
    """
    return conjugate_gradients(operator.gram, operator.adjoint(y), rtol=rtol, iterations=iterations)


def best_dtype(operator: Domain) -> torch.dtype:
    """float64, or float32 for an operator (a user's function) that cannot compute in double precision."""
    try:
        operator.forward(_start(operator, torch.float64))
    except RuntimeError:
        return torch.float32
    return torch.float64


def spectral_norm(operator: Normal, *, iterations: int = 50) -> float:
    """The largest singular value by the Lanczos method on A^H A (Golub & Van Loan 2013, section 10.1).

    The start depends on the shape alone. The largest Ritz value needs no reorthogonalisation: lost orthogonality only
    repeats it.
    """
    with torch.no_grad():
        vector = _start(operator, best_dtype(operator))
        previous, beta = torch.zeros_like(vector), 0.0
        diagonal: list[float] = []
        off_diagonal: list[float] = []
        largest = 0.0
        vector = vector / torch.linalg.vector_norm(vector)
        for _ in range(iterations):
            image = operator.gram(vector) - beta * previous
            diagonal.append(float(inner(vector, image)))
            image = image - diagonal[-1] * vector
            beta = float(torch.linalg.vector_norm(image))
            ritz = np.diag(diagonal) + np.diag(off_diagonal, 1) + np.diag(off_diagonal, -1)
            before, largest = largest, float(np.linalg.eigvalsh(ritz)[-1])
            if beta <= 1e-12 * largest or abs(largest - before) <= 1e-12 * largest:
                break
            previous, vector = vector, image / beta
            off_diagonal.append(beta)
    return math.sqrt(max(largest, 0.0))


def _start(operator: Domain, dtype: torch.dtype) -> Tensor:
    """One random picture that depends on the operator's input shape alone."""
    rng = np.random.default_rng(zlib.crc32(repr(operator.input_shape).encode()))
    start = torch.from_numpy(rng.standard_normal((1, *operator.input_shape)))
    buffer = next(operator.buffers(), None)
    start = start.to(buffer.device if buffer is not None else "cpu", dtype)
    return start.to(dtype.to_complex()) if operator.complex_input else start
