"""Fan-beam tomography with a flat detector, and its filtered back-projection."""

from __future__ import annotations

import math
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor

from ..common.settings import OneOf
from ..core.base import Shape
from .backproject import sampling_weights
from .detector import CellRow, Continued
from .filtering import FilteredScan
from .footprint import area_weights
from .geometry import Grid, Views, check_distances, fan_views, view_angles
from .joseph import line_weights
from .matrix import ScanMatrix
from .parallel import picture_shape
from .redundancy import AngleCoverage, shares
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

PROJECTORS = ("footprint", "joseph")


class FanCT(FilteredScan):
    """y(t, k) = integral of x along the line from the source at angle t to cell k, for each channel.

    input_shape: (C, H, W), attenuation in 1/mm where `pixel` is in mm. Output (C, views, detectors), without a unit.

    Without angles or views there are twice as many as the longer side of the picture has pixels, over the range that
    `scan` names. Without a spacing a cell is as wide as one pixel on the axis of rotation looks on the detector.
    Projector "footprint" takes means over the width of the cells, "joseph" lines through their middles.

    A sparse matrix and its transpose, made at first use and folded by the symmetries of the scan.
    """

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
        spacing: Spacing = None,
        shift: Shift = 0.0,
        pixel: Pixel = 1.0,
        projector: Annotated[str, OneOf(PROJECTORS), "what a cell measures"] = "footprint",
        filter: Window = "ram-lak",
    ) -> None:
        shape = picture_shape(input_shape)
        grid = Grid(shape[-2:], float(pixel))
        orbit = Orbit(grid, source, detector)
        width = orbit.magnification * grid.pixel if spacing is None else float(spacing)
        cells = 2 * math.ceil(orbit.half_width / width) if detectors is None else detectors
        directions = view_angles(
            angles,
            views=2 * max(shape[-2:]) if views is None else views,
            start=start,
            span=full_span(scan, span, orbit, cells * width),
        )
        super().__init__(input_shape, (*shape[:-2], len(directions), cells))
        self.projector, self.filter = projector, filter
        self.source, self.detector = orbit.source, orbit.detector
        self.detectors, self.spacing, self.shift, self.pixel = cells, width, float(shift), grid.pixel
        self.register_buffer("angles", torch.from_numpy(directions))
        self._orbit, self._magnification = orbit, orbit.magnification
        self._row = orbit.continued(CellRow(cells, width, shift))

        def rays(row: CellRow) -> Views:
            distances = {"source": orbit.source, "detector": orbit.detector}
            return fan_views(directions, cells=row.cells, spacing=width, shift=row.shift, **distances)

        weights = line_weights if projector == "joseph" else area_weights
        self._matrix = ScanMatrix(rays(self._row.row), grid, weights, taps=3)
        self._sampling = ScanMatrix(rays(self._row.wide), grid, sampling_weights, taps=2)

    def direct(self, y: Tensor) -> Tensor:
        """Filtered back-projection for a flat fan (Kak, Slaney 1988, equation 3.107).

        y: B x output_shape; returns B x input_shape. Lines seen twice are shared smoothly, whatever the list of angles:
        full turn, short scan, anything between and beyond, a detector pushed aside. Lines that the scan does not hold
        are not made up; TruncatedScan warns where the object is wider than what was seen of it.
        """
        x = self._sampling.transposed(self._filtered(y))
        return x.reshape(y.shape[0], *self.input_shape)

    def _weight(self) -> Tensor:
        """V x cells: the cosine of each ray, the share of its line, and the angle of its view."""
        return torch.from_numpy(self._orbit.weights(self._coverage(), self._row))

    def extra_repr(self) -> str:
        return (
            f"{super().extra_repr()}, source={self.source:g}, detector={self.detector:g}, spacing={self.spacing:g}, "
            f"shift={self.shift:g}, pixel={self.pixel:g}, projector={self.projector!r}"
        )


class Orbit:
    """A source and a flat detector that turn about the middle of a picture."""

    def __init__(self, grid: Grid, source: float | None, detector: float | None) -> None:
        self._grid = grid
        side = max(grid.shape[-2:]) * grid.pixel
        self.source = 2.0 * side if source is None else source
        self.detector = 1.0 * side if detector is None else detector
        check_distances(grid, self.source, self.detector)
        self.magnification = (self.source + self.detector) / self.source
        # The outermost ray touches the circle around the picture.
        self.half_width = (self.source + self.detector) * math.tan(math.asin(grid.radius / self.source))

    def continued(self, row: CellRow) -> Continued:
        """The row with the cells that it lacks to see the whole picture."""
        return Continued(
            row,
            reach=self.half_width,
            distance=lambda at: self.source * np.sin(self.bend(at)),
            radii=(self._grid.inner_radius, self._grid.radius),
        )

    def bend(self, offsets: Any) -> Any:
        """Angle of the ray to a place on the detector against the central one."""
        return np.arctan2(offsets, self.source + self.detector)

    def weights(self, coverage: AngleCoverage, row: Continued) -> np.ndarray:
        """V x cells: cosine of the ray, share of its line, and angle between views."""
        bend = self.bend(row.wide.offsets())
        low, high = self.bend(np.array(row.measured))
        share = shares(coverage, bend=bend, place=bend, ends=(float(low), float(high)))
        return np.asarray(np.cos(bend) * share * coverage.weights[:, None])


def full_span(scan: str, span: float | None, orbit: Orbit, width: float) -> float:
    """The range of angles: as given, a full turn, or half a turn and the whole fan."""
    if span is not None:
        return float(span)
    fan = 2 * math.atan(width / 2 / (orbit.source + orbit.detector))
    return 2 * math.pi if scan == "full" else math.pi + fan
