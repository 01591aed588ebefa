"""Blur, then keep every s-th pixel: the classical model of super-resolution with a known kernel."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor

from ..common.metadata import Facts, Hints, enlarged
from ..common.settings import Count, Range, Seed, check
from ..core.base import LinearOperator, Shape, check_rho
from ..core.diagonal import divide
from .blur import Blur
from .convolution import real_pairs, wrapped
from .kernels.settings import Angle, Intensity, KernelSource, Length, Normalise, Radius, Sigma, Size
from .padding import Boundary


class BlurDecimate(LinearOperator):
    """y = (h * x)[o::s, o::s]: true convolution as in `blur`, then decimation from pixel o on.

    input_shape: (..., H, W). With o = 0 the first pixel of y sits on the first pixel of x (the convention of USRNet and
    others), and a kernel that is to reduce without a shift must be moved by (s - 1) / 2. Kernel and boundary: as in
    `blur`. y has ceil((H - o) / s) rows.

    For a circular boundary and a factor that divides H and W, A A^T is diagonal in the Fourier basis of the small
    picture: its symbol is the mean of |H|^2 over the s^2 frequencies that alias into one. solve, pinv and norm follow
    exactly (N. Zhao et al., "Fast single image super-resolution using a new analytical solution for l2-l2 problems",
    2016). Elsewhere they are conjugate gradients.
    """

    beside_array = ("factor", "offset", "boundary", "normalise")
    parts: Tensor
    power: Tensor

    def __init__(
        self,
        input_shape: Shape,
        *,
        factor: Annotated[Count, "s, pixels from one that is kept to the next"] = 4,
        offset: Annotated[int | tuple[int, int], Range(0), "o, below s, for both axes or (rows, columns)"] = 0,
        kernel: KernelSource = "gaussian",
        boundary: Boundary = "circular",
        size: Size = None,
        sigma: Sigma | None = None,
        angle: Angle | None = None,
        length: Length | None = None,
        radius: Radius | None = None,
        intensity: Intensity | None = None,
        seed: Seed | None = None,
        normalise: Normalise = True,
    ) -> None:
        blur = Blur(
            input_shape,
            kernel=kernel,
            boundary=boundary,
            size=size,
            sigma=sigma,
            angle=angle,
            length=length,
            radius=radius,
            intensity=intensity,
            seed=seed,
            normalise=normalise,
        )
        offsets = tuple(offset) if isinstance(offset, tuple | list) else (offset, offset)
        blurred = blur.output_shape[-2:]
        for o, n in zip(offsets, blurred, strict=True):
            check("offset", o, Annotated[int, Range(0, min(factor, n) - 1)], where=f"factor {factor}")
        lengths = [-(-(n - o) // factor) for n, o in zip(blurred, offsets, strict=True)]
        super().__init__(blur.input_shape, (*blur.input_shape[:-2], *lengths))
        self.factor, self.offset, self.boundary = factor, (offsets[0], offsets[1]), boundary
        self.blur = blur
        self.aliased = boundary == "circular" and all(n % factor == 0 for n in self.input_shape[-2:])
        if self.aliased:
            # The offset becomes part of the kernel: then decimation starts at pixel 0.
            h = blur.kernel.numpy()
            sizes = (self.input_shape[-2], self.input_shape[-1])
            origin = (h.shape[0] // 2 + offsets[0], h.shape[1] // 2 + offsets[1])
            grid = wrapped(h, sizes, origin)
            power = np.abs(np.fft.fft2(grid)) ** 2
            folded = power.reshape(factor, lengths[0], factor, lengths[1]).mean((0, 2))
            self.register_buffer("parts", real_pairs(np.fft.rfft2(grid)), persistent=False)
            self.register_buffer("power", torch.from_numpy(folded[:, : lengths[1] // 2 + 1].copy()), persistent=False)

    @classmethod
    def informed_by(
        cls,
        meta: Facts,
        output_shape: Shape | None,
        settings: Mapping[str, Any],
        *,
        fixed: Collection[str] = (),
    ) -> Hints:
        """The picture that a reduced one tells: larger by the factor."""
        return Hints() if output_shape is None else enlarged(output_shape, settings.get("factor", 4))

    def _forward(self, x: Tensor) -> Tensor:
        if not self.aliased:
            return self.blur._forward(x)[..., self.offset[0] :: self.factor, self.offset[1] :: self.factor]
        rows, width = self.output_shape[-2], self.input_shape[-1]
        spectrum = torch.fft.rfft2(x) * torch.view_as_complex(self.constant("parts", x))
        # Decimated rows are the aliased sum over their frequencies, so that the inverse runs over few rows.
        folded = spectrum.unflatten(-2, (self.factor, rows)).sum(-3) / self.factor
        return torch.fft.irfft2(folded, s=(rows, width))[..., :: self.factor]

    def _adjoint(self, y: Tensor) -> Tensor:
        if not self.aliased:
            full = y.new_zeros(*y.shape[:-2], *self.blur.output_shape[-2:])
            full[..., self.offset[0] :: self.factor, self.offset[1] :: self.factor] = y
            return self.blur._adjoint(full)
        wide = y.new_zeros(*y.shape[:-1], self.input_shape[-1])
        wide[..., :: self.factor] = y
        # Zeros between rows repeat their spectrum.
        spectrum = torch.fft.rfft2(wide).repeat(*[1] * (y.ndim - 2), self.factor, 1)
        spectrum *= torch.view_as_complex(self.constant("parts", y)).conj()
        return torch.fft.irfft2(spectrum, s=self.input_shape[-2:])

    def solve(self, rhs: Tensor, rho: float | Tensor) -> Tensor:
        """(rhs - A^T (A A^T + rho)^-1 A rhs) / rho, the matrix inversion lemma (Zhao et al. 2016, equation 14)."""
        level = check_rho(rho, rhs)
        if not self.aliased or bool((level <= 0).any()):
            return super().solve(rhs, rho)
        inside = self.adjoint(self._filtered(self.forward(rhs), self.constant("power", rhs) + level))
        return (rhs - inside) / level

    def pinv(self, y: Tensor, *, rtol: float = 1e-3) -> Tensor:
        """A^T (A A^T)^+ y; singular values at or under rtol times the largest are left out."""
        if not self.aliased:
            return super().pinv(y, rtol=rtol)
        self._check(y, self.output_shape, False, "measurement")
        power = self.constant("power", y)
        return self.adjoint(self._filtered(y, torch.where(power > rtol**2 * power.max(), power, 0.0)))

    def norm(self, *, iterations: int = 50) -> float:
        return float(self.power.max()) ** 0.5 if self.aliased else super().norm(iterations=iterations)

    def _filtered(self, y: Tensor, symbol: Tensor) -> Tensor:
        """y with its spectrum divided by a symbol, 0 where that is 0."""
        if y.numel() == 0:
            return y
        inverse = divide(torch.ones_like(symbol), symbol)
        return torch.fft.irfft2(torch.fft.rfft2(y) * inverse, s=self.output_shape[-2:])

    def extra_repr(self) -> str:
        described = self.blur.extra_repr().split(", kernel=")[1]
        return f"{super().extra_repr()}, factor={self.factor}, offset={self.offset}, kernel={described}"
