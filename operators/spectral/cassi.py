"""Coded-aperture snapshot spectral imaging: many bands, masked and shifted against each other, on one detector."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor

from ..common.errors import BadInput, BadType
from ..common.randomness import generator
from ..common.settings import OneOf, Range, Seed
from ..core.base import SVD, LinearOperator, Shape, check_rho, check_shape
from ..core.diagonal import divide, kept

KINDS = ("single", "dual")


class CASSI(LinearOperator):
    """One picture that holds all bands: y = sum_c S_c (m_c x_c), S_c the shift of band c by a prism.

    single: y(i, j + d c) += m(i, j) x_c(i, j), input_shape (C, H, W), output_shape (1, H, W + |d| (C - 1)).
    dual: y(i, j) = sum_c m(i, j - d c) x_c(i, j): the second prism undoes the shift; output_shape (1, H, W).

    The mask has values of at least 0; for dual it may also be H x (W + |d| (C - 1)), whose part that band 0 sees is at
    the right for d > 0; outside an H x W mask a dual disperser sees nothing. Without one a random aperture of zeros and
    ones is drawn (wide enough for dual).

    A A^H = diag(Phi), Phi = sum_c of the squared masks that a detector pixel sees, so that
    (A^H A + rho)^-1 r = (r - A^H [A r / (Phi + rho)]) / rho, A^+ y = A^H [y / Phi], and the singular values are
    Phi^0.5. Reference: A. Wagadarikar et al., "Single disperser design for coded aperture snapshot spectral imaging",
    2008; M. Gehm et al., "Single-shot compressive spectral imaging with a dual-disperser architecture", 2007.
    """

    beside_array = ("kind", "shift")
    mask_marks_pixels = False  # the aperture weighs the light; it does not say what of y was measured
    mask: Tensor

    def __init__(
        self,
        input_shape: Shape,
        *,
        kind: Annotated[str, OneOf(KINDS), "single or dual disperser"] = "single",
        shift: Annotated[int, "d in pixels per band, to the right; negative: to the left"] = 2,
        mask: Annotated[
            Tensor | np.ndarray | list[Any] | None, "the coded aperture, H x W or C x H x W; none: a random one"
        ] = None,
        transmission: Annotated[float, Range(above=0, high=1), "share of a random aperture that is open"] = 0.5,
        seed: Seed = 0,
    ) -> None:
        shape = check_shape(input_shape, "input_shape")
        if len(shape) != 3:
            raise BadInput(f"input_shape is {shape}", wanted="(bands, H, W)")
        bands, height, width = shape
        self.wide = width + abs(shift) * (bands - 1)
        super().__init__(shape, (1, height, self.wide if kind == "single" else width))
        self.kind, self.shift, self.seed = kind, shift, seed
        # Where band c begins: on the detector (single), in the wide mask (dual, which sees it at j - d c).
        steps = [shift * c if kind == "single" else -shift * c for c in range(bands)]
        self.starts = [step - min(steps) for step in steps]
        aperture = self._random(transmission) if mask is None else self._own_aperture(mask)
        self.transmission = float(aperture.mean())
        self.register_buffer("mask", torch.from_numpy(aperture))

    def _forward(self, x: Tensor) -> Tensor:
        return self._sum(x, self._masks(x))

    def _adjoint(self, y: Tensor) -> Tensor:
        if self.kind == "single" and self.shift >= 0:
            return self.constant("mask", y) * self._spread(y)
        x = y.new_empty(y.shape[0], *self.input_shape)
        for band, (mask, window) in enumerate(zip(self._masks(y), self._windows(y), strict=True)):
            torch.mul(mask, window, out=x[:, band])
        return x

    def direct(self, y: Tensor) -> Tensor:
        """Each band sees the detector where its light fell, times 2 / C: where learned methods begin."""
        self._check(y, self.output_shape, False, "measurement")
        return self._spread(y) * (2 / self.input_shape[0])

    def solve(self, rhs: Tensor, rho: float | Tensor) -> Tensor:
        """(rhs - A^H [A rhs / (Phi + rho)]) / rho; A^+ A^+H rhs for rho = 0."""
        self._check(rhs, self.input_shape, False, "right-hand side")
        level, energy = check_rho(rho, rhs), self._energy(rhs)
        image = self.forward(rhs)
        outside = rhs - self.adjoint(divide(image, (energy + level).expand_as(image)))
        least = self.adjoint(divide(image, (energy**2).expand_as(image)))
        return torch.where(level > 0, outside / torch.where(level > 0, level, 1.0), least)

    def pinv(self, y: Tensor, *, rtol: float = 1e-3) -> Tensor:
        """A^H [y / Phi] where Phi^0.5 is above rtol times its maximum."""
        self._check(y, self.output_shape, False, "measurement")
        energy = kept(self._energy(y), rtol**2)
        return self.adjoint(divide(y, energy.expand_as(y)))

    def norm(self, *, iterations: int = 50) -> float:
        """The root of the largest Phi."""
        return math.sqrt(float(self._energy(self.mask).max()))

    @property
    def svd(self) -> SVD:
        """U picks detector pixels; V reflects, for each of them, its first band onto what it sees (Householder)."""
        return _svd(self)

    # -- shifts and sums ------------------------------------------------------------------------------------------

    def _sum(self, x: Tensor, masks: Sequence[Tensor] | Tensor) -> Tensor:
        """sum_c S_c (masks_c x_c): B x C x H x W -> B x 1 x H x W'."""
        y = x.new_zeros(x.shape[0], *self.output_shape)
        for band, (mask, window) in enumerate(zip(masks, self._windows(y), strict=True)):
            window.addcmul_(mask, x[:, band])
        return y

    def _spread(self, y: Tensor) -> Tensor:
        """What each band sees of the detector: B x 1 x H x W' -> B x C x H x W, a view where strides can tell it."""
        if self.kind == "dual":
            return y.expand(-1, *self.input_shape)
        if self.shift < 0:
            return torch.stack(self._windows(y), dim=1)
        y = y.contiguous()
        batch, _, row, column = y.stride()
        return y.as_strided((y.shape[0], *self.input_shape), (batch, self.shift * column, row, column))

    def _windows(self, y: Tensor) -> list[Tensor]:
        """The parts of the detector on which the bands fall: views of y, B x H x W each."""
        width = self.input_shape[-1]
        starts = self.starts if self.kind == "single" else [0] * len(self.starts)
        return [y[:, 0, :, start : start + width] for start in starts]

    def _masks(self, like: Tensor) -> list[Tensor]:
        """The mask that each band meets: views, H x W each."""
        mask = self.constant("mask", like)
        if mask.ndim == 3:
            return list(mask)
        width = self.input_shape[-1]
        starts = self.starts if self.kind == "dual" else [0] * len(self.starts)
        return [mask[:, start : start + width] for start in starts]

    def _energy(self, like: Tensor) -> Tensor:
        """Phi, 1 x H x W'."""
        return self.derived("phi", self._phi, like)

    def _phi(self) -> Tensor:
        masks = self._masks(self.mask)
        return self._sum(torch.stack(masks)[None], masks)[0]

    # -- the aperture ---------------------------------------------------------------------------------------------

    def _random(self, transmission: float) -> np.ndarray:
        size = (self.input_shape[1], self.input_shape[2] if self.kind == "single" else self.wide)
        pixels = size[0] * size[1]
        aperture = np.zeros(pixels)
        places = generator(self.seed, "", 0, "cassi").permutation(pixels)
        aperture[places[: max(1, round(transmission * pixels))]] = 1.0
        return aperture.reshape(size)

    def _own_aperture(self, mask: Tensor | np.ndarray | list[Any]) -> np.ndarray:
        values = np.asarray(mask.detach().cpu() if isinstance(mask, Tensor) else mask)
        if values.dtype.kind not in "biuf":
            raise BadType(f"the mask holds {values.dtype}", wanted="real numbers of at least 0")
        values = values.astype(np.float64)
        if not np.isfinite(values).all() or (values < 0).any() or not (values > 0).any():
            raise BadInput("the mask has NaN, infinite or negative values, or only zeros", wanted="transmissions")
        bands, height, width = self.input_shape
        if values.ndim == 3 and values.shape[0] == 1:
            values = values[0]
        if self.kind == "dual" and values.shape == (height, width):
            # Band 0 sees the mask as it stands; beyond its ends nothing passes.
            wide = np.zeros((height, self.wide))
            wide[:, self.starts[0] : self.starts[0] + width] = values
            return wide
        allowed = [(height, width), (bands, height, width)] + ([(height, self.wide)] if self.kind == "dual" else [])
        if values.shape not in allowed:
            wanted = " or ".join(" x ".join(map(str, shape)) for shape in allowed)
            raise BadInput(f"the mask has shape {values.shape}", wanted=wanted)
        return values

    def extra_repr(self) -> str:
        settings = f"kind={self.kind!r}, shift={self.shift}, transmission={self.transmission:.4f}, seed={self.seed}"
        return f"{super().extra_repr()}, {settings}"


