"""Cartesian magnetic resonance imaging with one coil: y = M F x, closed in every form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import torch
from torch import Tensor

from ..common.errors import BadInput
from ..common.received import Received
from ..common.settings import Range, check
from ..core.base import SVD, ComplexPictures, LinearOperator, Shape, check_rho, check_shape
from ..core.diagonal import divide
from . import arrived, fourier
from .sampling import frame_masks, given_mask
from .settings import Acceleration, Calibration, CenterFraction, Dimensions, Frames, KspaceMask, Sampling, Seeds

SETTINGS = ("kind", "acceleration", "center_fraction", "calibration", "frames", "seed", "dimensions", "complex_values")


class Cartesian(LinearOperator):
    """What one coil and many have in common: sampled centred transforms of x times one factor per coil.

    The shifts of the centred transform are folded into the coils' factors (buffer `image_side`) and into the mask
    (`kspace_side`), so that a forward map is one product, one FFT and one product in place.
    """

    keep: Tensor  # C' x spatial, True where measured; C' and axes along which it is constant are 1 long

    def __init__(self, input_shape: Shape, *, coils: int, keep: Tensor, dimensions: int, complex_values: bool) -> None:
        shape = check_shape(input_shape, "input_shape")
        super().__init__(shape, (shape[0] * coils, *shape[1:]), complex_input=complex_values, complex_output=True)
        self.coils, self.dimensions = coils, dimensions
        self.register_buffer("keep", keep)

    @classmethod
    def received(
        cls, y: Tensor, arrays: Mapping[str, Tensor], settings: Mapping[str, Any], *, shape: Shape | None = None
    ) -> Received:
        """Complex samples in the right order, of as many coils as the operator knows."""
        return arrived.one_coil(y, arrays, shape, operator="mri-multicoil")

    # -- the map --------------------------------------------------------------------------------------------------

    def _forward(self, x: Tensor) -> Tensor:
        z = fourier.modulated(x.unsqueeze(2), self._image_side(x), is_paired=self._image_signs)
        y = fourier.fft(z, self._axes)
        fourier.modulate(y, self._kspace_side(x, conjugate=False), is_paired=self._kspace_signs)
        return y.flatten(1, 2)

    def _adjoint(self, y: Tensor) -> Tensor:
        # conj(A^H y) = sum_c s_c F (after keep conj(y)): the forward transform and the same factors serve again.
        y = y.reshape(y.shape[0], self.input_shape[0], self.coils, *y.shape[2:])
        if self._kspace_signs:
            y = y if y.is_complex() else torch.complex(y, torch.zeros_like(y))
            z = fourier.modulated(y, self._kspace_side(y, conjugate=True), is_paired=True)
        else:
            z = y.conj() * self._kspace_side(y, conjugate=True)
        return self._gather(fourier.fft(z, self._axes))

    def gram(self, x: Tensor) -> Tensor:
        """A^H A x: transforms only along axes on which the mask varies, 1 of 2 or 3 where lines are measured."""
        self._check(x, self.input_shape, self.complex_input, "input")
        z = fourier.modulated(x.unsqueeze(2), self._image_side(x), is_paired=self._image_signs)
        spectrum = fourier.fft(z, self._varying)
        kept = self.derived("kept", lambda: fourier.paired(self.keep[:, None].double(), conjugate=True), spectrum)
        return self._gather(fourier.fft(fourier.modulated(spectrum, kept, is_paired=True), self._varying))

    def _gather(self, z: Tensor) -> Tensor:
        """conj(sum_c s_c z_c). z: B x C x coils x spatial, and free to be overwritten."""
        fourier.modulate(z, self._image_side(z), is_paired=self._image_signs)
        total = z.sum(2) if self.coils > 1 else z[:, :, 0]
        return total.conj().resolve_conj() if self.complex_input else total.real.contiguous()

    # -- factors --------------------------------------------------------------------------------------------------

    @property
    def spatial_shape(self) -> Shape:
        """The axes that are transformed."""
        return self.input_shape[len(self.input_shape) - self.dimensions :]

    @property
    def observed(self) -> Tensor:
        """Boolean, output_shape: True where k-space was measured; the same for all coils."""
        keep = self.keep.repeat_interleave(self.coils, 0) if self.keep.shape[0] > 1 else self.keep
        return keep.expand(self.output_shape)

    @property
    def _axes(self) -> tuple[int, ...]:
        return tuple(range(-self.dimensions, 0))

    @property
    def _varying(self) -> tuple[int, ...]:
        return tuple(axis for axis in self._axes if self.keep.shape[axis] > 1)

    @property
    def _kspace_signs(self) -> bool:
        """Whether the factor in k-space is real: all sizes even."""
        return all(n % 2 == 0 for n in self.spatial_shape)

    @property
    def _image_signs(self) -> bool:
        """Whether the factor on the picture's side is real."""
        return self._kspace_signs

    def _make_image_side(self) -> Tensor:
        """before, times the maps where there are any: coils x spatial."""
        return fourier.before(self.spatial_shape)[None]

    def _image_side(self, like: Tensor) -> Tensor:
        return self.derived("image_side", lambda: fourier.paired(self._make_image_side()), like)

    def _kspace_side(self, like: Tensor, *, conjugate: bool) -> Tensor:
        def make() -> Tensor:
            turn = fourier.after(self.spatial_shape).to(self.keep.device)
            return fourier.paired(turn * self.keep[:, None].to(turn.real.dtype), conjugate=conjugate)

        return self.derived("kspace_side_back" if conjugate and self._kspace_signs else "kspace_side", make, like)


