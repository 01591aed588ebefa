"""Penalised likelihood for any differentiable operator and any noise law, by L-BFGS.

    min_x  -sigma^2 log p(y | x) + w sum_p sqrt(|grad x|_p^2 + e^2)        (Gaussian noise: 1/2 |y - A x|^2 + w TV_e)

Rudin, Osher, Fatemi 1992, doi:10.1016/0167-2789(92)90242-F, smoothed as in Vogel, Oman 1996, doi:10.1137/0917016.
The data term need not be convex: the answer is a local minimum near the start. Any operator (its derivative is used),
real or complex pictures, any noise law, sigma 0 included. No network.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import torch
from torch import Tensor

import operators.noise
from operators.common.randomness import Noise
from operators.common.settings import NotNegative, Positive, Steps
from operators.common.space import Affine
from priors.regularisers.tv import FIRST_SPATIAL

from ..base import Mean, Solver, State
from ..parts.lbfgs import minimise
from ..parts.start import Start, start_picture

if TYPE_CHECKING:
    from priors.base import DiffusionPrior

    from ...problem import Problem

TYPICAL_STEP = 0.1  # mean length of the difference of neighbours, all channels together, in pictures on [0, 1]


@dataclass(frozen=True)
class Gradient(Solver):
    """Likelihood and smoothed total variation by L-BFGS.

    Without a weight it is sigma^2 / TYPICAL_STEP, Bayes' rule for differences of that mean size.
    """

    draws: ClassVar[bool] = False
    needs_prior: ClassVar[bool] = False
    needs_linear: ClassVar[bool] = False
    needs_gaussian: ClassVar[bool] = False

    weight: Annotated[NotNegative | None, "w above; none: by Bayes' rule from sigma"] = None
    noise_free_weight: Annotated[NotNegative, "w where sigma is 0"] = 1e-4
    smoothing: Annotated[Positive, "e above, in units of the picture"] = 1e-3
    steps: Annotated[Steps, "iterations"] = 100
    memory: Annotated[Steps, "pairs that L-BFGS keeps"] = 8
    start: Start = "estimate"

    def iterate(self, problem: Problem, prior: DiffusionPrior | None, noise: Noise) -> Iterator[State]:
        sigma = problem.sigma
        weight = self.weight
        if weight is None:
            weight = sigma**2 / TYPICAL_STEP if sigma > 0 else self.noise_free_weight

        def objective(x: Tensor) -> tuple[Tensor, Tensor]:
            with torch.inference_mode(False), torch.enable_grad():
                point = x.detach().clone().requires_grad_()
                value = misfit(problem, point, sigma) + weight * smooth_variation(point, self.smoothing)
                return value.detach(), torch.autograd.grad(value.sum(), point)[0]

        start = start_picture(problem, self.start)
        # A law of counts says nothing below zero, where its continuation would mislead a line search.
        units = problem.space if isinstance(problem.space, Affine) and not start.is_complex() else None
        limits = (units.back(0.0), math.inf) if problem.noise.counts and units is not None else None
        start = start if limits is None else start.clamp(*limits)
        path = minimise(objective, start, iterations=self.steps, memory=self.memory, limits=limits)
        for step, point in enumerate(path):
            info = {"objective": Mean(point.value)}
            yield State(x=point.x, x0=point.x, estimate=point.x, step=step, info=info)


def misfit(problem: Problem, x: Tensor, sigma: float) -> Tensor:
    """-sigma^2 log p(y | x) of each picture (B) up to a constant: half the squared residual for Gaussian noise."""
    if isinstance(problem.noise, operators.noise.Gaussian):
        return (problem.residual(x).abs() ** 2).flatten(1).sum(1) / 2
    return -(sigma**2) * problem.log_likelihood(x)


def smooth_variation(x: Tensor, smoothing: float) -> Tensor:
    """sum over pixels of sqrt(|gradient|^2 + e^2), one length for all channels (B)."""
    square: Tensor | float = smoothing**2
    for axis in range(FIRST_SPATIAL, x.ndim):
        length = x.shape[axis]
        step = x.narrow(axis, 1, length - 1) - x.narrow(axis, 0, length - 1)
        power = (step.real**2 + step.imag**2 if step.is_complex() else step**2).sum(1)
        pad = [0, 0] * (x.ndim - 1 - axis) + [0, 1]
        square = square + torch.nn.functional.pad(power, pad)
    return torch.sqrt(torch.as_tensor(square)).flatten(1).sum(1)
