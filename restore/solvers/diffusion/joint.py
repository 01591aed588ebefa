"""Joint diffusion: a picture and the structured noise on its measurement, each under a prior of its own.

Stevens, van Gorp, Meral, Shin, Yu, Robert, van Sloun 2025, "Removing Structured Noise using Diffusion Models", TMLR,
arXiv 2302.05290 (algorithm 1), repository tristan-deep/joint-diffusion. y = A x + n + e, e white of standard deviation
sigma; n lives in the measurement: stripes, row noise, rings (stripes of a sinogram). At falling levels s, s' the next
one, x_s = x + s z and n_s = n + s z' independently:

    x0 = E[x | x_s],  n0 = E[n | n_s],   r = y - A x0 - n0
    h  = (V_x A A^H + V_n + sigma^2)^-1 r                                 V: what x_s and n_s leave open
    x <- x + (s^2 - s'^2) (score of x_s + J_x^T A^H h) + sqrt(s^2 - s'^2) z          and n alike, with J_n^T h

rule "pigdm" (published) has V_x = V_n = s^2 / (1 + s^2) and moves by lambda and kappa times V J^T A^H h; rule "dps" by
- lambda d|r|/dx, - kappa d|r|/dn. rule "bayes" (default) has V_x = s^2 c^2 / (s^2 + c^2), c = `prior_std`, the exact
V_n of the structure's Gaussian prior, and moves as the box says, whatever the number of levels.

The structure's prior is Gaussian in closed form: n is constant along an axis of the measurement, of standard deviation
`std` in native units of y ("columns": one value for each column, down all rows; "rows"). A measurement of fewer axes
than three counts as one row. `structure_prior` may be given another prior by a subclass.

Differs from the release: Tweedie's mean instead of one Euler step's, true products with the Jacobian instead of its
column sums, sigma and the operators in the denominator, a ladder that starts at `first` from a picture that agrees with
the measurement, and a last step that is guided too.

Linear operators, real measurements, Gaussian noise or its stand-in beside the structure. Cost: `steps` network calls,
each with one backward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor

from operators import BadInput
from operators.common.randomness import Noise
from operators.common.settings import NotNegative, Positive, Steps, at_most
from operators.core.base import LinearOperator
from operators.core.identity import Identity
from operators.core.linear_solvers import conjugate_gradients
from priors.analytic.gaussian import GaussianPrior
from priors.base import DiffusionPrior
from priors.schedules import karras_sigmas

from ..base import Mean, Solver, State, expect_prior
from ..parts.reverse import in_range
from ..parts.start import Start, start_picture

if TYPE_CHECKING:
    from ...problem import Problem


@dataclass(frozen=True)
class JointDiffusion(Solver):
    """Joint diffusion of picture and structured noise. Published values: preset "paper" (blends of two pictures)."""

    differentiates: ClassVar[bool] = True
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {"steps": 600, "rule": "pigdm", "lambda_": 0.93, "kappa": 0.88, "first": 9.84, "start": "zero"}
    }

    steps: Annotated[Steps, "noise levels, network calls (published 600)"] = 50
    structure: Annotated[Literal["columns", "rows"], "along which n is constant: one value a column, or a row"] = (
        "columns"
    )
    std: Annotated[Positive, "standard deviation of n, native units of y"] = 0.1
    rule: Annotated[Literal["bayes", "pigdm", "dps"], "what scales the guidance; pigdm is published"] = "bayes"
    lambda_: Annotated[NotNegative, "strength of rules pigdm and dps for the picture (published 0.93, 12.7)"] = 0.93
    kappa: Annotated[NotNegative, "strength of rules pigdm and dps for the structure (published 0.88, 16.7)"] = 0.88
    prior_std: Annotated[Positive, "standard deviation of pictures in native units, for rule bayes"] = 0.5
    first: Annotated[Positive, "highest noise level, native units (published 9.84)"] = 1.0
    last: Annotated[Positive, "lowest noise level, at most `first`"] = 0.01
    start: Start = "estimate"

    def __post_init__(self) -> None:
        at_most("last", self.last, "first", self.first)

    def levels(self) -> list[float]:
        """Falling noise levels and 0."""
        return karras_sigmas(self.steps, sigma_min=self.last, sigma_max=self.first).tolist()  # type: ignore[no-any-return]

    def structure_prior(self, problem: Problem) -> tuple[DiffusionPrior, LinearOperator]:
        """The prior of n on its own grid, and the operator B that carries n into the measurement."""
        *lead, rows, columns = (1, 1, *problem.operator.output_shape)[-3:]
        spectrum = torch.zeros(*lead, rows, columns, dtype=torch.float64, device=problem.y.device)
        # Constant along an axis: all power at its frequency 0, as much as gives each entry the variance std^2.
        if self.structure == "columns":
            spectrum[..., 0, :] = rows * self.std**2
        else:
            spectrum[..., 0] = columns * self.std**2
        return GaussianPrior(torch.zeros_like(spectrum), spectrum=spectrum), Identity(tuple(spectrum.shape))

    def iterate(self, problem: Problem, prior: DiffusionPrior | None, noise: Noise) -> Iterator[State]:
        prior = expect_prior(prior, self)
        if problem.y.is_complex() or problem.linear.complex_input:
            raise BadInput("joint works on real pictures and measurements", do="Choose diffpir or a classical solver.")
        of_n, into_y = self.structure_prior(problem)
        levels = self.levels()
        x = start_picture(problem, self.start)
        x = x + levels[0] * noise.normal("start", like=x)
        n = x.new_zeros(len(x), *into_y.input_shape)
        n = n + levels[0] * noise.normal("start structure", like=n)
        for step, (s, following) in enumerate(pairwise(levels)):
            x0, n0, of_x, of_n_ = self.guided(problem, prior, of_n, into_y, x, n, s)
            variance = s**2 - following**2
            weights = (variance, variance) if self.rule == "bayes" else (self.lambda_, self.kappa)
            x = x + variance / s**2 * (x0 - x) + weights[0] * of_x
            n = n + variance / s**2 * (n0 - n) + weights[1] * of_n_
            if following > 0 or self.rule != "bayes":
                x = x + variance**0.5 * noise.normal("step", like=x)
                n = n + variance**0.5 * noise.normal("step structure", like=n)
            estimate = in_range(prior, x) if following == 0 else x0
            info = {"structure": Mean(n0.square().flatten(1).mean(1).sqrt())}
            yield State(x=x, x0=x0, estimate=estimate, step=step, sigma=following, info=info)

    def guided(
        self,
        problem: Problem,
        prior: DiffusionPrior,
        of_n: DiffusionPrior,
        into_y: LinearOperator,
        x: Tensor,
        n: Tensor,
        s: float,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """x0, n0 and the guidance of both at level s."""

        def carried(v: Tensor) -> Tensor:
            return into_y(v).reshape(problem.y.shape)

        def back(u: Tensor) -> Tensor:
            return into_y.adjoint(u.reshape(len(u), *into_y.output_shape))

        with torch.enable_grad():
            points = [v.detach().requires_grad_() for v in (x, n)]
            x0 = in_range(prior, prior.denoise(points[0], s))
            n0 = of_n.denoise(points[1], s)
            residual = problem.residual(x0) - _observed(problem, carried(n0))
            if self.rule == "dps":
                distance = (residual**2).flatten(1).sum(1).clamp_min(1e-30).sqrt().sum()
                slopes = torch.autograd.grad(distance, points)
                return x0.detach(), n0.detach(), -slopes[0], -slopes[1]
            h = self.weighed(problem, of_n, carried, back, residual.detach(), s)
            found = torch.autograd.grad((x0, n0), points, (problem.linear.adjoint(h), back(h)))
        scale = 1.0 if self.rule == "bayes" else s**2 / (1 + s**2)
        return x0.detach(), n0.detach(), scale * found[0], scale * found[1]

    def weighed(
        self,
        problem: Problem,
        of_n: DiffusionPrior,
        carried: Callable[[Tensor], Tensor],
        back: Callable[[Tensor], Tensor],
        residual: Tensor,
        s: float,
    ) -> Tensor:
        """h of the box above, by conjugate gradients in the measurement."""
        operator = problem.linear
        published = s**2 / (1 + s**2)
        open_ = published if self.rule == "pigdm" else (s * self.prior_std) ** 2 / (s**2 + self.prior_std**2)
        floor = max(problem.sigma**2, 1e-6 * open_)

        def left_open(u: Tensor) -> Tensor:
            v = back(u)
            if self.rule == "bayes":  # s^2 J of a Gaussian prior, which is linear
                v = s**2 * (of_n.denoise(v, s) - of_n.denoise(torch.zeros_like(v), s))
            else:
                v = published * v
            return open_ * operator(operator.adjoint(u)) + _observed(problem, carried(v)) + floor * u

        return conjugate_gradients(left_open, residual, iterations=100).x


def _observed(problem: Problem, u: Tensor) -> Tensor:
    """u, zero where nothing was observed."""
    seen = problem.operator.observed
    return u if seen is None else torch.where(seen.to(u.device), u, torch.zeros_like(u))
