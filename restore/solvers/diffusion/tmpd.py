"""TMPD: the covariance of x0 given x_t from the Jacobian of the denoiser.

Boys, Girolami, Pidstrigach, Reich, Mosca, Akyildiz 2024, "Tweedie Moment Projected Diffusions for Inverse Problems",
arXiv 2310.06721, repository bb515/tmpdjax. By Tweedie's second formula Cov[x0 | x_t] = c J with c = sigma_t^2 /
alpha_t and J = d E[x0 | x_t] / d x_t. At descending times t:

    x0  = E[x0 | x_t],   r = y - A x0
    f   = (A J A^H + sigma^2 / c)^-1 r                          kind "full"        (eq. 9; a backward pass for each y_i)
    f   = r / (diag(A J A^H) + sigma^2 / c)                         kind "diagonal"    (eq. 11)
    f   = r / (A J^H A^H 1 + sigma^2 / c)                           kind "row-sum"     (section 4.2; one backward pass)
    x0' = x0 + J^H A^H f,   x_u by ancestral sampling from x0'      (one backward pass)

"full" is the posterior mean of x0 given x_t and y for a Gaussian prior, exactly. "diagonal" takes a backward pass for
each y_i where there are up to EXACT_UP_TO of them, and otherwise the mean of z (A J^H A^H z) over `probes` random
signs z (Hutchinson 1990). Diagonals are kept above `floor` times their mean size: a trained network's J is not
symmetric, and its row sums may be negative. The paper starts from N(0, I) at time 999 with 1000 steps; ours nearer
(`first_time`, `start`).

Linear operators, Gaussian noise or its stand-in. Cost: `steps` network calls, each with two backward passes
("row-sum").
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor

from operators import BadInput
from operators.common.randomness import Noise
from operators.common.settings import Count, Fraction, NotNegative, Range
from priors.schedules import eps_from_x0

from ..base import Solver, State, expect_prior
from ..parts.ladder import (
    TIMES,
    Beginning,
    Renoising,
    clipped,
    ddim_step,
    first_state,
    renoised,
    strided,
    with_next,
)
from ..parts.start import met

if TYPE_CHECKING:
    from priors.base import DiffusionPrior

    from ...problem import Problem

EXACT_UP_TO = 256  # numbers in a measurement for each of which a backward pass is taken


@dataclass(frozen=True)
class TMPD(Solver):
    """TMPD. Published values: preset "paper"."""

    differentiates: ClassVar[bool] = True
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {
            "steps": 1000,
            "kind": "row-sum",
            "eta": 1.0,
            "first_time": TIMES,
            "start": "noise",
            "floor": 0.0,
            "meets": False,
            "sigma_floor": 0.0,
        },
    }

    steps: Annotated[int, Range(1, TIMES), "times visited, network calls"] = 50
    kind: Annotated[Literal["full", "diagonal", "row-sum"], "what is kept of the covariance, see above"] = "row-sum"
    probes: Annotated[Count, "random signs of kind diagonal, a backward pass each"] = 4
    floor: Annotated[NotNegative, "least diagonal, as a share of its mean size; 0: none, as published"] = 0.05
    eta: Annotated[Fraction, "share of fresh noise; 1: ancestral, as published"] = 1.0
    renoising: Renoising = "ddim"
    first_time: Annotated[int, Range(1, TIMES), "times lie below this one"] = 400
    start: Beginning = "estimate"
    meets: Annotated[bool, "whether x0' is moved onto noise-free data (published: no)"] = True
    sigma_floor: Annotated[NotNegative, "least noise assumed in y, native units"] = 0.002

    def check_problem(self, problem: Problem) -> None:
        size = math.prod(problem.operator.output_shape)
        if self.kind == "full" and (size > EXACT_UP_TO or problem.operator.complex_output):
            raise BadInput(
                f"kind 'full' takes a backward pass for each of {size} measured numbers",
                wanted=f"at most {EXACT_UP_TO} real ones",
                do="Take kind='row-sum' or 'diagonal'.",
            )

    def iterate(self, problem: Problem, prior: DiffusionPrior | None, noise: Noise) -> Iterator[State]:
        prior = expect_prior(prior, self)
        self.check_problem(problem)
        times = strided(self.steps, span=self.first_time)
        x = first_state(problem, prior, times[0], self.start, noise)
        for step, (t, u) in enumerate(with_next(times)):
            x0 = clipped(prior, self.projected(problem, prior, x, t, noise))
            e = eps_from_x0(x, x0, prior.alpha(t), prior.sigma(t))
            if self.renoising == "fresh":
                x = renoised(prior, u, x0, e, 1.0, noise)
            else:
                x = ddim_step(prior, t, u, x0, e, self.eta, noise)
            yield State(x=x, x0=x0, estimate=x0, step=step, sigma=prior.sigma(u) / prior.alpha(u))

    def projected(self, problem: Problem, prior: DiffusionPrior, x: Tensor, t: int, noise: Noise) -> Tensor:
        """x0', the mean of x0 given x_t and y."""
        operator = problem.linear
        level = max(problem.sigma, self.sigma_floor) ** 2 * prior.alpha(t) / prior.sigma(t) ** 2
        with torch.enable_grad():
            point = x.detach().requires_grad_()
            x0 = prior.x0(point, t)

            def transposed(y: Tensor) -> Tensor:
                """J^H A^H y."""
                return torch.autograd.grad(x0, point, operator.adjoint(y), retain_graph=True)[0]

            f = self.solved(problem, problem.residual(x0.detach()), transposed, level, noise)
            moved = (x0 + transposed(f)).detach()
        return met(problem, moved, level) if self.meets else moved

    def solved(self, problem: Problem, residual: Tensor, transposed: Any, level: float, noise: Noise) -> Tensor:
        """f of the box above."""
        operator = problem.linear
        if self.kind == "full":
            matrix = _columns(operator, residual, transposed)
            unit = torch.eye(matrix.shape[-1], dtype=residual.dtype, device=residual.device)
            solution = torch.linalg.solve(matrix.mT + level * unit, residual.flatten(1)[..., None])
            return solution[..., 0].reshape(residual.shape)
        if self.kind == "row-sum":
            spread = operator(transposed(torch.ones_like(residual)))
        elif math.prod(residual.shape[1:]) <= EXACT_UP_TO and not residual.is_complex():
            spread = _columns(operator, residual, transposed).diagonal(dim1=1, dim2=2).reshape(residual.shape)
        else:
            spread = torch.zeros_like(residual)
            for _ in range(self.probes):
                z = noise.normal("sign", like=residual.real).sign().to(residual.dtype)
                spread = spread + z * operator(transposed(z)) / self.probes
        spread = spread.real if spread.is_complex() else spread
        if self.floor > 0:
            size = spread.abs().mean(tuple(range(1, spread.ndim)), keepdim=True)
            spread = torch.maximum(spread, self.floor * size)
        total = spread + level
        return residual / torch.where(total == 0, torch.ones_like(total), total)


def _columns(operator: Any, like: Tensor, transposed: Any) -> Tensor:
    """A J^H A^H (B x M x M), column by column."""
    size = math.prod(like.shape[1:])
    columns = []
    for index in range(size):
        unit = torch.zeros_like(like)
        unit.flatten(1)[:, index] = 1
        columns.append(operator(transposed(unit)).flatten(1))
    return torch.stack(columns, dim=2)
