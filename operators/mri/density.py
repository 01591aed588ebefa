"""Density compensation: how much of k-space each point of a trajectory stands for.

Weights are areas in units of (2 pi)^d / N, so that A^H W A is near the identity where k-space is covered.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..common.errors import BadInput
from ..common.settings import Count, checked
from ..core.base import Shape
from .plans import Nufft

ITERATIONS = 12


def ramp(points: Tensor, size: Shape) -> Tensor:
    """|k|^(d - 1) for spokes through the centre, summing to the area of the disc (ball) they reach.

    points: ... x d, radians per pixel. A point at the centre counts for a sixth of the nearest step, and for nothing in
    3-D: the corrections of Euler and Maclaurin to a sum over a line with a kink, and without one.
    """
    axes = len(size)
    radius = torch.linalg.vector_norm(points.double(), dim=-1)
    reach = float(radius.max())
    if reach == 0:
        raise BadInput("every point lies at the centre of k-space", do="Density compensation needs a trajectory.")
    step = float(radius[radius > 1e-9 * reach].min())
    weights = radius.clamp_min(step / 6) if axes == 2 else radius**2
    ball = math.pi * reach**2 if axes == 2 else 4 / 3 * math.pi * reach**3
    return weights * (ball / (2 * math.pi) ** axes * math.prod(size) / float(weights.sum()))


@checked
def pipe_menon(points: Tensor, size: Shape, *, iterations: Count = ITERATIONS) -> Tensor:
    """w <- w / (psi * w) until the weighted samples have density 1 (Pipe and Menon 1999).

    psi is the Fejer kernel, whose transform is a triangle twice the field of view wide: positive, and one grid step
    of k-space wide. Works for any trajectory; points: ... x d, radians per pixel.
    """
    triangle = torch.ones((), dtype=torch.float64, device="cpu")
    for n in size:
        triangle = triangle[..., None] * (1 - torch.arange(1 - n, n, dtype=torch.float64, device="cpu").abs() / n)
    transform = Nufft(points, tuple(triangle.shape), eps=1e-5)
    weights = torch.ones(1, len(transform.points), dtype=torch.complex64, device="cpu")
    scaled = (triangle / math.prod(size)).to(torch.complex64)
    for _ in range(iterations):
        density = transform.forward(transform.adjoint(weights) * scaled).abs()
        weights = weights / density.clamp_min(1e-6 * float(density.max()))
    return weights.real[0].double().reshape(points.shape[:-1])


def build(name: str, points: Tensor, size: Shape, *, straight: bool) -> Tensor:
    """Weights of one frame's points (points.shape[:-1]); straight: whether "auto" may take the ramp."""
    if name == "none":
        return torch.ones(points.shape[:-1], dtype=torch.float64, device="cpu")
    return ramp(points, size) if name == "ramp" or (name == "auto" and straight) else pipe_menon(points, size)


def given(weights: Any, shape: tuple[int, ...]) -> Tensor:
    """A weights array as float64, F x points; shape: of all frames' points, F x ...; BadInput where it does not fit."""
    array = np.asarray(weights.detach().cpu() if isinstance(weights, Tensor) else weights)
    values = torch.from_numpy(array.astype(np.float64))
    if tuple(values.shape) not in (shape, shape[1:]):
        raise BadInput(f"the density has shape {tuple(values.shape)}", wanted=f"{shape[1:]}, one weight for each point")
    if not bool(torch.isfinite(values).all()) or bool((values < 0).any()):
        raise BadInput("the density holds negative or infinite weights")
    return values.reshape(-1, *shape[1:])


NAMES = ("auto", "ramp", "pipe-menon", "none")
