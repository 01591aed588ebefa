"""Parallel imaging: y_c = M F S_c x for every coil c (SENSE, Pruessmann et al. 1999)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ..common.received import Received
from ..common.settings import check, check_room
from ..core.base import ComplexPictures, Shape
from ..core.diagonal import divide
from ..core.linear_solvers import spectral_norm
from ..core.shapes import MOST
from . import arrived, fourier
from .cartesian import SETTINGS, Cartesian, build_mask, circulant, transformed_axes
from .coils import birdcage, checked_maps, root_sum_of_squares
from .settings import (
    Acceleration,
    Calibration,
    CenterFraction,
    Coils,
    Dimensions,
    Frames,
    KspaceMask,
    Maps,
    Sampling,
    Seeds,
)


class MultiCoilMri(Cartesian):
    """y_c = M F S_c x: a Cartesian scan received by several coils, each with its own sensitivity S_c.

    input_shape: C x H x W, or C x D x H x W. The measurement is (C coils) x ... x H x W, the coils of a frame next to
    each other, and 0 where nothing was measured.

    Without maps a ring of loops is simulated (`birdcage`), normalised to sum_c |S_c|^2 = 1; other settings are those of
    `Mri`. `MultiCoilMri.calibrated(kspace)` estimates maps from data.

    gram transforms only axes on which the mask varies; `solve` runs conjugate gradients, preconditioned by the
    circulant matrix nearest to A^H A (Chan 1988): diag(F A^H A F^H). `direct` is A^H y over sum_c |S_c|^2: zero-filled,
    combined.
    """

    beside_array = (*SETTINGS, "coils")
    maps: Tensor
    simulated_maps: bool

    def __init__(
        self,
        input_shape: Shape,
        *,
        coils: Coils = 8,
        maps: Maps = None,
        kind: Sampling = "random",
        acceleration: Acceleration = 4,
        center_fraction: CenterFraction = None,
        calibration: Calibration = None,
        frames: Frames = "same",
        seed: Seeds = 0,
        mask: KspaceMask = None,
        dimensions: Dimensions = None,
        complex_values: ComplexPictures = True,
    ) -> None:
        axes = transformed_axes(input_shape, dimensions)
        keep = build_mask(
            input_shape,
            axes,
            mask,
            kind=kind,
            acceleration=acceleration,
            center_fraction=center_fraction,
            calibration=calibration,
            frames=frames,
            seed=seed,
        )
        sensitivities = coil_maps(input_shape, axes, maps, coils)
        super().__init__(
            input_shape, coils=len(sensitivities), keep=keep, dimensions=axes, complex_values=complex_values
        )
        self.kind = "array" if mask is not None else kind
        self.register_buffer("maps", sensitivities)
        self.simulated_maps = maps is None
        self._norms: dict[int, float] = {}

    @classmethod
    def calibrated(
        cls,
        kspace: Tensor,
        *,
        mask: Tensor | np.ndarray | None = None,
        method: Literal["espirit", "walsh"] = "espirit",
        **settings: Any,
    ) -> MultiCoilMri:
        """The operator of measured data, with maps estimated from the middle of k-space.

        kspace: coils x H x W or coils x D x H x W, complex, zero frequency in the middle. mask: what was measured;
        default where any coil is not exactly 0. method: "espirit" or "walsh", with their settings.
        """
        from . import calibration

        check("method", method, Literal["espirit", "walsh"])
        estimate: Callable[..., Tensor] = getattr(calibration, method)
        maps = estimate(kspace, **settings)
        keep = (kspace != 0).any(0) if mask is None else mask
        return cls((1, *kspace.shape[1:]), maps=maps, mask=keep)

    @classmethod
    def received(
        cls, y: Tensor, arrays: Mapping[str, Tensor], settings: Mapping[str, Any], *, shape: Shape | None = None
    ) -> Received:
        """K-space of as many coils as there are maps, which must be given, and the shape of its picture."""
        return arrived.many_coils(y, arrays, shape)

    @property
    def support(self) -> Tensor:
        """Where any coil sees anything: D x H x W or less, True there."""
        return (self.maps != 0).any(0)

    @property
    def _image_signs(self) -> bool:
        return False

    def _make_image_side(self) -> Tensor:
        return self.maps * fourier.before(self.spatial_shape).to(self.maps.device)

    def direct(self, y: Tensor) -> Tensor:
        power = self.derived("power", lambda: root_sum_of_squares(self.maps) ** 2, y)
        return divide(self.adjoint(y), power)

    def norm(self, *, iterations: int = 150) -> float:
        """Largest singular value by the Lanczos method, kept: many lie close to 1, where coils see all of the mask."""
        if iterations not in self._norms:
            self._norms[iterations] = spectral_norm(self, iterations=iterations)
        return self._norms[iterations]

    def preconditioner(self, rho: Tensor) -> Callable[[Tensor], Tensor]:
        """r -> FFT^-1 (FFT r / (d + rho)), d the diagonal of A^H A in the Fourier basis."""
        return circulant(self.derived("diagonal", self._make_diagonal, rho), rho, self._varying)

    def _make_diagonal(self) -> Tensor:
        """C' x spatial, 1 long where the mask is constant: the mask correlated with the power of the maps' spectra.

        A plane wave of frequency k lands on M as the maps' spectra shifted by k: d[k] = sum_c sum_k' M[k + k']
        |FFT s_c|^2[k'] / N.
        """
        axes = self._varying
        fixed = tuple(axis for axis in self._axes if axis not in axes)
        power = (fourier.fft(self._make_image_side(), axes).abs() ** 2).sum(0, keepdim=True)
        power = power.mean(fixed, keepdim=True) if fixed else power
        keep = self.keep.double()
        if not axes:
            return (keep * power).real
        count = math.prod(self.keep.shape[axis] for axis in axes)
        correlated = torch.fft.ifftn(torch.fft.fftn(keep, dim=axes) * torch.fft.fftn(power, dim=axes).conj(), dim=axes)
        return correlated.real.clamp_min(0) / count

    def extra_repr(self) -> str:
        share = float(self.keep.double().mean())
        return f"{self.input_shape}, coils={self.coils}, kind={self.kind!r}, measured={share:.4f}"


def coil_maps(input_shape: Shape, axes: int, maps: Any, coils: int) -> Tensor:
    """coils x ... x H x W complex128, broadcastable to a frame: given ones checked, or a simulated ring."""
    spatial = tuple(input_shape)[len(input_shape) - axes :]
    if maps is None:
        check_room("coils", coils, math.prod(spatial), most=MOST)
        values = birdcage(spatial, coils=coils)
    elif tuple(np.shape(maps))[-len(input_shape) + 1 :] == tuple(input_shape)[1:]:
        return checked_maps(maps, tuple(input_shape)[1:])
    else:
        values = checked_maps(maps, spatial)
    return values.reshape(len(values), *[1] * (len(input_shape) - 1 - axes), *spatial)
