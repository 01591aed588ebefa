"""Quadratic regularisation, solved by conjugate gradients; the discrepancy principle chooses its strength.

Reference: Tikhonov 1963; discrepancy principle: Morozov 1966, see Engl, Hanke, Neubauer 1996, section 4.3.

    x(rho) = argmin |A x - y|^2 + rho |L x|^2,   (A^H A + rho L^H L) x = A^H y,   L = gradient or identity
    rho such that |A x(rho) - y|^2 = number of observed entries * sigma^2

Any linear operator; Gaussian noise or its stand-in. No network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import torch
from torch import Tensor

from operators.common.randomness import Noise
from operators.common.settings import Fraction, NotNegative, Steps
from operators.core.base import LinearOperator
from operators.core.linear_solvers import conjugate_gradients
from priors.regularisers.tv import divergence, gradient

from ..base import Mean, Solver, State
from ..parts.discrepancy import Search, per_picture

if TYPE_CHECKING:
    from priors.base import DiffusionPrior

    from ...problem import Problem

Penalty = Literal["gradient", "identity"]
TINY = 1e-12
NOISE_FREE_RTOL = 1e-6  # what y does not see has residuals of the size of rho


@dataclass(frozen=True)
class Tikhonov(Solver):
    """Smooth least squares. The strength of the penalty is in units of |A|^2."""

    draws: ClassVar[bool] = False
    needs_prior: ClassVar[bool] = False

    rho: Annotated[NotNegative | None, "strength of the penalty; none: by the discrepancy principle"] = None
    penalty: Annotated[Penalty, "gradient: smooth pictures, identity: small ones"] = "gradient"
    noise_free_rho: Annotated[NotNegative, "strength where sigma is 0"] = 1e-3
    steps: Annotated[Steps, "most solves in the search for rho"] = 12
    iterations: Annotated[Steps, "most conjugate-gradient iterations in one solve"] = 60
    rtol: Annotated[Fraction, "relative residual at which a solve stops (noise-free: 1e-6)"] = 1e-3

    def iterate(self, problem: Problem, prior: DiffusionPrior | None, noise: Noise) -> Iterator[State]:
        unit = problem.linear.norm() ** 2
        fixed = self.rho if self.rho is not None else (self.noise_free_rho if problem.sigma == 0 else None)
        x = start = constant_start(problem)
        search = Search(problem, first=1e-2 if fixed is None else fixed, fixed=fixed is not None, steps=self.steps)
        for step, rho in enumerate(search):
            x = smooth_solution(
                problem,
                rho=per_picture(rho, start) * unit,
                penalty=self.penalty,
                start=x,
                iterations=self.iterations,
                rtol=self.rtol if problem.sigma > 0 else NOISE_FREE_RTOL,
            )
            search.tell(x)
            yield State(x=x, x0=x, estimate=x, step=step, info={"rho": Mean(rho * unit)})


def smooth_solution(
    problem: Problem,
    *,
    rho: float | Tensor,
    penalty: Penalty = "gradient",
    start: Tensor | None = None,
    iterations: int = 100,
    rtol: float = 1e-4,
) -> Tensor:
    """argmin |A x - y|^2 + rho |L x|^2, by conjugate gradients from `start` (B x input_shape)."""
    operator = problem.linear

    def normal_matrix(x: Tensor) -> Tensor:
        return operator.gram(x) + rho * (x if penalty == "identity" else -divergence(gradient(x)))

    return conjugate_gradients(
        normal_matrix,
        operator.adjoint(problem.y),
        start=start,
        preconditioner=_diagonal(operator, rho) if penalty == "gradient" else None,
        rtol=rtol,
        iterations=iterations,
    ).x


def _diagonal(operator: LinearOperator, rho: float | Tensor) -> Callable[[Tensor], Tensor] | None:
    """Division by the diagonal of a masked normal matrix: without it, holes fill as slowly as rho is small."""
    kept = operator.observed
    if kept is None or operator.output_shape != operator.input_shape:
        return None
    unit, neighbours = operator.norm() ** 2, 2 * (len(operator.input_shape) - 1)
    return lambda r: r / (unit * kept.to(device=r.device, dtype=r.real.dtype) + neighbours * rho + TINY)


def constant_start(problem: Problem) -> Tensor:
    """The constant picture that explains each measurement best (B x input_shape)."""
    operator, y = problem.linear, problem.y
    like = operator.adjoint(y)
    image = operator(torch.ones_like(like[:1])).flatten(1)
    energy = (image.abs() ** 2).sum()
    level = (image.conj() * y.flatten(1)).sum(1) / torch.where(energy > 0, energy, torch.ones_like(energy))
    level = level if like.is_complex() else level.real
    return per_picture(level, like) * torch.ones_like(like)
