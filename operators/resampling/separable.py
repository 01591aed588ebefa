"""Operators that act on rows and columns apart: Y = K_r X K_c^T, and the closed forms that follow."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from ..common.errors import BadInput
from ..core.base import SVD, LinearOperator, Shape, check_rho
from ..core.diagonal import divide, sandwich
from .matrices import Axis, Block, Span, dense_matrix, matrix_blocks, multiply


class Resampled(LinearOperator):
    """Y = K_r X K_c^T for each channel, with the resampling matrix of each axis.

    input_shape: (..., H, W). rows, columns: what fixes the matrices. K = U S V^T of each axis gives solve, pinv and svd
    in closed form, whatever the filter and its boundary.
    """

    def __init__(self, input_shape: Shape, rows: Axis, columns: Axis) -> None:
        super().__init__(input_shape, (*tuple(input_shape)[:-2], rows.size_out, columns.size_out))
        self._axes = (rows, columns)
        self._spans: dict[str, list[Span]] = {}
        for side, axis, transposed in (
            ("rows", rows, False),
            ("columns", columns, False),
            ("rows_back", rows, True),
            ("columns_back", columns, True),
        ):
            blocks = matrix_blocks(axis, transposed=transposed)
            self._spans[side] = [span for span, _ in blocks]
            for i, (_, weights) in enumerate(blocks):
                # A copy: the table of matrices is shared by all operators, a module's state is its own.
                self.register_buffer(f"{side}_{i}", weights.clone(), persistent=not transposed)

    def _forward(self, x: Tensor) -> Tensor:
        return multiply(self._blocks("columns", x), multiply(self._blocks("rows", x), x, -2), -1)

    def _adjoint(self, y: Tensor) -> Tensor:
        return multiply(self._blocks("rows_back", y), multiply(self._blocks("columns_back", y), y, -1), -2)

    def solve(self, rhs: Tensor, rho: float | Tensor) -> Tensor:
        """V (V^T rhs V) / (s^2 + rho) V^T on the range of A^T and rhs / rho on its complement (0 there for rho = 0)."""
        self._check(rhs, self.input_shape, False, "right-hand side")
        level = check_rho(rho, rhs)
        s, v_rows, v_columns = self._factors(rhs)
        inside = sandwich(v_rows.mT, rhs, v_columns)
        null = rhs - sandwich(v_rows, inside, v_columns.mT)
        return sandwich(v_rows, divide(inside, s**2 + level), v_columns.mT) + divide(null, level.expand_as(null))

    def correction(self, residual: Tensor, rho: float | Tensor) -> Tensor:
        """A^T U (U^T residual U) / (s^2 + rho) U^T, on the grid of the measurement: a third of `solve` and less."""
        self._check(residual, self.output_shape, False, "residual")
        level = check_rho(rho, residual)
        s, _, _ = self._factors(residual)
        u_rows, u_columns = self._bases("u", residual)
        inside = divide(sandwich(u_rows.mT, residual, u_columns), s**2 + level)
        return self.adjoint(sandwich(u_rows, inside, u_columns.mT))

    def pinv(self, y: Tensor, *, rtol: float = 1e-3) -> Tensor:
        """A^+ y; singular values at or under rtol times the largest are left out."""
        self._check(y, self.output_shape, False, "measurement")
        s, v_rows, v_columns = self._factors(y)
        inside = sandwich(v_rows.mT, self.adjoint(y), v_columns)
        kept = torch.where(s > rtol * s.max(), s**2, torch.zeros_like(s))
        return sandwich(v_rows, divide(inside, kept.expand_as(inside)), v_columns.mT)

    def norm(self, *, iterations: int = 50) -> float:
        """Exact: the product of the largest singular values of the two axes."""
        return float(np.prod([_thin(axis)[0].max() for axis in self._axes]))

    @property
    def svd(self) -> SVD:
        """Singular values are products of the axes' own, per channel; the null space is the rest of both bases."""
        height, width = self.input_shape[-2:]
        channels = int(np.prod(self.input_shape[:-2]))
        values = [_thin(axis)[0] for axis in self._axes]
        s = torch.from_numpy(np.tile(np.outer(*values).ravel(), channels))
        tall, wide = len(values[0]), len(values[1])
        # The grid of coordinates in three rectangles; the first pairs with s.
        rectangles = [(tall, wide), (tall, width - wide), (height - tall, width)]

        def in_output(y: Tensor) -> Tensor:
            u_rows, u_columns = self._bases("u", y)
            return sandwich(u_rows.mT, y, u_columns).flatten(1)

        def from_output(c: Tensor) -> Tensor:
            u_rows, u_columns = self._bases("u", c)
            return sandwich(u_rows, c.reshape(c.shape[0], *self.input_shape[:-2], tall, wide), u_columns.mT)

        def in_input(x: Tensor) -> Tensor:
            v_rows, v_columns = self._bases("v", x)
            grid = sandwich(v_rows.mT, x, v_columns)
            parts = [grid[..., :tall, :wide], grid[..., :tall, wide:], grid[..., tall:, :]]
            return torch.cat([part.flatten(1) for part in parts], dim=1)

        def from_input(c: Tensor) -> Tensor:
            v_rows, v_columns = self._bases("v", c)
            parts = torch.split(c, [channels * h * w for h, w in rectangles], dim=1)
            left, right, below = (
                part.reshape(c.shape[0], *self.input_shape[:-2], *shape)
                for part, shape in zip(parts, rectangles, strict=True)
            )
            grid = torch.cat([torch.cat([left, right], dim=-1), below], dim=-2)
            return sandwich(v_rows, grid, v_columns.mT)

        return SVD(s=s, U=from_output, Ut=in_output, V=from_input, Vt=in_input)

    def _blocks(self, side: str, like: Tensor) -> list[Block]:
        return [(span, self.constant(f"{side}_{i}", like)) for i, span in enumerate(self._spans[side])]

    def _factors(self, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Singular values (k_r x k_c) and the right singular vectors (H x k_r, W x k_c) that belong to them."""
        rows, columns = self._axes
        return (
            self.derived("s", lambda: torch.from_numpy(np.outer(_thin(rows)[0], _thin(columns)[0])), like),
            self.derived("v_rows", lambda: torch.from_numpy(_thin(rows)[1]), like),
            self.derived("v_columns", lambda: torch.from_numpy(_thin(columns)[1]), like),
        )

    def _bases(self, which: str, like: Tensor) -> tuple[Tensor, Tensor]:
        """Left singular vectors ("u") or all of the input basis ("v") of both axes."""
        rows, columns = self._axes
        return (
            self.derived(f"full_{which}_rows", lambda: torch.from_numpy(_full(rows)[which]), like),
            self.derived(f"full_{which}_columns", lambda: torch.from_numpy(_full(columns)[which]), like),
        )


def picture_lengths(input_shape: Shape) -> tuple[int, int]:
    """Height and width, the last two of a shape; BadInput where there are fewer."""
    shape = tuple(input_shape)
    if len(shape) < 2:
        raise BadInput(f"input_shape is {shape}", wanted="(..., H, W)")
    return int(shape[-2]), int(shape[-1])


def axes_to_size(lengths: tuple[int, int], size: tuple[int, int], filter: str, boundary: str) -> tuple[Axis, Axis]:
    """Both axes resized to (height, width); the scale of each is its ratio of lengths."""
    rows, columns = (Axis(n, int(m), int(m) / n, filter, boundary) for n, m in zip(lengths, size, strict=True))
    return rows, columns


@lru_cache(maxsize=8)
def _thin(axis: Axis) -> tuple[np.ndarray, np.ndarray]:
    """Singular values and right singular vectors (size_in x k) of one axis."""
    _, s, vt = np.linalg.svd(dense_matrix(axis).numpy(), full_matrices=False)
    return s, np.ascontiguousarray(vt.T)


@lru_cache(maxsize=4)
def _full(axis: Axis) -> dict[str, np.ndarray]:
    """u (size_out x k) and all of v (size_in x size_in), whose columns after k span the null space."""
    u, s, vt = np.linalg.svd(dense_matrix(axis).numpy(), full_matrices=True)
    return {"u": np.ascontiguousarray(u[:, : len(s)]), "v": np.ascontiguousarray(vt.T)}
