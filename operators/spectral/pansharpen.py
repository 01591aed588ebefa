"""Two sensors on one scene: many bands on a coarse grid, few bands on a fine one."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from torch import Tensor

from ..common.errors import BadInput
from ..common.settings import Positive
from ..core.base import SVD, Shape, check_rho, check_shape
from ..core.diagonal import divide, kept
from ..core.stack import Stack
from ..resampling.downsample import Downsample
from ..resampling.matrices import Filter
from .response import Bands, ResponseKind, ResponseMatrix, SpectralResponse, over_bands


class Pansharpen(Stack):
    """y = [D x; R x]: every band reduced in space (D), and all of space seen through a spectral response (R).

    input_shape: (C, H, W); output_shape: (C H' W' + b H W,), the coarse picture and then the fine one, row by row;
    `split` gives them back as (C, H', W') and (b, H, W). D is that of `downsample`, R that of `spectral`: one average
    of all bands is a panchromatic camera, more a multispectral one.

    D acts on space and R on bands, so that D^T D + R^T R is diagonal in the products of their singular vectors, with
    eigenvalues s_i^2 + t_j^2: solve, pinv, norm and svd are closed forms. Reference: Q. Wei, N. Dobigeon, J.-Y.
    Tourneret, "Fast fusion of multi-band images based on solving a Sylvester equation", 2015.
    """

    def __init__(
        self,
        input_shape: Shape,
        *,
        factor: Annotated[Positive, "of D: input pixels per output pixel"] = 4,
        filter: Annotated[Filter, "of D"] = "area",
        kind: ResponseKind = "average",
        bands: Bands = 1,
        matrix: ResponseMatrix = None,
    ) -> None:
        shape = check_shape(input_shape, "input_shape")
        if len(shape) != 3:
            raise BadInput(f"input_shape is {shape}", wanted="(bands, H, W)")
        self.factor, self.filter = factor, filter
        coarse = Downsample(shape, factor=factor, filter=filter)
        fine = SpectralResponse(shape, kind=kind, bands=bands, matrix=matrix)
        super().__init__([coarse, fine])
        # One band alone, from which the basis of space is taken.
        self._plane = Downsample((1, *shape[1:]), factor=factor, filter=filter)

    @property
    def coarse(self) -> Downsample:
        """The spatial operator D, on all bands."""
        return self.parts[0]  # type: ignore[return-value]

    @property
    def fine(self) -> SpectralResponse:
        """The spectral operator R."""
        return self.parts[1]  # type: ignore[return-value]

    def _adjoint(self, y: Tensor) -> Tensor:
        coarse, fine = self.split(y)
        # Added in place: the sum of two cubes costs more than making them.
        return self.coarse._adjoint(coarse).add_(self.fine._adjoint(fine))

    def direct(self, y: Tensor) -> Tensor:
        """Component substitution: the coarse picture enlarged (bicubic), and what R misses there added by R^+."""
        self._check(y, self.output_shape, False, "measurement")
        coarse, fine = self.split(y)
        size = (self.input_shape[1], self.input_shape[2])
        x = Downsample(self.coarse.output_shape, size=size, filter="bicubic")(coarse)
        return x + self.fine.pinv(fine - self.fine(x))

    def solve(self, rhs: Tensor, rho: float | Tensor) -> Tensor:
        """Division by s_i^2 + t_j^2 + rho in the joint basis (0 where that is 0)."""
        self._check(rhs, self.input_shape, False, "right-hand side")
        level = check_rho(rho, rhs)
        power = self._power(rhs) + (level if level.ndim == 0 else level.reshape(-1, 1, 1))
        c = self._coordinates(rhs)
        return self._picture(divide(c, power.expand_as(c)))

    def pinv(self, y: Tensor, *, rtol: float = 1e-3) -> Tensor:
        """V diag(1 / (s_i^2 + t_j^2)) V^T A^T y over singular values above rtol times the largest."""
        c = self._coordinates(self.adjoint(y))
        power = kept(self._power(y), max(rtol**2, _ROUNDING))
        return self._picture(divide(c, power.expand_as(c)))

    def norm(self, *, iterations: int = 50) -> float:
        return math.hypot(self.coarse.norm(), self.fine.norm())

    @property
    def svd(self) -> SVD:
        """U = A V / s."""
        power = self._power(torch.zeros((), dtype=torch.float64)).cpu()
        power = kept(power, _ROUNDING).flatten()
        first, rest = (power > 0).nonzero()[:, 0], (power == 0).nonzero()[:, 0]
        order = torch.cat([first, rest])
        s = power[first].sqrt()

        def from_input(c: Tensor) -> Tensor:
            flat = torch.empty_like(c)
            flat[:, order.to(c.device)] = c
            return self._picture(flat.reshape(c.shape[0], self.input_shape[0], -1))

        def in_input(x: Tensor) -> Tensor:
            return self._coordinates(x).flatten(1)[:, order.to(x.device)]

        def from_output(c: Tensor) -> Tensor:
            return self.forward(from_input(torch.nn.functional.pad(c / s.to(c), (0, len(rest)))))

        return SVD(
            s=s,
            U=from_output,
            Ut=lambda y: in_input(self.adjoint(y))[:, : len(s)] / s.to(y),
            V=from_input,
            Vt=in_input,
        )

    # -- the joint basis ------------------------------------------------------------------------------------------

    def _coordinates(self, x: Tensor) -> Tensor:
        """B x C x H x W -> B x C x (H W), in the basis of R^T R across bands and that of D^T D across space."""
        mixed = over_bands(self._turn(x).mT, x)
        space = self._plane.svd.Vt(mixed.reshape(-1, 1, *self.input_shape[1:]))
        return space.reshape(x.shape[0], self.input_shape[0], math.prod(self.input_shape[1:]))

    def _picture(self, c: Tensor) -> Tensor:
        """The inverse of `_coordinates`."""
        space = self._plane.svd.V(c.reshape(-1, c.shape[-1])).reshape(c.shape[0], *self.input_shape)
        return over_bands(self._turn(c), space)

    def _turn(self, like: Tensor) -> Tensor:
        """The right singular vectors of R, C x C."""
        return self.derived("turn", lambda: self.fine._factors()[2], like)

    def _power(self, like: Tensor) -> Tensor:
        """s_i^2 + t_j^2, C x (H W)."""
        return self.derived("power", self._eigenvalues, like)

    def _eigenvalues(self) -> Tensor:
        s, t = self._plane.svd.s.double().cpu(), self.fine._factors()[1]
        space = torch.nn.functional.pad(s**2, (0, math.prod(self.input_shape[1:]) - len(s)))
        bands = torch.nn.functional.pad(t**2, (0, self.input_shape[0] - len(t)))
        return bands[:, None] + space

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, factor={self.factor}, filter={self.filter!r}"


_ROUNDING = 1e-20  # squares of singular values under this share of the largest are rounding
