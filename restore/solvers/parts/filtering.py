"""What a local filter is given: the quick reconstruction in planes, its noise level, and windows in bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

import operators
from operators.core.identity import Identity

if TYPE_CHECKING:
    from ...problem import Problem

MEDIAN_OF_NORMAL = 0.6745  # of |n|, n standard normal
WINDOWED = 1 << 24  # numbers that all windows of a band hold together: 64 megabytes in single precision


def filtered(problem: Problem, sigma: float | None, local: Callable[[Tensor, float], Tensor]) -> tuple[Tensor, float]:
    """The operator's quick reconstruction (y itself for denoising) after a filter, and the mean noise level.

    sigma: noise level of that reconstruction, the same for all pictures; None: `noise_level`. local: planes
    (N x channels x H x W, real: slices of a volume one by one, the parts of complex numbers as channels) and the noise
    level to filtered planes.
    """
    x = problem.operator.direct(problem.y)
    levels = noise_level(problem, x) if sigma is None else [sigma] * len(x)
    pictures = [_of_planes(local(_planes(p), level), p) for p, level in zip(x, levels, strict=True)]
    return (torch.stack(pictures) if pictures else x), sum(levels) / max(len(levels), 1)


def noise_level(problem: Problem, x: Tensor) -> list[float]:
    """Standard deviation of the noise in each picture x (B x ...), per real part.

    Known where Gaussian noise fell on the picture itself; otherwise from the median of the finest diagonal details
    (Donoho, Johnstone 1994), which fine texture raises and impulses do not. skimage's estimate leaves out details that
    are exactly 0, and has none for a constant picture.
    """
    if isinstance(problem.operator, Identity) and isinstance(problem.noise, operators.noise.Gaussian):
        return [float(problem.noise.sigma)] * len(x)
    return [_estimated(_planes(picture)) for picture in x]


def _estimated(planes: Tensor) -> float:
    details = planes.double().diff(dim=-1).diff(dim=-2)  # of four independent values: twice their deviation
    return float(details.abs().median()) / (2 * MEDIAN_OF_NORMAL) if details.numel() else 0.0


def windowed(x: Tensor, radius: int, local: Callable[[Tensor], Tensor]) -> Tensor:
    """`local` of x (N x C x H x W), whose windows reach `radius` pixels, borders continued by their pixels.

    Taken in bands of rows: libraries copy every window, (2 radius + 1)^2 times the picture.
    """
    height = x.shape[-2]
    padded = F.pad(x, (radius, radius, radius, radius), mode="replicate")
    rows = max(1, WINDOWED // max(1, (2 * radius + 1) ** 2 * x.numel() // max(1, height)))
    bands = []
    for top in range(0, height, rows):
        band = padded[..., top : min(top + rows, height) + 2 * radius, :]
        bands.append(local(band)[..., radius : band.shape[-2] - radius, radius : band.shape[-1] - radius])
    return torch.cat(bands, dim=-2)


def _planes(picture: Tensor) -> Tensor:
    """A picture (C x H x W, C x D x H x W) as N x channels x H x W of real numbers."""
    stack = picture.movedim(1, 0) if picture.ndim == 4 else picture[None]
    return torch.view_as_real(stack).movedim(-1, 2).flatten(1, 2) if stack.is_complex() else stack


def _of_planes(planes: Tensor, picture: Tensor) -> Tensor:
    """The inverse of `_planes`, for a picture of that shape and kind."""
    if picture.is_complex():
        parts = planes.reshape(len(planes), -1, 2, *planes.shape[2:]).movedim(2, -1)
        planes = torch.view_as_complex(parts.contiguous())
    return planes.movedim(0, 1) if picture.ndim == 4 else planes[0]
