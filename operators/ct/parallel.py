"""Parallel-beam tomography in the plane, and its filtered back-projection."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..common.errors import BadInput
from ..common.numbers import count, finite, positive
from ..core.base import Shape
from .backproject import sampling_weights
from .filters import padded, ramp, view_weights
from .footprint import area_weights
from .fourier import FourierSlice
from .geometry import Grid, parallel_views, view_angles
from .joseph import line_weights
from .matrix import ScanMatrix
from .normal import Tomography

PROJECTORS = ("fourier", "strip", "joseph")


class ParallelCT(Tomography):
    """y(t, k) = integral of x along x cos t + y sin t = s_k, s_k = (k - (n - 1)/2) ds + shift, for each channel.

    input_shape: (C, H, W), attenuation in 1/mm where `pixel` is in mm. Output (C, views, detectors), without a unit.

    angles: radians; None: `views` equidistant ones from `start` over `span`, the end left out. views None: the longer
    side of the picture in pixels. detectors: cells; None: as many as see the whole picture at every angle. spacing:
    width of a cell; None: one pixel. shift: of the detector along itself. pixel: side of a pixel. The last three in
    the same unit of length.
    projector: "fourier", strip integrals within the detector's band limit by non-uniform FFTs; "strip", exact areas;
    "joseph", lines through the middle of the cells. filter: of `direct`, one of operators.ct.filters.WINDOWS.

    Each projector has its exact adjoint. The two others are sparse matrices, made at first use.
    """

    def __init__(
        self,
        input_shape: Shape,
        *,
        views: int | None = None,
        start: float = 0.0,
        span: float = math.pi,
        angles: Sequence[float] | Any | None = None,
        detectors: int | None = None,
        spacing: float | None = None,
        shift: float = 0.0,
        pixel: float = 1.0,
        projector: str = "fourier",
        filter: str = "ram-lak",
    ) -> None:
        shape = picture_shape(input_shape)
        grid = Grid(shape[-2:], positive("pixel", pixel))
        width = grid.pixel if spacing is None else positive("spacing", spacing)
        chosen = view_angles(angles, views=max(shape[-2:]) if views is None else views, start=start, span=span)
        cells = 2 * math.ceil(grid.radius / width) if detectors is None else count("detectors", detectors)
        if projector not in PROJECTORS:
            raise BadInput(f"projector is {projector!r}", wanted=f"one of {', '.join(PROJECTORS)}")
        super().__init__(input_shape, (*shape[:-2], len(chosen), cells))
        self.projector, self.filter = projector, filter
        self.detectors, self.spacing, self.shift = cells, width, finite("shift", shift)
        self.pixel = grid.pixel
        self.register_buffer("angles", torch.from_numpy(chosen))
        ramp(cells, spacing=width, window=filter)
        self._grid = grid
        self._views = parallel_views(chosen, cells=cells, spacing=width, shift=shift)
        self._fourier = FourierSlice(chosen, grid, cells=cells, spacing=width, shift=shift)
        weights = line_weights if projector == "joseph" else area_weights
        self._matrix = ScanMatrix(self._views, grid, weights, taps=3)
        self._sampling = ScanMatrix(self._views, grid, sampling_weights, taps=2)

    @classmethod
    def told_by(cls, output_shape: Shape, settings: Mapping[str, Any]) -> tuple[Shape | None, dict[str, int]]:
        """The square as wide as the detector, which all views see whole but for its corners."""
        _, told = super().told_by(output_shape, settings)
        pixel = positive("pixel", settings.get("pixel", 1.0))
        spacing = pixel if settings.get("spacing") is None else positive("spacing", settings["spacing"])
        side = max(1, round(told["detectors"] * spacing / pixel))
        return (*output_shape[:-2], side, side), told

    def _forward(self, x: Tensor) -> Tensor:
        flat = x.reshape(-1, *self.input_shape[-2:])
        y = self._fourier.forward(flat) if self.projector == "fourier" else self._matrix.forward(flat)
        return y.reshape(x.shape[0], *self.output_shape)

    def _adjoint(self, y: Tensor) -> Tensor:
        flat = y.reshape(-1, *self.output_shape[-2:])
        x = self._fourier.adjoint(flat) if self.projector == "fourier" else self._matrix.transposed(flat)
        return x.reshape(y.shape[0], *self.input_shape)

    def direct(self, y: Tensor) -> Tensor:
        """Filtered back-projection with the filter named at construction; B x output_shape -> B x input_shape.

        Views are weighted by the angle they stand for, so that any list of angles serves; a missing wedge stays empty.
        Filtered views are read off at the place of each pixel: within the band limit ("fourier"), linearly between
        cells ("strip"), or along the projector's own lines ("joseph", whose result is ASTRA's).
        """
        self._check(y, self.output_shape, False, "measurement")
        transfer = self.derived("transfer", self._transfer, y)
        flat = y.reshape(-1, *self.output_shape[-2:])
        filtered = torch.fft.irfft(torch.fft.rfft(flat, n=padded(self.detectors)) * transfer, n=padded(self.detectors))
        x = self._back_projected(filtered[..., : self.detectors])
        return x.reshape(y.shape[0], *self.input_shape)

    def _back_projected(self, filtered: Tensor) -> Tensor:
        """Filtered views N x V x cells at the places of the pixels, summed over views: N x H x W."""
        if self.projector == "fourier":
            return self._fourier.sampled(filtered)
        if self.projector == "strip":
            return self._sampling.transposed(filtered)
        return self._matrix.transposed(filtered) * (self.spacing / self.pixel**2)

    def _transfer(self) -> Tensor:
        """The ramp, times the angle that each view stands for."""
        share = view_weights(self._grid_angles(), period=math.pi)
        return torch.from_numpy(share[:, None] * ramp(self.detectors, spacing=self.spacing, window=self.filter))

    def _grid_angles(self) -> Any:
        return self.get_buffer("angles").cpu().double().numpy()

    def extra_repr(self) -> str:
        return (
            f"{super().extra_repr()}, spacing={self.spacing:g}, shift={self.shift:g}, pixel={self.pixel:g}, "
            f"projector={self.projector!r}"
        )


def picture_shape(input_shape: Any) -> tuple[int, ...]:
    """(..., H, W) as whole numbers, or BadInput."""
    shape = tuple(int(n) for n in tuple(input_shape))
    if len(shape) < 2:
        raise BadInput(f"input_shape is {shape}", wanted="(C, H, W)")
    return shape
