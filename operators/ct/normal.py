"""What parallel, fan and cone beams share: a circulant stand-in for A^T A that speeds conjugate gradients up."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..common.errors import BadInput
from ..common.metadata import Facts, Hints
from ..common.received import Received
from ..core.base import LinearOperator, Shape
from . import informed
from .arrived import sinogram

LOWEST = 1e-3  # of the largest eigenvalue; below, the stand-in says more about the border than about the scan


class Tomography(LinearOperator):
    """A linear operator whose A^T A is nearly a convolution (with 1 / |x| for many views).

    The eigenvalues of that convolution are the Fourier transform of A^T A applied to one pixel in the middle.
    """

    # Settings that still mean something where the angles are given, and those that the axes of a measurement show.
    beside_array: ClassVar[tuple[str, ...]] = (
        "scan", "source", "detector", "detectors", "rows", "spacing", "row_spacing", "shift", "row_shift", "pixel",
        "projector", "filter",
    )  # fmt: skip
    measured_axes: ClassVar[tuple[str, ...]] = ("views", "detectors")

    parallel: ClassVar[bool] = False  # whether the rays of a view never meet

    @classmethod
    def informed_by(
        cls,
        meta: Facts,
        output_shape: Shape | None,
        settings: Mapping[str, Any],
        *,
        fixed: Collection[str] = (),
    ) -> Hints:
        """The pixel of a picture; of a measurement its views and cells, and angles and lengths that the file states.

        A beam that diverges shows the same sinogram of a small picture near the source and a large one far from it:
        the picture's shape is told by a parallel beam alone.
        """
        if output_shape is None:
            return informed.of_picture(meta, "DHW"[-cls.spatial :], settings, fixed)
        sizes = dict(zip(reversed(cls.measured_axes), reversed(output_shape), strict=False))
        return informed.of_views(meta, sizes, fixed, parallel=cls.parallel)

    @classmethod
    def received(
        cls, y: Tensor, arrays: Mapping[str, Tensor], settings: Mapping[str, Any], *, shape: Shape | None = None
    ) -> Received:
        """Line integrals with their views and cells in their places, and a picture whose size is known."""
        arrived = sinogram(y, arrays, axes=cls.measured_axes, parallel=cls.parallel)
        if shape is None and not cls.parallel:
            sizes = "C,D,H,W" if cls.spatial == 3 else "C,H,W"
            raise BadInput(
                "the size of the picture cannot be told from a beam that diverges: a small one near the source and a "
                "large one far from it have the same sinogram",
                do=f"Give it with --shape {sizes}, and the side of a pixel with --set operator.pixel=...",
            )
        return arrived

    def preconditioner(self, rho: Tensor) -> Callable[[Tensor], Tensor] | None:
        """The inverse of that convolution plus rho; None for few views, which leave gaps in the Fourier plane."""
        if self.output_shape[-self.spatial] < max(self.input_shape[-2:]) / 2:
            return None
        axes = tuple(range(-self.spatial, 0))
        size = self.input_shape[-self.spatial :]
        spectrum = self.derived("spectrum", self._spectrum, rho)

        def apply(residual: Tensor) -> Tensor:
            if not residual.numel():
                return residual.clone()
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
