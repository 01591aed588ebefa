"""What parallel, fan and cone beams share: a circulant stand-in for A^T A that speeds conjugate gradients up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..base import LinearOperator

LOWEST = 1e-3  # of the largest eigenvalue; below, the stand-in says more about the border than about the scan


class Tomography(LinearOperator):
    """A linear operator whose A^T A is nearly a convolution (with 1 / |x| for many views).

    The eigenvalues of that convolution are the Fourier transform of A^T A applied to one pixel in the middle.
    """

    def preconditioner(self, rho: Tensor) -> Callable[[Tensor], Tensor] | None:
        """The inverse of that convolution plus rho; None for few views, which leave gaps in the Fourier plane."""
        if self.output_shape[-self.spatial] < max(self.input_shape[-2:]) / 2:
            return None
        axes = tuple(range(-self.spatial, 0))
        size = self.input_shape[-self.spatial :]
        spectrum = self.derived("spectrum", self._spectrum, rho)

        def apply(residual: Tensor) -> Tensor:
            return torch.fft.irfftn(torch.fft.rfftn(residual, dim=axes) / (spectrum + rho), s=size, dim=axes)

        return apply

    def _spectrum(self) -> Tensor:
        axes = tuple(range(-self.spatial, 0))
        size = self.input_shape[-self.spatial :]
        middle = tuple(n // 2 for n in size)
        angles = self.get_buffer("angles")
        point = torch.zeros(1, *self.input_shape, device=angles.device)
        centre: tuple[Any, ...] = (..., *middle)
        point[centre] = 1.0
        response = self._adjoint(self._forward(point))[(0,) * (point.ndim - self.spatial)]
        eigenvalues = torch.fft.rfftn(torch.roll(response, [-m for m in middle], axes), dim=axes).real
        return eigenvalues.clamp_min(LOWEST * float(eigenvalues.max()))
