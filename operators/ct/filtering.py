"""What filtered back-projection has in common in all beams: views are weighted, continued and filtered."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .detector import Continued
from .filters import padded, ramp
from .matrix import ScanMatrix
from .normal import Tomography
from .redundancy import AngleCoverage


class FilteredScan(Tomography):
    """A scan by a sparse matrix whose `direct` filters its views along the detector.

    A subclass sets what is declared here, and gives `_weight` and `direct`.
    """

    spacing: float
    filter: str
    _row: Continued
    _matrix: ScanMatrix
    _magnification: float  # of the detector over the axis of rotation

    def _forward(self, x: Tensor) -> Tensor:
        flat = x.reshape(-1, *self.input_shape[-self.spatial :])
        return self._matrix.forward(flat).reshape(x.shape[0], *self.output_shape)

    def _adjoint(self, y: Tensor) -> Tensor:
        flat = y.reshape(-1, *self.output_shape[-self.spatial :])
        return self._matrix.transposed(flat).reshape(y.shape[0], *self.input_shape)

    def _weight(self) -> Tensor:
        """V (x rows) x cells of the wide row: what each ray counts."""
        raise TypeError(f"{type(self).__name__} does not implement _weight")

    def _filtered(self, y: Tensor) -> Tensor:
        """Views (B x output_shape) weighted, continued beyond the detector and filtered: N x V (x rows) x cells.

        TruncatedScan warns where they end inside the object.
        """
        self._check(y, self.output_shape, False, "measurement")
        weight = self.derived("weight", self._weight, y)
        transfer = self.derived("transfer", self._transfer, y)
        self._row.caution(y, opposite=not self._coverage().holes)
        cells = self._row.wide.cells
        flat = (self._row(y) * weight).reshape(-1, *self.output_shape[-self.spatial : -1], cells)
        length = padded(cells)
        return torch.fft.irfft(torch.fft.rfft(flat, n=length) * transfer, n=length)[..., :cells]

    def _coverage(self) -> AngleCoverage:
        """What the views see of a whole turn."""
        return AngleCoverage(self.get_buffer("angles").cpu().double().numpy(), period=self._period)

    @property
    def _period(self) -> float:
        """Radians after which a view is the same one."""
        return 2 * math.pi

    def _transfer(self) -> Tensor:
        """The ramp, for cells as wide as they are on the axis of rotation."""
        width = self.spacing / self._magnification
        return torch.from_numpy(ramp(self._row.wide.cells, spacing=width, window=self.filter))
