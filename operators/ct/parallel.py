"""Parallel-beam tomography in the plane, and its filtered back-projection."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from ..common.errors import BadInput
from ..common.metadata import Facts, Hints
from ..common.settings import OneOf
from ..core.base import Shape
from .backproject import sampling_weights
from .detector import CellRow, Continued
from .filtering import FilteredScan
from .footprint import area_weights
from .fourier import FourierSlice
from .geometry import Grid, parallel_views, view_angles
from .informed import square
from .joseph import line_weights
from .matrix import ScanMatrix, Weights
from .redundancy import shares
from .settings import Angles, Detectors, Pixel, Shift, Spacing, Span, Start, ViewCount, Window

PROJECTORS = ("fourier", "strip", "joseph")


class ParallelCT(FilteredScan):
    """y(t, k) = integral of x along x cos t + y sin t = s_k, s_k = (k - (n - 1)/2) ds + shift, for each channel.

    input_shape: (C, H, W), attenuation in 1/mm where `pixel` is in mm. Output (C, views, detectors), without a unit.

    Without angles or views there are as many as the longer side of the picture has pixels. Spacing, shift and pixel are
    in the same unit of length. Projector "fourier" takes strip integrals within the detector's band limit by
    non-uniform FFTs, "strip" exact areas, "joseph" lines through the middle of the cells.

    Each projector has its exact adjoint. The two others are sparse matrices, made at first use.
    """

    parallel: ClassVar[bool] = True

    def __init__(
        self,
        input_shape: Shape,
        *,
        views: ViewCount = None,
        start: Start = 0.0,
        span: Span = math.pi,
        angles: Angles = None,
        detectors: Detectors = None,
        spacing: Spacing = None,
        shift: Shift = 0.0,
        pixel: Pixel = 1.0,
        projector: Annotated[str, OneOf(PROJECTORS), "what a cell measures"] = "fourier",
        filter: Window = "ram-lak",
    ) -> None:
        shape = picture_shape(input_shape)
        grid = Grid(shape[-2:], float(pixel))
        width = grid.pixel if spacing is None else float(spacing)
        directions = view_angles(angles, views=max(shape[-2:]) if views is None else views, start=start, span=span)
        cells = 2 * math.ceil(grid.radius / width) if detectors is None else detectors
        super().__init__(input_shape, (*shape[:-2], len(directions), cells))
        self.projector, self.filter = projector, filter
        self.detectors, self.spacing, self.shift = cells, width, float(shift)
        self.pixel, self._magnification = grid.pixel, 1.0
        self.register_buffer("angles", torch.from_numpy(directions))
        self._row = Continued(
            CellRow(cells, width, shift), reach=grid.radius, distance=np.asarray, radii=(grid.inner_radius, grid.radius)
        )
        weights = line_weights if projector == "joseph" else area_weights

        def fourier(row: CellRow) -> FourierSlice:
            return FourierSlice(directions, grid, cells=row.cells, spacing=width, shift=row.shift)

        def matrix(row: CellRow, weights: Weights, taps: int) -> ScanMatrix:
            views = parallel_views(directions, cells=row.cells, spacing=width, shift=row.shift)
            return ScanMatrix(views, grid, weights, taps=taps)

        wide = self._row.wide
        self._fourier = fourier(self._row.row)
        self._matrix = matrix(self._row.row, weights, 3)
        # What `direct` reads filtered views with, which go on beyond a detector that is too short.
        self._wide_fourier = self._fourier if self._row.complete else fourier(wide)
        self._wide_matrix = self._matrix if self._row.complete else matrix(wide, weights, 3)
        self._sampling = matrix(wide, sampling_weights, 2)

    @classmethod
    def informed_by(
        cls,
        meta: Facts,
        output_shape: Shape | None,
        settings: Mapping[str, Any],
        *,
        fixed: Collection[str] = (),
    ) -> Hints:
        """That of every scan, and the picture: the square as wide as the detector."""
        hints = super().informed_by(meta, output_shape, settings, fixed=fixed)
        if output_shape is None:
            return hints
        shape = square(hints, output_shape, settings)
        note = f"size of the picture: {shape[-1]} x {shape[-2]}, as wide as the detector (another with --shape)"
        return replace(hints, input_shape=shape, notes={"input_shape": note, **hints.notes})

    def _forward(self, x: Tensor) -> Tensor:
        if self.projector != "fourier":
            return super()._forward(x)
        return self._fourier.forward(x.reshape(-1, *self.input_shape[-2:])).reshape(x.shape[0], *self.output_shape)

    def _adjoint(self, y: Tensor) -> Tensor:
        if self.projector != "fourier":
            return super()._adjoint(y)
        return self._fourier.adjoint(y.reshape(-1, *self.output_shape[-2:])).reshape(y.shape[0], *self.input_shape)

    def direct(self, y: Tensor) -> Tensor:
        """Filtered back-projection with the filter named at construction; B x output_shape -> B x input_shape.

        Views are weighted by the angle they stand for, so that any list of angles serves, in any order; a missing wedge
        stays empty. A detector pushed aside shares each line with the view from across, over a full turn. TruncatedScan
        warns where the object is wider than what was seen of it. Filtered views are read off at the place of each
        pixel: within the band limit ("fourier"), linearly between cells ("strip"), or along the projector's own lines
        ("joseph", whose result is ASTRA's).
        """
        return self._back_projected(self._filtered(y)).reshape(y.shape[0], *self.input_shape)

    def _back_projected(self, filtered: Tensor) -> Tensor:
        """Filtered views N x V x cells at the places of the pixels, summed over views: N x H x W."""
        if self.projector == "fourier":
            return self._wide_fourier.sampled(filtered)
        if self.projector == "strip":
            return self._sampling.transposed(filtered)
        return self._wide_matrix.transposed(filtered) * (self.spacing / self.pixel**2)

    @property
    def _period(self) -> float:
        """Half a turn, as views from across are mirror images; a whole one where the detector is pushed aside."""
        return 2 * math.pi if self._row.displaced else math.pi

    def _weight(self) -> Tensor:
        """V x cells: the angle that each view stands for, and the share of each ray in its line."""
        coverage = self._coverage()
        if not self._row.displaced:
            return torch.from_numpy(coverage.weights[:, None])
        place = self._row.wide.offsets()
        share = shares(coverage, bend=np.zeros_like(place), place=place, ends=self._row.measured)
        return torch.from_numpy(coverage.weights[:, None] * share)

    def extra_repr(self) -> str:
        return (
            f"{super().extra_repr()}, spacing={self.spacing:g}, shift={self.shift:g}, pixel={self.pixel:g}, "
            f"projector={self.projector!r}"
        )


def picture_shape(input_shape: Shape, *, wanted: str = "(C, H, W)", least: int = 2) -> Shape:
    """The shape, or BadInput for one of fewer axes than a picture or a volume has."""
    if len(input_shape) < least:
        raise BadInput(f"input_shape is {input_shape}", wanted=wanted)
    return input_shape
