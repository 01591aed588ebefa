"""Convolution with a kernel under a named boundary, with its exact adjoint and closed forms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..common.errors import BadInput
from ..common.settings import Seed
from ..core.base import SVD, LinearOperator, Shape, check_shape
from . import kernels
from .bases import Axes, Basis, Cosine, Fourier, is_even
from .convolution import WINDOW_UP_TO, MovingWindow, PeriodicConvolution, output_shape, rank_one
from .kernels.settings import (
    Amplitude,
    Angle,
    Correlation,
    Intensity,
    KernelSource,
    Length,
    Normalise,
    Obstruction,
    Radius,
    Sigma,
    Size,
    Zernike,
)
from .padding import Boundary

AXES_UP_TO = 1024  # longest side whose matrices are decomposed; that takes a second, and grows with the cube


class Blur(LinearOperator):
    """y[p] = sum_q h[q] x[p - q + c]: a true convolution, centre c = size // 2 on each axis, the same for each channel.

    input_shape: (..., H, W). Named kernels: gaussian, motion, trajectory, gaussian-process, disk, airy or box
    (`operators.kernels`), whose settings are None for the kernel's own default; one that it does not take is refused.
    Under boundary "valid" y is H - h + 1 by W - w + 1.

    Closed forms: circular (Fourier basis), symmetric with an even kernel (cosine basis), rank-1 kernels up to
    AXES_UP_TO pixels a side (singular vectors of each axis). Elsewhere `svd` is None and solve and pinv are conjugate
    gradients, with the nearest of these bases as preconditioner where that helps.
    """

    beside_array = ("boundary", "normalise")  # parameters that still mean something when a kernel array is given
    kernel: Tensor

    def __init__(
        self,
        input_shape: Shape,
        *,
        kernel: KernelSource = "gaussian",
        boundary: Boundary = "circular",
        size: Size = None,
        sigma: Sigma | None = None,
        angle: Angle | None = None,
        length: Length | None = None,
        radius: Radius | None = None,
        intensity: Intensity | None = None,
        correlation: Correlation | None = None,
        amplitude: Amplitude | None = None,
        obstruction: Obstruction | None = None,
        zernike: Zernike | None = None,
        seed: Seed | None = None,
        normalise: Normalise = True,
    ) -> None:
        shape = check_shape(input_shape, "input_shape")
        if len(shape) < 2:
            raise BadInput(f"input_shape is {shape}", wanted="(..., H, W)")
        settings = {
            "size": size,
            "sigma": sigma,
            "angle": angle,
            "length": length,
            "radius": radius,
            "intensity": intensity,
            "correlation": correlation,
            "amplitude": amplitude,
            "obstruction": obstruction,
            "zernike": zernike,
            "seed": seed,
        }
        options = {name: value for name, value in settings.items() if value is not None}
        h = _kernel(kernel, options, normalise)
        if boundary == "valid" and (h.shape[0] > shape[-2] or h.shape[1] > shape[-1]):
            raise BadInput(
                f"the kernel has {h.shape[0]} x {h.shape[1]} pixels and the picture {shape[-2]} x {shape[-1]}",
                wanted="a kernel that fits into the picture under boundary 'valid'",
                do="Choose another boundary, such as 'symmetric', or a smaller kernel.",
            )
        super().__init__(shape, output_shape(shape, h, boundary))
        self.boundary = boundary
        by_name = isinstance(kernel, str) and not kernels.is_file_name(kernel)
        self._named = f"{kernel!r}" if by_name else f"array {kernels.fingerprint(h)}"
        self._options = options
        self.register_buffer("kernel", torch.from_numpy(h.copy()))
        self.spectral = PeriodicConvolution(shape, h, boundary)
        self.window = MovingWindow(shape, h, boundary) if max(h.shape) <= WINDOW_UP_TO else None

    def _forward(self, x: Tensor) -> Tensor:
        wide = _at_least_single(x)
        return self._path(wide)._forward(wide).to(x.dtype)

    def _adjoint(self, y: Tensor) -> Tensor:
        wide = _at_least_single(y)
        return self._path(wide)._adjoint(wide).to(y.dtype)

    def solve(self, rhs: Tensor, rho: float | Tensor) -> Tensor:
        """(A^T A + rho I)^-1 rhs, exact in a basis where there is one; preconditioned conjugate gradients elsewhere."""
        self._check(rhs, self.input_shape, False, "right-hand side")
        basis = self.basis
        return super().solve(rhs, rho) if basis is None else basis.solve(rhs, rho)

    def preconditioner(self, rho: Tensor) -> Callable[[Tensor], Tensor] | None:
        """The inverse for a boundary that has a basis, where it saves steps (measured; it may as well cost some)."""
        if self.boundary in ("zero", "valid"):
            near: Basis = self._periodic
        elif self.boundary == "symmetric" or is_even(self._array()):
            near = self._mirrored
        else:
            return None
        # A zero of the spectrum is no zero of A itself: bounded away from it, the preconditioner stays definite.
        level = (rho + 1e-6 * near.norm() ** 2).flatten()
        return lambda r: near.solve(r, level)

    def pinv(self, y: Tensor, *, rtol: float = 1e-3) -> Tensor:
        self._check(y, self.output_shape, False, "measurement")
        basis = self.basis
        return super().pinv(y, rtol=rtol) if basis is None else basis.pinv(y, rtol=rtol)

    def norm(self, *, iterations: int = 50) -> float:
        """Exact where a basis is known, power iteration elsewhere."""
        basis = self.basis
        return super().norm(iterations=iterations) if basis is None else basis.norm()

    @property
    def svd(self) -> SVD | None:
        return None if self.basis is None else self.basis.svd

    @property
    def basis(self) -> Basis | None:
        """The basis in which this blur is diagonal, made at first use; None where none is known."""
        if self.boundary == "circular":
            return self._periodic
        if "_diagonal" not in self._modules:
            self._keep("_diagonal", self._find_basis())
        return self._modules["_diagonal"]  # type: ignore[return-value]

    def _find_basis(self) -> Basis | None:
        h = self._array()
        if self.boundary == "symmetric" and is_even(h):
            return self._mirrored
        factors = rank_one(h) if max(self.input_shape[-2:]) <= AXES_UP_TO else None
        return None if factors is None else Axes(self.input_shape, h, self.boundary, factors=factors)

    @property
    def _periodic(self) -> Fourier:
        if "_fourier" not in self._modules:
            self._keep("_fourier", Fourier(self.input_shape, self._array()))
        return self._modules["_fourier"]  # type: ignore[return-value]

    @property
    def _mirrored(self) -> Cosine:
        if "_cosine" not in self._modules:
            self._keep("_cosine", Cosine(self.input_shape, self._array()))
        return self._modules["_cosine"]  # type: ignore[return-value]

    def _keep(self, name: str, basis: Basis | None) -> None:
        with torch.inference_mode(False):
            self.add_module(name, None if basis is None else basis.to(self.kernel.device))

    def _array(self) -> np.ndarray:
        return self.kernel.detach().cpu().double().numpy()

    def _path(self, like: Tensor) -> LinearOperator:
        # On a GPU convolutions may round to TF32, and the FFT is as fast.
        return self.window if self.window is not None and like.device.type == "cpu" else self.spectral

    def __repr__(self) -> str:
        # Parameters alone, not the parts made so far: equal operators print alike.
        return f"{type(self).__name__}({self.extra_repr()})"

    def extra_repr(self) -> str:
        settings = "".join(f", {name}={value}" for name, value in self._options.items())
        return f"{self.input_shape} -> {self.output_shape}, kernel={self._named}{settings}, boundary={self.boundary!r}"


def _kernel(kernel: Any, options: dict[str, Any], normalise: bool) -> np.ndarray:
    from_file = isinstance(kernel, str) and kernels.is_file_name(kernel)
    if isinstance(kernel, str) and not from_file:
        return kernels.named(kernel, **options)
    if options:
        raise BadInput(
            f"{', '.join(options)} given beside a measured kernel",
            do="Leave it out: the kernel says how the kernel looks.",
        )
    return (kernels.from_file if from_file else kernels.from_array)(kernel, normalise=normalise)


def _at_least_single(x: Tensor) -> Tensor:
    """Half precision is computed in single: FFTs want it, and sums over a kernel need it."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