def _svd(a: CASSI) -> SVD:
    """Each detector pixel p sees one vector v_p of bands, orthogonal to the vectors of the others.

    The reflection x - w (2 / |w|^2) <w, x> with w = v_p + e_p turns v_p into -e_p, where e_p is the first band that
    reaches p. It leaves all else of the fibre orthonormal, which completes the basis.
    """
    phi = a._phi()
    reached = torch.zeros(1, *a.output_shape, dtype=torch.bool)
    first = torch.empty(a.input_shape, dtype=torch.float64)
    for band, window in enumerate(a._windows(reached)):
        first[band] = (~window[0]).double()
        window.fill_(True)
    seen = phi > 0
    active = first * a._spread(seen[None].double())[0]
    unit = torch.stack(a._masks(phi)) * a._spread(divide(torch.ones_like(phi), phi.sqrt())[None])[0]
    w = unit + active
    size = a._sum(w[None], w)
    turn = divide(2 * torch.ones_like(size), size)[0]
    numbers = torch.arange(w.numel(), dtype=torch.float64).reshape(w.shape)
    pixels = seen.flatten().nonzero()[:, 0]
    places = a._sum(numbers[None], active).flatten()[pixels].long()
    others = torch.ones(w.numel(), dtype=torch.bool)
    others[places] = False
    order = torch.cat([places, others.nonzero()[:, 0]])
    sign = 1 - 2 * active

    def reflect(x: Tensor) -> Tensor:
        wx, tx = w.to(x), turn.to(x)
        return x - wx * a._spread(a._sum(x, wx) * tx)

    def in_input(x: Tensor) -> Tensor:
        return (reflect(x) * sign.to(x)).flatten(1)[:, order.to(x.device)]

    def from_input(c: Tensor) -> Tensor:
        flat = torch.empty_like(c)
        flat[:, order.to(c.device)] = c
        return reflect(flat.reshape(-1, *a.input_shape) * sign.to(c))

    def from_output(c: Tensor) -> Tensor:
        flat = c.new_zeros(c.shape[0], seen.numel())
        flat[:, pixels.to(c.device)] = c
        return flat.reshape(-1, *a.output_shape)

    return SVD(
        s=phi.sqrt().flatten()[pixels],
        U=from_output,
        Ut=lambda y: y.flatten(1)[:, pixels.to(y.device)],
        V=from_input,
        Vt=in_input,
    )
