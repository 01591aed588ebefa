"""Cone-beam tomography of volumes on a circular orbit, and its reconstruction by Feldkamp, Davis and Kress."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import numpy as np
import torch
from torch import Tensor

from ..common.settings import Count, Positive
from ..core.base import Shape
from .detector import CellRow
from .fan import Orbit, full_span
from .filtering import FilteredScan
from .footprint import position
from .geometry import Grid, Views, cone_views, view_angles
from .joseph import line_weights
from .matrix import ScanMatrix
from .parallel import picture_shape
from .settings import (
    Angles,
    DetectorDistance,
    Detectors,
    Pixel,
    Scan,
    Shift,
    Source,
    Spacing,
    Span,
    Start,
    ViewCount,
    Window,
)


class ConeCT(FilteredScan):
    """y(t, v, u) = integral of x along the line from the source at angle t to the cell (v, u), by Joseph's method.

    input_shape: (C, D, H, W), attenuation in 1/mm where `pixel` is in mm. Output (C, views, rows, detectors).

    The detector's rows lie along z, which is the axis of rotation. The settings that name no rows are those of the fan
    beam, which is the middle slice.

    A sparse matrix and its transpose, made at first use and folded by the symmetries of the orbit; of a scan whose
    matrix would not fit, parts are made anew for every product.
    """

    spatial: ClassVar[int] = 3
    measured_axes: ClassVar[tuple[str, ...]] = ("views", "rows", "detectors")

    def __init__(
        self,
        input_shape: Shape,
        *,
        views: ViewCount = None,
        start: Start = 0.0,
        scan: Scan = "full",
        span: Span | None = None,
        angles: Angles = None,
        source: Source = None,
        detector: DetectorDistance = None,
        detectors: Detectors = None,
        rows: Annotated[Count | None, "of the detector; none: as many as see the whole volume"] = None,
        spacing: Spacing = None,
        row_spacing: Annotated[Positive | None, "height of a cell; none: its width"] = None,
        shift: Shift = 0.0,
        row_shift: Annotated[float, "of the detector along z"] = 0.0,
        pixel: Pixel = 1.0,
        filter: Window = "ram-lak",
    ) -> None:
        shape = picture_shape(input_shape, wanted="(C, D, H, W)", least=3)
        grid = Grid(shape[-3:], float(pixel))
        orbit = Orbit(grid, source, detector)
        width = orbit.magnification * grid.pixel if spacing is None else float(spacing)
        height = width if row_spacing is None else float(row_spacing)
        cells = 2 * math.ceil(orbit.half_width / width) if detectors is None else detectors
        # The nearest edge of the volume has the largest shadow.
        tallest = shape[-3] * grid.pixel / 2 * (orbit.source + orbit.detector) / (orbit.source - grid.radius)
        lines = 2 * math.ceil(tallest / height) if rows is None else rows
        directions = view_angles(
            angles,
            views=2 * max(shape[-2:]) if views is None else views,
            start=start,
            span=full_span(scan, span, orbit, cells * width),
        )
        super().__init__(input_shape, (*shape[:-3], len(directions), lines, cells))
        self.source, self.detector, self.pixel, self.filter = orbit.source, orbit.detector, grid.pixel, filter
        self.detectors, self.spacing, self.shift = cells, width, float(shift)
        self.rows, self.row_spacing, self.row_shift = lines, height, float(row_shift)
        self.register_buffer("angles", torch.from_numpy(directions))
        self._grid, self._orbit, self._magnification = grid, orbit, orbit.magnification
        self._row = orbit.continued(CellRow(cells, width, shift))
        self._matrix = ScanMatrix(self._views(self._row.row), grid, line_weights, taps=4)

    def _views(self, row: CellRow) -> Views:
        return cone_views(
            self.get_buffer("angles").cpu().double().numpy(),
            cells=(self.rows, row.cells),
            spacing=(self.row_spacing, row.spacing),
            shift=(self.row_shift, row.shift),
            source=self.source,
            detector=self.detector,
        )

    def direct(self, y: Tensor) -> Tensor:
        """Filtered back-projection of Feldkamp, Davis and Kress 1984, doi:10.1364/JOSAA.1.000612.

        y: B x output_shape; returns B x input_shape. Exact in the middle plane, nearly so for small cone angles. Lists
        of angles and detectors pushed aside as for the fan beam.
        """
        filtered = self._filtered(y)
        volume = y.new_zeros(filtered.shape[0], *self._grid.shape)
        views = self._views(self._row.wide)
        for view in range(len(views)):
            volume += self._spread(filtered[:, view], views.at(np.array([view])))
        return volume.reshape(y.shape[0], *self.input_shape)

    def _spread(self, picture: Tensor, view: Views) -> Tensor:
        """One filtered view, N x rows x cells, read where each voxel's shadow falls: N x D x H x W."""
        u, magnification = position(view, *self._grid.centres())
        slices = self._grid.shape[0]
        z = (np.arange(slices) - (slices - 1) / 2) * self._grid.pixel
        v = (z[:, None] * magnification - self.row_shift) / self.row_spacing
        # grid_sample wants -1 at the first cell and 1 at the last one.
        across = np.broadcast_to(u * (2 / max(picture.shape[-1] - 1, 1)) - 1, v.shape)
        at = torch.from_numpy(np.stack([across, v * (2 / max(self.rows - 1, 1))], -1)).to(picture)
        near = torch.from_numpy((magnification / self._orbit.magnification) ** 2).to(picture)
        read = torch.nn.functional.grid_sample(picture[None], at[None], padding_mode="zeros", align_corners=True)[0]
        return (read * near).reshape(-1, *self._grid.shape)

    def _weight(self) -> Tensor:
        """V x rows x cells: the cosine of each ray, the share of its line, and the angle of its view."""
        flat = self._orbit.weights(self._coverage(), self._row)
        s = self._row.wide.offsets() / self._orbit.magnification
        v = CellRow(self.rows, self.row_spacing, self.row_shift).offsets()[:, None] / self._orbit.magnification
        tilt = np.hypot(self.source, s) / np.sqrt(self.source**2 + s**2 + v**2)
        return torch.from_numpy(flat[:, None] * tilt)

    def extra_repr(self) -> str:
        return (
            f"{super().extra_repr()}, source={self.source:g}, detector={self.detector:g}, spacing={self.spacing:g}, "
            f"row_spacing={self.row_spacing:g}, pixel={self.pixel:g}"
        )
