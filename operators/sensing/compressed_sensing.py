"""Fewer measurements than pixels: rows of an orthonormal basis that spread every pixel over all measurements."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated

import numpy as np
import torch
from torch import Tensor

from ..common.errors import BadInput
from ..common.randomness import generator
from ..common.settings import Count, OneOf, Seed
from ..core.base import SVD, PartialIsometry, Shape
from .ensembles import (
    Decay,
    Ensemble,
    PartialFourier,
    RandomConvolution,
    Ratio,
    ScrambledDCT,
    ScrambledHadamard,
    StructuredRandom,
    row_count,
)

Block = Annotated[Count, "of block-gaussian: side of the squares in pixels"]


class BlockGaussian(Ensemble):
    """One random matrix with orthonormal rows for every block x block square of the picture (as in ReconNet, 2016).

    The matrix is Gaussian, its rows orthonormalised by QR. Squares cut by the right and lower border have smaller
    matrices of their own at the same ratio, so that no pixel is padded and A A^T = I holds for every size.
    Measurements: whole blocks row by row, then the right edge, the lower edge and the corner.
    """

    def __init__(self, input_shape: Shape, *, ratio: Ratio, seed: Seed, block: Block) -> None:
        regions = tuple(_regions(tuple(input_shape)[-2:], block))
        counts = [row_count(ratio, region.area) for region in regions]
        super().__init__(input_shape, sum(n * region.blocks for n, region in zip(counts, regions, strict=True)))
        self.block = block
        self._regions, self._counts = regions, counts
        for i, (region, count) in enumerate(zip(regions, counts, strict=True)):
            self.register_buffer(f"matrix_{i}", torch.from_numpy(_orthonormal_rows(region.area, count, seed)).clone())

    def _forward(self, x: Tensor) -> Tensor:
        return self._measure(x, "matrix")

    def _adjoint(self, y: Tensor) -> Tensor:
        return self._back(y, "matrix", self._counts)

    def _analyse(self, x: Tensor) -> Tensor:
        return torch.cat([self._forward(x), self._measure(x, "complement")], dim=-1)

    def _synthesise(self, coefficients: Tensor) -> Tensor:
        measured = self.output_shape[-1]
        left = [region.area - n for region, n in zip(self._regions, self._counts, strict=True)]
        return self._adjoint(coefficients[..., :measured]) + self._back(
            coefficients[..., measured:], "complement", left
        )

    def _measure(self, x: Tensor, name: str) -> Tensor:
        parts = []
        for i, region in enumerate(self._regions):
            measured = torch.matmul(region.gather(x), self._rows(name, i, x).mT)
            parts.append(measured.flatten(-2))
        return torch.cat(parts, dim=-1) if len(parts) > 1 else parts[0]

    def _back(self, y: Tensor, name: str, counts: list[int]) -> Tensor:
        x = y.new_empty(y.shape[0], *self.input_shape)
        sizes = [n * region.blocks for n, region in zip(counts, self._regions, strict=True)]
        for i, (region, part) in enumerate(zip(self._regions, torch.split(y, sizes, dim=-1), strict=True)):
            rows = part.reshape(*part.shape[:-1], region.blocks, counts[i])
            region.scatter(torch.matmul(rows, self._rows(name, i, y)), x)
        return x

    def _rows(self, name: str, i: int, like: Tensor) -> Tensor:
        """The matrix of a region, or an orthonormal basis of what it does not measure."""
        if name == "matrix":
            return self.constant(f"matrix_{i}", like)
        return self.derived(f"complement_{i}", lambda: self._rest(i), like)

    def _rest(self, i: int) -> Tensor:
        rows = self.get_buffer(f"matrix_{i}").detach().cpu().double().numpy()
        basis = np.linalg.qr(rows.T, mode="complete")[0]
        return torch.from_numpy(np.ascontiguousarray(basis[:, self._counts[i] :].T))


@dataclass(frozen=True)
class _Region:
    """A rectangle of the picture tiled by equal blocks."""

    top: int
    left: int
    height: int
    width: int
    down: int  # blocks along the rows
    across: int

    @property
    def area(self) -> int:
        return self.height * self.width

    @property
    def blocks(self) -> int:
        return self.down * self.across

    def gather(self, x: Tensor) -> Tensor:
        """B x ... x blocks x area."""
        grid = self._view(x).reshape(*x.shape[:-2], self.down, self.height, self.across, self.width)
        return grid.transpose(-3, -2).reshape(*x.shape[:-2], self.blocks, self.area)

    def scatter(self, tiles: Tensor, x: Tensor) -> None:
        """Write blocks into their places in x."""
        grid = tiles.reshape(*tiles.shape[:-2], self.down, self.across, self.height, self.width).transpose(-3, -2)
        self._view(x).copy_(grid.reshape(*tiles.shape[:-2], self.down * self.height, self.across * self.width))

    def _view(self, x: Tensor) -> Tensor:
        bottom, right = self.top + self.down * self.height, self.left + self.across * self.width
        return x[..., self.top : bottom, self.left : right]


class CompressedSensing(PartialIsometry):
    """y = Phi x with orthonormal rows, Phi Phi^T = I, the same Phi for each channel.

    input_shape: (..., H, W); output_shape: (..., m), m close to ratio * H * W (exact for the scrambled kinds).

    A+ = A^T; (A^T A + rho I)^-1 r = (r - A^T A r) / rho + A^T A r / (1 + rho); all singular values are 1.
    Reference: E. Candes and M. Wakin, "An introduction to compressive sampling", 2008; fast ensembles: T. Do et al.,
    "Fast and efficient compressive sensing using structurally random matrices", 2012.
    """

    def __init__(
        self,
        input_shape: Shape,
        *,
        ratio: Ratio = 0.25,
        kind: Annotated[str, OneOf(KINDS), "the basis"] = "scrambled-dct",
        block: Block = 32,
        decay: Decay = 3.0,
        seed: Seed = 0,
    ) -> None:
        if len(tuple(input_shape)) < 2:
            raise BadInput(f"input_shape is {tuple(input_shape)}", wanted="(..., H, W)")
        if kind == "block-gaussian":
            ensemble: Ensemble = BlockGaussian(input_shape, ratio=ratio, seed=seed, block=block)
        elif kind == "partial-fourier":
            ensemble = PartialFourier(input_shape, ratio=ratio, seed=seed, decay=decay)
        else:
            ensemble = FAST[kind](input_shape, ratio=ratio, seed=seed)
        super().__init__(ensemble.input_shape, ensemble.output_shape)
        self.ratio, self.kind, self.seed = ratio, kind, seed
        self.ensemble = ensemble

    def _forward(self, x: Tensor) -> Tensor:
        return self.ensemble._forward(x)

    def _adjoint(self, y: Tensor) -> Tensor:
        return self.ensemble._adjoint(y)

    @property
    def svd(self) -> SVD:
        """U = I; V is the whole basis, measured rows first."""
        measured, channels = self.output_shape[-1], self.output_shape[:-1]
        s = torch.ones(int(np.prod(self.output_shape)), dtype=torch.float64)

        def in_input(x: Tensor) -> Tensor:
            c = self.ensemble._analyse(x)
            return torch.cat([c[..., :measured].flatten(1), c[..., measured:].flatten(1)], dim=1)

        def from_input(c: Tensor) -> Tensor:
            parts = [
                part.reshape(len(part), *channels, part.shape[1] // math.prod(channels))
                for part in (c[:, : len(s)], c[:, len(s) :])
            ]
            return self.ensemble._synthesise(torch.cat(parts, dim=-1))

        def from_output(c: Tensor) -> Tensor:
            return c.reshape(c.shape[0], *self.output_shape)

        return SVD(s=s, U=from_output, Ut=lambda y: y.flatten(1), V=from_input, Vt=in_input)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, ratio={self.ratio}, kind={self.kind!r}, seed={self.seed}"


FAST: dict[str, type[ScrambledDCT | ScrambledHadamard | StructuredRandom | RandomConvolution]] = {
    "scrambled-dct": ScrambledDCT,
    "scrambled-hadamard": ScrambledHadamard,
    "structured-random": StructuredRandom,
    "random-convolution": RandomConvolution,
}
KINDS = (*FAST, "partial-fourier", "block-gaussian")


def _regions(size: tuple[int, ...], block: int) -> list[_Region]:
    """Whole blocks, the right edge, the lower edge, the corner; empty ones left out."""
    height, width = size
    rows = [(0, block, height // block), (height - height % block, height % block, 1)]
    columns = [(0, block, width // block), (width - width % block, width % block, 1)]
    return [
        _Region(top, left, tall, wide, down, across)
        for top, tall, down in rows
        for left, wide, across in columns
        if tall * wide * down * across > 0
    ]


@lru_cache(maxsize=8)
def _orthonormal_rows(columns: int, rows: int, seed: int) -> np.ndarray:
    """rows x columns with orthonormal rows, uniformly distributed: Q of a Gaussian matrix, signs from R's diagonal."""
    gaussian = generator(seed, "", columns, "compressed-sensing").standard_normal((columns, rows))
    q, r = np.linalg.qr(gaussian)
    return np.ascontiguousarray((q * np.sign(np.diag(r))).T)
