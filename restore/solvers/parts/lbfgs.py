"""Limited-memory BFGS on a batch: every picture has its own history, step and line search.

Nocedal 1980, doi:10.1090/S0025-5718-1980-0572855-7 (two-loop recursion); Armijo 1966 (sufficient decrease).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from .discrepancy import over_pixels

Objective = Callable[[Tensor], tuple[Tensor, Tensor]]  # x -> value of each picture (B) and gradient (B x ...)
DECREASE, HALVINGS = 1e-4, 20
CURVATURE = 1e-10  # least <s, y> relative to |s| |y|: a pair below it says nothing about the curvature


@dataclass(frozen=True)
class Point:
    """x, value of each picture (B), gradient."""

    x: Tensor
    value: Tensor
    gradient: Tensor


def minimise(
    objective: Objective, x: Tensor, *, iterations: int, memory: int = 8, limits: tuple[float, float] | None = None
) -> Iterator[Point]:
    """The point after every iteration; a picture that cannot be improved stays where it is.

    x: B x ..., real or complex. limits: x is kept between them by projection after every step (real x).
    """
    value, gradient = objective(x)
    steps: list[Tensor] = []
    changes: list[Tensor] = []
    for iteration in range(iterations):
        direction = -_inverse_hessian(gradient, steps, changes)
        slope = inner(direction, gradient)
        uphill = slope >= 0
        direction = torch.where(over_pixels(uphill, x), -gradient, direction)
        slope = torch.where(uphill, -inner(gradient, gradient), slope)
        # The first step has no curvature to go by: a hundredth of the picture's size.
        size = inner(gradient, gradient).sqrt()
        reach = 0.01 * inner(x, x).sqrt() + 0.01 * math.prod(x.shape[1:]) ** 0.5
        first = torch.where(size > 0, reach / size.clamp_min(1e-30), torch.ones_like(size))
        length = torch.where(uphill, first, torch.ones_like(size)) if iteration else first
        moved, new_value, new_gradient = _search(objective, x, value, gradient, direction, slope, length, limits)
        steps, changes = [*steps, moved - x][-memory:], [*changes, new_gradient - gradient][-memory:]
        x, value, gradient = moved, new_value, new_gradient
        yield Point(x, value, gradient)


def _search(
    objective: Objective,
    x: Tensor,
    value: Tensor,
    gradient: Tensor,
    direction: Tensor,
    slope: Tensor,
    length: Tensor,
    limits: tuple[float, float] | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Halve each picture's step until its value falls enough; x, value, gradient of those that did, else unchanged."""
    best, best_value, best_gradient = x, value, gradient
    todo = torch.ones_like(slope, dtype=torch.bool)
    for _ in range(HALVINGS):
        trial = x + over_pixels(length, x) * direction
        trial = trial if limits is None else trial.clamp(*limits)
        new_value, new_gradient = objective(trial)
        # With limits the step is bent, and its own slope counts.
        gain = length * slope if limits is None else inner(gradient, trial - x)
        good = todo & torch.isfinite(new_value) & (new_value <= value + DECREASE * gain)
        accepted = over_pixels(good, x)
        best, best_gradient = torch.where(accepted, trial, best), torch.where(accepted, new_gradient, best_gradient)
        best_value = torch.where(good, new_value, best_value)
        todo = todo & ~good
        if not bool(todo.any()):
            break
        length = torch.where(todo, length / 2, length)
    return best, best_value, best_gradient


def _inverse_hessian(gradient: Tensor, steps: list[Tensor], changes: list[Tensor]) -> Tensor:
    """The two-loop recursion; pairs without positive curvature count for nothing, picture by picture."""
    q = gradient
    kept: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
    scale = None
    for s, y in zip(reversed(steps), reversed(changes), strict=True):
        curvature, power = inner(s, y), inner(y, y)
        usable = curvature > CURVATURE * (inner(s, s) * power).sqrt()
        rho = torch.where(usable, 1 / torch.where(usable, curvature, torch.ones_like(curvature)), 0.0)
        weight = rho * inner(s, q)
        q = q - over_pixels(weight, q) * y
        kept.append((s, y, rho, weight))
        if scale is None:
            scale = torch.where(usable, curvature / power.clamp_min(1e-30), torch.zeros_like(power))
    if scale is None:
        return q
    q = over_pixels(torch.where(scale > 0, scale, torch.ones_like(scale)), q) * q
    for s, y, rho, weight in reversed(kept):
        q = q + over_pixels(weight - rho * inner(y, q), q) * s
    return q


def inner(a: Tensor, b: Tensor) -> Tensor:
    """Re <a, b> of each picture (B), in the precision of the pictures."""
    product = a.conj() * b
    return (product.real if product.is_complex() else product).flatten(1).sum(1)
