"""Where an iteration may begin: a cheap picture that agrees with the measurement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import torch
from torch import Tensor

from operators import BadInput
from operators.common.space import Affine
from operators.core.base import LinearOperator

from ..classical.biharmonic import filled
from ..classical.tikhonov import constant_start, smooth_solution

if TYPE_CHECKING:
    from ...problem import Problem

Start = Annotated[
    Literal["estimate", "direct", "pinv", "zero", "biharmonic"],
    "the first picture: smooth least squares, the operator's own, A^+ y, zeros, holes filled with their slopes",
]
SMOOTHNESS = 1e-2  # least penalty, relative to |A|^2; more where the noise asks for it
TYPICAL_SQUARED_STEP = 0.01  # mean squared difference of neighbours in pictures whose values span [-1, 1]


def start_picture(problem: Problem, start: Start) -> Tensor:
    """A first guess (B x input_shape), in the units of the problem.

    "estimate": smooth least squares, holes filled by diffusion. "direct": the operator's quick reconstruction, made in
    the picture's own units. "pinv": A^+ y, as the papers do. "zero": zeros. "biharmonic": holes filled so that the
    bilaplacian vanishes, which continues slopes where "estimate" flattens them; BadInput where nothing is missing.
    For a non-linear operator "estimate" is its own quick reconstruction (`Operator.direct`) and, where it has none, y
    if that looks like a picture and else zero. Copies of a picture in the batch begin alike, and are looked at once.
    """
    if problem.copies > 1:
        return problem.for_each_copy(start_picture(problem.once, start)).contiguous()
    operator = problem.operator
    if start == "direct":
        return _direct(problem)
    if start == "biharmonic":
        # The fill commutes with a change of units: it reproduces constants and is linear up to its clip to y's range.
        return filled(problem)
    if start == "pinv":
        return problem.linear.pinv(problem.y)
    if start == "estimate" and isinstance(operator, LinearOperator):
        return start_estimate(problem)
    y = problem.y
    if start == "estimate":
        try:
            return operator.direct(y)
        except BadInput:
            pass  # no quick reconstruction: the measurement itself may serve
    if start == "estimate" and operator.output_shape == operator.input_shape and not y.is_complex():
        return problem.space.back(y)
    real = y.real if y.is_complex() and not operator.complex_input else y
    return torch.zeros(y.shape[0], *operator.input_shape, dtype=real.dtype, device=y.device)


def _direct(problem: Problem) -> Tensor:
    """`Operator.direct` of the measurement as it was before the problem was posed in the prior's units."""
    operator = problem.operator
    if not isinstance(operator, LinearOperator) or not isinstance(problem.space, Affine):
        return operator.direct(problem.y)
    ones = torch.full_like(operator.adjoint(problem.y), problem.space.shift)
    return problem.space.back(operator.direct(problem.y_scale * problem.y + operator(ones)))


def start_estimate(problem: Problem) -> Tensor:
    """Smooth least squares by a few conjugate gradients from the best constant: cheap, and calm under noise.

    The penalty is the Wiener weight sigma^2 / (mean squared difference of neighbours), floored for noise-free data.
    """
    unit = problem.linear.norm() ** 2
    rho = max(SMOOTHNESS * unit, problem.sigma**2 / TYPICAL_SQUARED_STEP)
    # Holes fill from their rims, a little with each iteration; everything else is close after a few.
    rtol = 1e-3 if problem.linear.observed is None else 1e-5
    return smooth_solution(problem, rho=rho, start=constant_start(problem), iterations=30, rtol=rtol)


def pull(problem: Problem, residual: Tensor, rho: float) -> Tensor:
    """A^H (A A^H + rho)^-1 residual (B x input_shape): the move that explains a residual; A^+ of it where rho is 0."""
    return problem.linear.pinv(residual) if rho == 0 else problem.linear.correction(residual, rho)


def met(problem: Problem, x0: Tensor, rho: float) -> Tensor:
    """x0 moved onto noise-free data, those left as they are that carry noise: of these a guided x0 has its share."""
    return x0 + pull(problem, problem.residual(x0), rho) if problem.sigma == 0 else x0


def toward_measurement(problem: Problem, z: Tensor, rho: float) -> Tensor:
    """argmin_x |y - A x|^2 + rho |x - z|^2, as a correction of z: what A does not see stays exactly as it is."""
    return z + problem.linear.correction(problem.residual(z), rho)
