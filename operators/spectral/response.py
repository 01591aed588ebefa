"""Spectral response: every output band is a weighted sum of input bands, pixel by pixel."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor

from ..common.errors import BadInput, BadType
from ..common.settings import Count, Length, OneOf, Range, check
from ..core.base import SVD, LinearOperator, Shape, check_rho, check_shape, full_precision
from ..core.diagonal import divide, kept

KINDS = ("gaussian", "average", "pick")
ResponseKind = Annotated[str, OneOf(KINDS), "how output bands come from input bands"]
Bands = Annotated[
    Count | Annotated[list[int], Range(0)] | None,
    "how many output bands; none: 3, or all where there are fewer; for pick their numbers, counted from 0",
]
ResponseMatrix = Annotated[Tensor | np.ndarray | list[Any] | None, "R itself, b x C, in place of these"]


class SpectralResponse(LinearOperator):
    """y(., p) = R x(., p) for each pixel p: (C, ...) -> (b, ...), R a matrix of b x C.

    Kinds: gaussian, `bands` bell-shaped responses spread evenly over the C input bands, each as wide (full width at
    half maximum) as the distance between their centres; average, the means of `bands` runs of neighbouring input bands
    of nearly equal length; pick, single input bands. Rows sum to 1.

    R = U S V^T gives solve, pinv, norm and svd in closed form.
    """

    beside_array = ()
    matrix: Tensor

    def __init__(
        self,
        input_shape: Shape,
        *,
        kind: ResponseKind = "gaussian",
        bands: Bands = None,
        matrix: ResponseMatrix = None,
    ) -> None:
        shape = check_shape(input_shape, "input_shape")
        if matrix is None:
            response = _response(kind, bands, shape[0])
        else:
            kind, response = "matrix", _checked(matrix, shape[0])
        super().__init__(shape, (response.shape[0], *shape[1:]))
        self.kind = kind
        self.register_buffer("matrix", torch.from_numpy(response.copy()))

    def _forward(self, x: Tensor) -> Tensor:
        return over_bands(self.constant("matrix", x), x)

    def _adjoint(self, y: Tensor) -> Tensor:
        return over_bands(self.constant("matrix", y).mT, y)

    def solve(self, rhs: Tensor, rho: float | Tensor) -> Tensor:
        """V diag(1 / (s^2 + rho)) V^T, C x C, at every pixel; 0 in the null space where rho is 0."""
        self._check(rhs, self.input_shape, False, "right-hand side")
        level = check_rho(rho, rhs).reshape(-1, 1)
        v, s = self.derived("v", lambda: self._factors()[2], rhs), self.derived("s", lambda: self._factors()[1], rhs)
        power = torch.nn.functional.pad(kept(s, _ROUNDING) ** 2, (0, v.shape[0] - len(s))) + level
        with full_precision(rhs):
            inverse = (v * divide(torch.ones_like(power), power)[:, None, :]) @ v.mT
        return over_bands(inverse[0] if len(inverse) == 1 else inverse, rhs)

    def pinv(self, y: Tensor, *, rtol: float = 1e-3) -> Tensor:
        """V diag(1 / s) U^T over singular values above rtol times the largest, at every pixel."""
        self._check(y, self.output_shape, False, "measurement")
        u, s, v = self._factors()
        strong = kept(s, rtol)
        with full_precision(y):
            inverse = (v[:, : len(s)] * divide(torch.ones_like(strong), strong)) @ u.mT
        return over_bands(inverse.to(y), y)

    def norm(self, *, iterations: int = 50) -> float:
        return float(self._factors()[1].max())

    @property
    def svd(self) -> SVD:
        """Singular values of R, each once per pixel; the rest of V spans what no output band sees."""
        u, s, v = self._factors()
        pixels = math.prod(self.input_shape[1:])

        def times(matrix: Tensor, x: Tensor) -> Tensor:
            return over_bands(matrix.to(x), x.reshape(x.shape[0], matrix.shape[1], -1))

        return SVD(
            s=s.repeat_interleave(pixels),
            U=lambda c: times(u, c.reshape(c.shape[0], len(s), pixels)).reshape(c.shape[0], *self.output_shape),
            Ut=lambda y: times(u.mT, y.flatten(2)).flatten(1),
            V=lambda c: times(v, c.reshape(c.shape[0], len(v), pixels)).reshape(c.shape[0], *self.input_shape),
            Vt=lambda x: times(v.mT, x.flatten(2)).flatten(1),
        )

    def _factors(self) -> tuple[Tensor, Tensor, Tensor]:
        """U (b x k), S (k), V (C x C)."""
        u, s, vt = torch.linalg.svd(self.matrix.detach().double().cpu(), full_matrices=True)
        return u[:, : len(s)], s, vt.mT.contiguous()

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, kind={self.kind!r}"


_ROUNDING = 1e-12  # singular values under this share of the largest are rounding


def over_bands(matrix: Tensor, x: Tensor) -> Tensor:
    """The matrix (b x C, or one per picture) times the band axis: B x C x ... -> B x b x ..."""
    with full_precision(x):
        y = matrix @ x.reshape(x.shape[0], x.shape[1], math.prod(x.shape[2:]))
    return y.reshape(x.shape[0], matrix.shape[-2], *x.shape[2:])


def _response(kind: str, bands: int | list[int] | None, available: int) -> np.ndarray:
    if kind == "pick":
        return np.eye(available)[_numbers(bands, available)]
    wanted = min(3, available) if bands is None else bands
    count: int = check("bands", wanted, Annotated[int, Range(1, available)], where=f"kind {kind!r}")
    edges = np.linspace(0, available, count + 1)
    if kind == "average":
        cuts = np.round(edges).astype(int)
        rows = [(np.arange(available) >= a) & (np.arange(available) < b) for a, b in pairwise(cuts)]
        response = np.array(rows, dtype=np.float64)
    else:
        centres = (edges[:-1] + edges[1:]) / 2 - 0.5
        distance = (np.arange(available) - centres[:, None]) / (available / count)
        response = np.exp(-4 * math.log(2) * distance**2)
    return response / response.sum(axis=1, keepdims=True)


def _numbers(bands: Any, available: int) -> list[int]:
    if bands is None:
        return list(range(available))
    check("bands", bands, Annotated[list[int], Range(0, available - 1), Length(1)], where="kind 'pick'")
    if len(set(bands)) < len(bands):
        raise BadInput(f"bands is {list(bands)}", wanted="different numbers")
    return list(bands)


def _checked(matrix: Any, available: int) -> np.ndarray:
    values = np.asarray(matrix.detach().cpu() if isinstance(matrix, Tensor) else matrix)
    if values.dtype.kind not in "biuf":
        raise BadType(f"the matrix holds {values.dtype}", wanted="real numbers")
    if values.ndim != 2 or values.shape[1] != available or values.shape[0] < 1:
        raise BadInput(f"the matrix has shape {values.shape}", wanted=f"output bands x {available} input bands")
    if not np.isfinite(values).all() or not values.any():
        raise BadInput("the matrix holds NaN or infinite values, or only zeros", wanted="a spectral response")
    return values.astype(np.float64)
