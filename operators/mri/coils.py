"""Receive coils: simulated sensitivities, how given ones are checked, and how coil pictures are combined.

Maps are complex, coils x spatial. Operators expect sum_c |s_c|^2 = 1 where there is tissue; then |A| <= 1.
"""

from __future__ import annotations

import warnings
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor

from ..common.errors import BadInput, BadType
from ..common.settings import Count, Positive, checked
from ..core.base import Shape

RADIUS = 1.5  # of the ring of coils, in half fields of view


@checked
def birdcage(size: Shape, *, coils: Count = 8, radius: Annotated[Positive, "of the ring"] = RADIUS) -> Tensor:
    """Sensitivities of a ring of loops around the object (coils x size, complex128, root sum of squares 1).

    Coil c sits at z_c = radius exp(2 pi i c / coils) in the plane (half the field of view is 1) and receives
    exp(-2 pi i c / coils) / conj(z - z_c) at z: amplitude 1 / distance, phase the direction seen from the coil, as in
    the birdcage model of Roemer et al. 1990. In a volume the ring lies in the middle plane of the first axis and the
    distance counts all three axes. size: ... x H x W in pixels.
    """
    axes = [(np.arange(n) - n / 2) / (n / 2) for n in size]
    z = axes[-1][None, :] + 1j * axes[-2][:, None]
    angle = 2 * np.pi * np.arange(coils) / coils
    apart = z[None] - radius * np.exp(1j * angle)[:, None, None]
    height = sum((np.expand_dims(a, tuple(range(1, len(size) - i))) ** 2 for i, a in enumerate(axes[:-2])), 0.0)
    # 1 / conj(w) = w / |w|^2; a coil on a pixel would see infinitely much.
    distance = np.abs(apart.reshape(coils, *[1] * (len(size) - 2), *z.shape)) ** 2 + height
    field = 1j * apart.reshape(coils, *[1] * (len(size) - 2), *z.shape) / np.maximum(distance, 1e-6)
    maps = torch.from_numpy(np.exp(-1j * angle).reshape(-1, *[1] * len(size)) * field)
    return normalise(maps)


def normalise(maps: Tensor) -> Tensor:
    """The maps over their root sum of squares, 0 where all are 0. maps: coils x spatial."""
    size = root_sum_of_squares(maps)
    return torch.where(size > 0, maps / torch.where(size > 0, size, 1.0), 0.0)


def root_sum_of_squares(pictures: Tensor, *, axis: int = 0) -> Tensor:
    """sqrt(sum_c |x_c|^2): the combination that needs no maps (real)."""
    return torch.linalg.vector_norm(pictures, dim=axis)


def combine(pictures: Tensor, maps: Tensor) -> Tensor:
    """sum_c conj(s_c) x_c / sqrt(sum |s_c|^2): unbiased and of least variance (Roemer et al. 1990, "MVUE").

    pictures: ... x coils x spatial; maps: coils x spatial. Returns ... x spatial, 0 where all maps are 0.
    """
    axis = -maps.ndim
    size = root_sum_of_squares(maps)
    total = (maps.conj() * pictures).sum(axis)
    return torch.where(size > 0, total / torch.where(size > 0, size, 1.0), 0.0)


def prewhiten(data: Tensor, covariance: Tensor, *, axis: int = 0) -> Tensor:
    """L^-1 data along the coil axis, L L^H the noise covariance (coils x coils): unit noise, uncorrelated.

    Apply it to k-space and to maps alike.
    """
    count = data.shape[axis]
    if tuple(covariance.shape) != (count, count):
        raise BadInput(f"the covariance has shape {tuple(covariance.shape)}", wanted=f"{count} x {count}")
    factor, failed = torch.linalg.cholesky_ex(covariance.to(data.dtype))
    if bool(failed):
        raise BadInput("the covariance is not positive definite", do="Estimate it from more noise samples.")
    moved = data.movedim(axis, 0)
    white = torch.linalg.solve_triangular(factor, moved.reshape(count, -1), upper=False)
    return white.reshape(moved.shape).movedim(0, axis)


def checked_maps(maps: Any, size: Shape) -> Tensor:
    """Maps as complex128, coils x size; warns where they are far from normalised."""
    values = torch.as_tensor(np.asarray(maps.detach().cpu().resolve_conj()) if isinstance(maps, Tensor) else maps)
    if not values.is_complex():
        raise BadType(f"the maps hold {values.dtype}", wanted="complex sensitivities, coils x H x W")
    if values.ndim == len(size) + 2 and values.shape[0] == 1:
        values = values[0]
    if values.ndim != len(size) + 1 or tuple(values.shape[1:]) != tuple(size) or not len(values):
        raise BadInput(f"the maps have shape {tuple(values.shape)}", wanted=f"coils x {' x '.join(map(str, size))}")
    if not bool(torch.isfinite(torch.view_as_real(values)).all()):
        raise BadInput("the maps hold NaN or infinite values", do="Repair them first.")
    largest = float(root_sum_of_squares(values).max())
    if largest == 0:
        raise BadInput("the maps are 0 everywhere")
    if not 0.5 <= largest <= 2:
        warnings.warn(
            f"the root sum of squares of the maps reaches {largest:.3g}, not 1; operators.mri.normalise divides by it",
            stacklevel=3,
        )
    return values.to(torch.complex128).clone()