class Mri(Cartesian):
    """y = M F x: the centred orthonormal Fourier transform F, of which M keeps what was measured.

    input_shape: C x H x W (C pictures or frames), or C x D x H x W, of which a series of planes has 2 dimensions. The
    measurement has the shape of the picture, is complex, and is 0 where nothing was measured (`observed`, `compact()`).

    What is measured: see `sampling_mask`; frames lie along the axis before the transformed ones. A mask is W, H x W, or
    what broadcasts to input_shape. For real pictures the adjoint is Re(F^H M y).

    A A^H = M: pinv is the adjoint, (A^H A + rho)^-1 r = F^H (F r / (M + rho)). For real pictures M is replaced by its
    mean over k and -k, and frequencies measured once or twice have singular values (1/2)^1/2 and 1.
    """

    beside_array = SETTINGS

    def __init__(
        self,
        input_shape: Shape,
        *,
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
        super().__init__(input_shape, coils=1, keep=keep, dimensions=axes, complex_values=complex_values)
        self.kind = "array" if mask is not None else kind

    def solve(self, rhs: Tensor, rho: float | Tensor) -> Tensor:
        """F^H (F rhs / (power + rho)); 0 where both are 0."""
        self._check(rhs, self.input_shape, self.complex_input, "right-hand side")
        return self._filtered(rhs, lambda power: power + check_rho(rho, rhs))

    def pinv(self, y: Tensor, *, rtol: float = 1e-3) -> Tensor:
        """F^H y where measured: zero filling, and for real pictures the missing half from the conjugate."""
        x = self.adjoint(y)
        return x if self.complex_input else self._filtered(x, lambda power: power)

    def norm(self, *, iterations: int = 50) -> float:
        return float(self._make_power().max()) ** 0.5

    @property
    def svd(self) -> SVD:
        """Complex: V = F^H with measured frequencies first. Real: the Hartley basis, U = A V / s."""
        power = self._make_power().expand(self.input_shape).flatten()
        first, rest = (power > 0).nonzero()[:, 0].cpu(), (power == 0).nonzero()[:, 0].cpu()
        order, s = torch.cat([first, rest]), power.cpu()[first].sqrt()

        def in_input(x: Tensor) -> Tensor:
            return self._basis(x).flatten(1)[:, order.to(x.device)]

        def from_input(c: Tensor) -> Tensor:
            flat = c.new_zeros(c.shape[0], len(order))
            flat[:, order[: c.shape[1]].to(c.device)] = c
            return self._inverse_basis(flat.reshape(-1, *self.input_shape))

        def scale(c: Tensor) -> Tensor:
            return c / s.to(c.device, c.real.dtype)

        return SVD(
            s=s,
            U=lambda c: self.forward(from_input(scale(c))),
            Ut=lambda y: scale(in_input(self.adjoint(y))[:, : len(s)]),
            V=from_input,
            Vt=in_input,
        )

    def _basis(self, x: Tensor) -> Tensor:
        spectrum = fourier.centred_fft(x, dimensions=self.dimensions)
        return spectrum if self.complex_input else spectrum.real - spectrum.imag

    def _inverse_basis(self, c: Tensor) -> Tensor:
        return fourier.centred_ifft(c, dimensions=self.dimensions) if self.complex_input else self._basis(c)

    def _filtered(self, x: Tensor, change: Any) -> Tensor:
        power = self.derived("power", self._make_power, x)
        spectrum = fourier.centred_fft(x, dimensions=self.dimensions)
        result = fourier.centred_ifft(divide(spectrum, change(power)), dimensions=self.dimensions)
        return result if self.complex_input else result.real

    def _make_power(self) -> Tensor:
        """Squared singular values over k-space: M, or its mean over k and -k."""
        keep = self.keep.double()
        if self.complex_input:
            return keep
        # Frequency -k of index i is at 2 (n // 2) - i modulo n, and flipping gives n - 1 - i: one more where n is even.
        axes = self._varying
        mirrored = torch.roll(keep.flip(axes), [1 - keep.shape[axis] % 2 for axis in axes], axes) if axes else keep
        return (keep + mirrored) / 2

    def extra_repr(self) -> str:
        share = float(self.keep.double().mean())
        return f"{self.input_shape}, kind={self.kind!r}, measured={share:.4f}"


def circulant(diagonal: Tensor, rho: Tensor, axes: int | tuple[int, ...]) -> Callable[[Tensor], Tensor]:
    """r -> FFT^-1 (FFT r / (diagonal + rho)), an approximate inverse for conjugate gradients."""
    along = tuple(range(-axes, 0)) if isinstance(axes, int) else axes
    # Without rho a frequency may be all but invisible: its inverse is bounded, any positive one will do.
    power = (diagonal + rho).clamp_min(1e-3 * float(diagonal.max()))

    def apply(r: Tensor) -> Tensor:
        z = fourier.ifft(fourier.fft(r, along) / power, along)
        return z if r.is_complex() else z.real

    return apply


def transformed_axes(input_shape: Shape, dimensions: int | None) -> int:
    """How many last axes are transformed; BadInput unless 2 or 3 that the shape has beside its channels."""
    shape = check_shape(input_shape, "input_shape")
    most = len(shape) - 1
    if most not in (2, 3):
        raise BadInput(f"input_shape is {shape}", wanted="C x H x W, or C x D x H x W")
    if dimensions is None:
        return most
    return check("dimensions", dimensions, Annotated[int, Range(2, most)], where=f"pictures of shape {shape}")


def build_mask(input_shape: Shape, axes: int, mask: Any, *, frames: Frames, seed: Any, **settings: Any) -> Tensor:
    """C' x ... x H' x W' from a given array or from the settings of `sampling_mask`."""
    shape = check_shape(input_shape, "input_shape")
    if mask is not None:
        return given_mask(mask, shape[1:], shape[0])
    drawn = frame_masks(shape[len(shape) - axes :], frames=frames, count=shape[-axes - 1], seed=seed, **settings)
    return drawn.reshape((1,) * (len(shape) - drawn.ndim) + drawn.shape)
