"""Magnetic resonance imaging on any trajectory: y_c = F_k S_c x by non-uniform FFTs."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor

from ..common.metadata import Facts, Hints
from ..common.received import Received
from ..common.settings import OneOf, Range
from ..core.base import ComplexPictures, LinearOperator, Shape, check_shape
from ..core.diagonal import divide
from ..core.linear_solvers import spectral_norm
from . import arrived, fourier, toeplitz
from . import density as compensation
from .cartesian import circulant, transformed_axes
from .coils import root_sum_of_squares
from .multicoil import coil_maps
from .plans import Nufft
from .settings import Coils, Dimensions, Frames, Maps
from .trajectories import Less, PointsUnit, Power, Samples, Spokes, Trajectory, given_points, trajectory

STRAIGHT = ("radial", "golden", "kooshball")  # kinds whose density is |k|^(d - 1)
CROWDED = 8  # densities that differ by this much are worth a preconditioner


class MriNufft(LinearOperator):
    """y_m = N^-1/2 sum_n x[n] exp(-i k_m . (n - N//2)), once for each coil's picture S_c x.

    input_shape: C x H x W or C x D x H x W. The measurement is complex, (C coils) x spokes x samples, or
    (C coils) x D x spokes x samples for a series of planes (dimensions 2).

    Trajectories: see `trajectory`. Points of one's own are points x axes or spokes x samples x axes, from -pi to pi
    (or in `unit`; a little beyond is taken modulo 2 pi),
    the slowest axis of the picture first; with an axis for the frames in front, each frame has its own. A series whose
    frames differ goes on with the lines that follow. Coils as in `mri-multicoil`; one has sensitivity 1. Transforms in
    double precision have eps of at most 1e-12. Density "auto" is the ramp for straight lines and Pipe-Menon otherwise.

    A and A^H are transposes to rounding at any eps. gram is the Toeplitz convolution, exact to 1e-13 and free of
    gridding; `solve` runs conjugate gradients on it, preconditioned by the nearest circulant matrix. `direct` is the
    density-compensated adjoint A^H W y / sum |S_c|^2: near x where k-space is covered.
    """

    beside_array = ("unit", "coils", "eps", "density", "dimensions", "complex_values")
    points: Tensor  # F x ... x axes, F 1 or the frames
    maps: Tensor | None

    def __init__(
        self,
        input_shape: Shape,
        *,
        kind: Trajectory = "radial",
        acceleration: Less = 4,
        spokes: Spokes = None,
        samples: Samples = None,
        power: Power = 1.0,
        frames: Frames = "same",
        points: Annotated[Tensor | np.ndarray | list[Any] | None, "the trajectory itself"] = None,
        unit: PointsUnit = None,
        coils: Coils = 1,
        maps: Maps = None,
        eps: Annotated[float, Range(above=0, below=1), "relative precision of transforms in single precision"] = 1e-6,
        density: Annotated[
            Annotated[str, OneOf(compensation.NAMES)] | Tensor | np.ndarray,
            "weights of `direct`: their rule, or an array",
        ] = "auto",
        dimensions: Dimensions = None,
        complex_values: ComplexPictures = True,
    ) -> None:
        axes = transformed_axes(input_shape, dimensions)
        shape = check_shape(input_shape, "input_shape")
        size = shape[len(shape) - axes :]
        count = shape[-axes - 1]  # frames: what precedes the transformed axes
        if points is None:
            settings: dict[str, Any] = {
                "kind": kind,
                "acceleration": acceleration,
                "spokes": spokes,
                "samples": samples,
                "power": power,
            }
            places = torch.stack([trajectory(size, frame=i, **settings) for i in _frame_numbers(frames, count)])
        else:
            kind, places = "array", given_points(points, axes, unit=unit, size=size)
            places = places if places.ndim == 4 and len(places) == count else places[None]
        sensitivities = None if maps is None and coils == 1 else coil_maps(shape, axes, maps, coils)
        receivers = 1 if sensitivities is None else len(sensitivities)
        super().__init__(
            shape,
            (shape[0] * receivers, *shape[1 : len(shape) - axes], *places.shape[1:-1]),
            complex_input=complex_values,
            complex_output=True,
        )
        self.coils, self.dimensions, self.kind, self.eps = receivers, axes, kind, float(eps)
        self.density = check_density(density, places.shape[:-1])
        self.register_buffer("points", places)
        self.register_buffer("maps", sensitivities)
        self.simulated_maps = maps is None and sensitivities is not None
        self._transforms = [Nufft(frame, size, eps=self.eps) for frame in places]
        self._norms: dict[int, float] = {}

    # -- the map --------------------------------------------------------------------------------------------------

    @classmethod
    def informed_by(
        cls,
        meta: Facts,
        output_shape: Shape | None,
        settings: Mapping[str, Any],
        *,
        fixed: Collection[str] = (),
    ) -> Hints:
        """The points at which a measurement was taken, where its file states them."""
        stated = None if meta.acquisition is None else meta.acquisition.trajectory
        if output_shape is None or stated is None or "points" in fixed:
            return Hints()
        note = f"points: the file's own trajectory of {len(stated)} (another with --array points=FILE)"
        return Hints(arrays={"points": stated}, notes={"points": note})

    @classmethod
    def received(
        cls, y: Tensor, arrays: Mapping[str, Tensor], settings: Mapping[str, Any], *, shape: Shape | None = None
    ) -> Received:
        """Complex samples of one coil, or of several whose maps are given."""
        return arrived.trajectory_scan(y, arrays, settings, shape)

    @property
    def support(self) -> Tensor | None:
        """Where any coil sees anything; None for one coil, which sees everything."""
        return None if self.maps is None else (self.maps != 0).any(0)

    def _forward(self, x: Tensor) -> Tensor:
        z = self._received(x, self._scaled_maps(x), self._scale)
        return self._by_frame(z, self.dimensions, self._samples, Nufft.forward).flatten(1, 2)

    def _adjoint(self, y: Tensor) -> Tensor:
        z = self._by_frame(self._split(y), len(self._samples), self.spatial_shape, Nufft.adjoint)
        return self._combined(z, self._scaled_maps(y), self._scale)

    def gram(self, x: Tensor) -> Tensor:
        """A^H A x by the Toeplitz kernel."""
        self._check(x, self.input_shape, self.complex_input, "input")
        maps = None if self.maps is None else self.constant("maps", x)
        pairs = self.derived("toeplitz", self._make_toeplitz, x)
        return self._combined(toeplitz.convolve(self._received(x, maps, 1.0), pairs, self.spatial_shape), maps, 1.0)

    def _by_frame(self, data: Tensor, axes: int, shape: Shape, run: Callable[[Nufft, Tensor], Tensor]) -> Tensor:
        """A transform of the last `axes` of B x C x coils (x D) x ...; frames with points of their own in turn."""
        lead = data.shape[: data.ndim - axes]
        if len(self._transforms) == 1:
            return run(self._transforms[0], data).reshape(*lead, *shape)
        frame_axis = 1 if len(lead) == 3 else 3
        rest = (*lead[:frame_axis], *lead[frame_axis + 1 :])
        parts = [run(t, data.select(frame_axis, i)).reshape(*rest, *shape) for i, t in enumerate(self._transforms)]
        return torch.stack(parts, frame_axis)

    def _received(self, x: Tensor, maps: Tensor | None, scale: float) -> Tensor:
        """What each coil sees, complex: B x C x coils (x D) x spatial."""
        z = x.unsqueeze(2)
        if maps is not None:
            return z * maps
        z = z if scale == 1 else z * scale
        return z if z.is_complex() else torch.complex(z, torch.zeros_like(z))

    def _combined(self, z: Tensor, maps: Tensor | None, scale: float) -> Tensor:
        """sum_c conj(s_c) z_c, the adjoint of `_received`."""
        alone = z[:, :, 0] if maps is None else (maps.conj() * z).sum(2)
        total = alone if maps is not None or scale == 1 else alone * scale
        return total if self.complex_input else total.real.contiguous()

    def _split(self, y: Tensor) -> Tensor:
        y = y if y.is_complex() else torch.complex(y, torch.zeros_like(y))
        return y.reshape(y.shape[0], self.input_shape[0], self.coils, *y.shape[2:])

    # -- factors --------------------------------------------------------------------------------------------------

    @property
    def spatial_shape(self) -> Shape:
        """The axes that are transformed."""
        return self.input_shape[len(self.input_shape) - self.dimensions :]

    @property
    def _samples(self) -> Shape:
        return tuple(self.points.shape[1:-1])

    @property
    def _scale(self) -> float:
        return 1 / math.sqrt(math.prod(self.spatial_shape))

    def _scaled_maps(self, like: Tensor) -> Tensor | None:
        maps = self.maps
        return None if maps is None else self.derived("scaled_maps", lambda: maps * self._scale, like)

    def _framed(self, values: Tensor) -> Tensor:
        """F x ... as what broadcasts over B x C x coils (x D) x ..."""
        return values if len(self.input_shape) - 1 > self.dimensions else values.unsqueeze(1)

    def _lags(self) -> Tensor:
        return torch.stack([toeplitz.lags(frame, self.spatial_shape) for frame in self.points.cpu()])

    def _make_toeplitz(self) -> Tensor:
        spectrum = toeplitz.spectrum(self._lags(), self.spatial_shape)
        return self._framed(fourier.paired(spectrum).to(self.points.device))

    def _make_diagonal(self) -> Tensor:
        maps = None if self.maps is None else self.maps.cpu().reshape(self.coils, -1, *self.spatial_shape)[:, 0]
        d = toeplitz.diagonal(self._lags(), self.spatial_shape, maps)
        # Without the coil axis: the preconditioner acts on pictures.
        return d.to(self.points.device)

    def _make_density(self) -> Tensor:
        names = isinstance(self.density, str)
        weights = [
            compensation.build(self.density, frame, self.spatial_shape, straight=self.kind in STRAIGHT)
            if names
            else self.density[min(i, len(self.density) - 1)]
            for i, frame in enumerate(self.points.cpu())
        ]
        return self._framed(torch.stack(weights)).to(self.points.device)  # type: ignore[arg-type]

    # -- reconstructions ------------------------------------------------------------------------------------------

    def direct(self, y: Tensor) -> Tensor:
        """The density-compensated adjoint, over the power of the coils: gridding."""
        self._check(y, self.output_shape, self.complex_output, "measurement")
        weights = self.derived("weights", self._make_density, y)
        x = self.adjoint((self._split(y) * weights).flatten(1, 2))
        if self.maps is None:
            return x
        maps = self.maps
        power = self.derived("power", lambda: root_sum_of_squares(maps) ** 2, y)
        return divide(x, power)

    def norm(self, *, iterations: int = 150) -> float:
        """Largest singular value by the Lanczos method, kept."""
        if iterations not in self._norms:
            self._norms[iterations] = spectral_norm(self, iterations=iterations)
        return self._norms[iterations]

    def preconditioner(self, rho: Tensor) -> Callable[[Tensor], Tensor] | None:
        """r -> FFT^-1 (FFT r / (d + rho)), d the diagonal of A^H A in the Fourier basis; None where d is nearly flat.

        Spokes crowd at the centre, and d undoes it: a third of the iterations. Spirals gain nothing.
        """
        d = self.derived("diagonal", self._make_diagonal, rho)
        if float(d.max()) < CROWDED * float(d.mean()):
            return None
        return circulant(d, rho, self.dimensions)

    def extra_repr(self) -> str:
        samples = " x ".join(map(str, self._samples))
        return f"{self.input_shape}, kind={self.kind!r}, samples={samples}, coils={self.coils}, eps={self.eps:g}"


def _frame_numbers(frames: str, count: int) -> range:
    return range(count if frames == "different" else 1)


def check_density(density: Any, shape: tuple[int, ...]) -> Any:
    """The name, or weights as F x ...; BadInput for weights that do not fit the points."""
    return density if isinstance(density, str) else compensation.given(density, shape)
