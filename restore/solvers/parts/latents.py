"""What solvers of latent problems need of the pictures behind: where a latent chain may begin, and how it is glued."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal, TypeGuard

import torch
from torch import Tensor

from operators import BadInput
from operators.common.space import IDENTITY, Latent, Space
from operators.core.base import LinearOperator, Operator
from operators.core.linear import Composed
from operators.core.posing import InSpace

from .start import Start, start_picture

if TYPE_CHECKING:
    from ...problem import Problem

Glue = Literal["pinv", "adjoint"]
POWER_ITERATIONS = 8
DIFFERENCE = 0.1  # length of the step in z, whose numbers are of size one, that a derivative is taken over


def of_pictures(problem: Problem) -> tuple[Problem, Space]:
    """(the problem for the pictures that z decodes to, the space of z seen from them).

    Where z is a picture, the problem itself and the identity: encoder and decoder of a pixel prior are the identity.
    """
    operator: Operator = problem.operator
    space: Space = IDENTITY
    while isinstance(operator, InSpace):
        part: Space = operator.space
        operator, space = operator.operator, part @ space
    last = problem.space.parts[-1] if problem.space.parts else None
    if space == IDENTITY and isinstance(last, Latent) and _ends_in(operator, last.decode):
        # y has lost A(offset) already, so these pictures are without it.
        operator, space = operator.outer, replace(last, offset=0.0)
    return (problem, IDENTITY) if space == IDENTITY else (replace(problem, operator=operator, space=IDENTITY), space)


@torch.no_grad()
def start_latent(problem: Problem, start: Start) -> Tensor:
    """E(start picture), B x the shape of z (see `start_picture`); the picture itself where z is one.

    A linear problem of latents without an encoder begins from its own least squares in z.
    """
    pictures, space = of_pictures(problem)
    if space == IDENTITY or (isinstance(problem.operator, LinearOperator) and _without_encoder(space)):
        return start_picture(problem, start)
    return space.back(start_picture(pictures, start))


def glued(problem: Problem, z: Tensor, by: Glue = "pinv") -> Tensor:
    """E(D(z) + A^+ (y - A D(z))): z after its picture is made to agree with y. A must be linear (`check_glue`).

    by: "adjoint" puts A^T in the place of A^+.
    """
    pictures, space = of_pictures(problem)
    x = space.to(z)
    residual = pictures.residual(x)
    return space.back(x + (pictures.linear.pinv(residual) if by == "pinv" else pictures.linear.adjoint(residual)))


def check_glue(problem: Problem, setting: str) -> None:
    """BadInput unless `glued` can be computed: a linear operator, and an encoder. setting: what asks for it."""
    pictures, space = of_pictures(problem)
    if not isinstance(pictures.operator, LinearOperator):
        raise BadInput(
            f"{type(pictures.operator).__name__} is not linear and has no pseudo-inverse to glue by",
            do=f"Set solver.{setting} = 0.",
        )
    if _without_encoder(space):
        raise BadInput("this latent space has no encoder to glue by", do=f"Set solver.{setting} = 0.")


def lengths(values: Tensor) -> Tensor:
    """|v| of each entry of the batch (B); its gradient where v = 0 is 0."""
    square = (values.abs() ** 2).flatten(1).sum(1)
    return torch.where(square > 0, torch.where(square > 0, square, torch.ones_like(square)).sqrt(), square)


@torch.no_grad()
def slope_squared(problem: Problem, z: Tensor) -> Tensor:
    """|A'|^2 of each picture (B): of the linear operator, or of the derivative at z by power iteration.

    Differences stand for products with the derivative; an operator whose derivative at z is 0 gives 1.
    """
    operator = problem.operator
    if isinstance(operator, LinearOperator):
        return torch.full_like(z.flatten(1)[:, 0], max(operator.norm() ** 2, 1e-12))
    here = operator(z)
    v = operator.vjp(z, problem.residual(z))
    square = torch.ones_like(z.flatten(1)[:, 0])
    for _ in range(POWER_ITERATIONS):
        v = _unit(v)
        change = (operator(z + DIFFERENCE * v) - here) / DIFFERENCE
        v = operator.vjp(z, change)
        square = lengths(v)
    return torch.where(square > 0, square, torch.ones_like(square))


def _unit(v: Tensor) -> Tensor:
    size = lengths(v).reshape(-1, *[1] * (v.ndim - 1))
    return torch.where(size > 0, v / torch.where(size > 0, size, torch.ones_like(size)), torch.zeros_like(v))


def _ends_in(operator: Operator, decode: object) -> TypeGuard[Composed]:
    return isinstance(operator, Composed) and operator.inner is decode


def _without_encoder(space: Space) -> bool:
    return any(isinstance(part, Latent) and part.encode is None for part in space.parts)
