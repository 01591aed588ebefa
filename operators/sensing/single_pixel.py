"""The single-pixel camera: a list of Walsh-Hadamard patterns, and what the detector reads for each of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated

import torch
from torch import Tensor

from ..common.settings import OneOf, Seed
from ..core.base import SVD, LinearOperator, Shape, check_rho
from ..core.diagonal import divide
from .ensembles import Ratio, row_count
from .hadamard import Order, from_patterns, pattern_grid, pattern_order, to_patterns
from .transforms import pick, put


class Signed:
    """Patterns of +-1: the readings are the coefficients, y = c."""

    per_pattern = 1

    def read(self, c: Tensor) -> Tensor:
        """Readings of coefficients (... x m, the mean's first)."""
        return c

    def transpose(self, y: Tensor) -> Tensor:
        """The transpose of `read`."""
        return y

    def decode(self, y: Tensor) -> Tensor:
        """The coefficients that explain the readings best: M^+ y."""
        return y

    def solve(self, r: Tensor, rho: Tensor) -> Tensor:
        """(M^T M + rho)^-1 r."""
        return r / (1 + rho)

    def norm(self, patterns: int) -> float:
        """The largest singular value of M."""
        return 1.0


class Binary(Signed):
    """Patterns of 0 and 1, (1 + h) / 2: y_k = (c_k + c_0) / 2, because the first pattern has ones only."""

    def read(self, c: Tensor) -> Tensor:
        return (c + c[..., :1]) / 2

    def transpose(self, y: Tensor) -> Tensor:
        c = y / 2
        c[..., 0] += y.sum(-1) / 2
        return c

    def decode(self, y: Tensor) -> Tensor:
        return 2 * y - y[..., :1]

    def solve(self, r: Tensor, rho: Tensor) -> Tensor:
        """By elimination: M^T M is 1/4 I with a full first row and column, (m + 3) / 4 where they meet."""
        m, rest = r.shape[-1], 0.25 + rho
        others = r[..., 1:].sum(-1, keepdim=True)
        first = (r[..., :1] - others / (4 * rest)) / ((m + 3) / 4 + rho - (m - 1) / (16 * rest))
        return torch.cat([first, (r[..., 1:] - first / 4) / rest], dim=-1)

    def norm(self, patterns: int) -> float:
        a, b = (patterns + 3) / 4, (patterns - 1) / 16
        return math.sqrt((a + 0.25 + math.sqrt((a - 0.25) ** 2 + 4 * b)) / 2)


class Complements(Signed):
    """Each 0/1 pattern and then its complement: (c_0 + c_k) / 2 and (c_0 - c_k) / 2, whose difference is c_k."""

    per_pattern = 2

    def read(self, c: Tensor) -> Tensor:
        return torch.stack([(c[..., :1] + c) / 2, (c[..., :1] - c) / 2], dim=-1).flatten(-2)

    def transpose(self, y: Tensor) -> Tensor:
        c = (y[..., ::2] - y[..., 1::2]) / 2
        c[..., 0] += y.sum(-1) / 2
        return c

    def decode(self, y: Tensor) -> Tensor:
        return self.solve(self.transpose(y), y.new_zeros(()))

    def solve(self, r: Tensor, rho: Tensor) -> Tensor:
        """M^T M is diagonal: (m + 1) / 2 for the mean, 1/2 for the others."""
        m = r.shape[-1]
        return torch.cat([r[..., :1] / ((m + 1) / 2 + rho), r[..., 1:] / (0.5 + rho)], dim=-1)

    def norm(self, patterns: int) -> float:
        return math.sqrt((patterns + 1) / 2)


READINGS: Mapping[str, Signed] = {"signed": Signed(), "binary": Binary(), "pairs": Complements()}


class SinglePixel(LinearOperator):
    """y = M S H Z x for each channel: m Walsh-Hadamard patterns, each read by one detector.

    input_shape: (..., H, W); Z continues it by zeros to P x Q, the next powers of two; output_shape: (..., m), or
    (..., 2 m) for pairs; m = round(ratio P Q). Orders: hadamard.pattern_order. Patterns are signed (+-1), binary (0 and
    1, as a mirror array shows them) or pairs (each binary one and its complement, in turn), all divided by (P Q)^0.5,
    so that the difference of a pair is the signed reading.

    Without padding, S H has orthonormal rows and M is 1/2 I with a full first column (or two of these), so that
    `solve`, `pinv` and `norm` are closed forms; with padding conjugate gradients serve. The masked form in the plane of
    the transform is `hadamard`. Reference: M. Duarte et al., "Single-pixel imaging via compressive sampling", 2008;
    M. Edgar, G. Gibson, M. Padgett, "Principles and prospects for single-pixel imaging", 2019, for pairs.
    """

    rows: Tensor

    def __init__(
        self,
        input_shape: Shape,
        *,
        ratio: Annotated[Ratio, "share of the P Q patterns that is shown"] = 0.25,
        order: Order = "cake-cutting",
        patterns: Annotated[str, OneOf(READINGS), "what the mirrors show"] = "signed",
        seed: Annotated[Seed, "of the random order"] = 0,
    ) -> None:
        self.grid = grid = pattern_grid(input_shape)
        natural = torch.from_numpy(pattern_order(order, grid, seed=seed).copy())
        shown = row_count(ratio, len(natural))
        readings = shown * READINGS[patterns].per_pattern
        super().__init__(input_shape, (*tuple(input_shape)[:-2], readings))
        self.ratio, self.order, self.patterns, self.seed = ratio, order, patterns, seed
        self.shown = shown
        self.is_padded = grid != self.input_shape[-2:]
        self.register_buffer("rows", natural)

    def _forward(self, x: Tensor) -> Tensor:
        return self._reading.read(pick(to_patterns(x, self.grid), self._shown_rows(x)))

    def _adjoint(self, y: Tensor) -> Tensor:
        return self._picture(self._reading.transpose(y))

    def solve(self, rhs: Tensor, rho: float | Tensor) -> Tensor:
        """In coefficients: (M^T M + rho)^-1 where measured, 1 / rho elsewhere (0 there for rho = 0)."""
        if self.is_padded:
            return super().solve(rhs, rho)
        self._check(rhs, self.input_shape, False, "right-hand side")
        level = check_rho(rho, rhs)
        flat = level if level.ndim == 0 else level.reshape(-1, *[1] * (len(self.output_shape)))
        c = to_patterns(rhs, self.grid)
        solved = divide(c, flat.expand_as(c))
        rows = self._shown_rows(rhs)
        solved[..., rows] = self._reading.solve(c[..., rows], flat)
        return from_patterns(solved, self.grid, self._size)

    def pinv(self, y: Tensor, *, rtol: float = 1e-3) -> Tensor:
        """The transform back from M^+ y."""
        return super().pinv(y, rtol=rtol) if self.is_padded else self.direct(y)

    def direct(self, y: Tensor) -> Tensor:
        """Readings decoded to coefficients, the others 0, and the transform back."""
        self._check(y, self.output_shape, False, "measurement")
        return self._picture(self._reading.decode(y))

    def norm(self, *, iterations: int = 50) -> float:
        return super().norm(iterations=iterations) if self.is_padded else self._reading.norm(self.shown)

    @property
    def svd(self) -> SVD | None:
        """For signed patterns without padding: singular values 1, U = I, V the transform with measured rows first."""
        if self.is_padded or self.patterns != "signed":
            return None
        channels, shown = self.output_shape[:-1], self.shown

        def in_input(x: Tensor) -> Tensor:
            c = pick(to_patterns(x, self.grid), self.constant("rows", x))
            return torch.cat([c[..., :shown].flatten(1), c[..., shown:].flatten(1)], dim=1)

        def from_input(c: Tensor) -> Tensor:
            r = math.prod(self.output_shape)
            parts = [
                part.reshape(len(part), *channels, part.shape[1] // math.prod(channels))
                for part in (c[:, :r], c[:, r:])
            ]
            natural = put(torch.cat(parts, dim=-1), self.constant("rows", c), self.grid[0] * self.grid[1])
            return from_patterns(natural, self.grid, self._size)

        return SVD(
            s=torch.ones(math.prod(self.output_shape), dtype=torch.float64),
            U=lambda c: c.reshape(c.shape[0], *self.output_shape),
            Ut=lambda y: y.flatten(1),
            V=from_input,
            Vt=in_input,
        )

    @property
    def _reading(self) -> Signed:
        return READINGS[self.patterns]

    @property
    def _size(self) -> tuple[int, int]:
        return self.input_shape[-2], self.input_shape[-1]

    def _shown_rows(self, like: Tensor) -> Tensor:
        return self.constant("rows", like)[: self.shown]

    def _picture(self, c: Tensor) -> Tensor:
        """H of coefficients that stand at the shown rows, cropped: ... x m -> ... x H x W."""
        return from_patterns(put(c, self._shown_rows(c), self.grid[0] * self.grid[1]), self.grid, self._size)

    def extra_repr(self) -> str:
        settings = f"ratio={self.ratio}, order={self.order!r}, patterns={self.patterns!r}, seed={self.seed}"
        return f"{super().extra_repr()}, {settings}"
