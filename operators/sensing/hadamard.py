"""The two-dimensional Walsh-Hadamard transform as a measurement, and the orders in which its patterns are shown."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import numpy as np
import torch
from torch import Tensor

from ..common.errors import BadInput
from ..common.randomness import generator
from ..common.settings import OneOf, Seed, check
from ..core.base import SVD, LinearOperator, Shape, check_rho, check_shape
from ..core.diagonal import divide
from ..missing.mask import Mask
from .ensembles import Ratio, row_count
from .transforms import hadamard, next_power_of_two, sequency_order

Grid = tuple[int, int]


def pattern_grid(input_shape: Shape) -> Grid:
    """P x Q, the powers of two that hold H x W; BadInput without two axes."""
    shape = check_shape(input_shape, "input_shape")
    if len(shape) < 2:
        raise BadInput(f"input_shape is {shape}", wanted="(..., H, W)")
    return next_power_of_two(shape[-2]), next_power_of_two(shape[-1])


def to_patterns(x: Tensor, grid: Grid) -> Tensor:
    """All P Q coefficients in natural order: ... x H x W, continued by zeros -> ... x P Q."""
    padding = (0, grid[1] - x.shape[-1], 0, grid[0] - x.shape[-2])
    padded = torch.nn.functional.pad(x, padding) if any(padding) else x
    return hadamard(padded.reshape(*x.shape[:-2], grid[0] * grid[1]))


def from_patterns(c: Tensor, grid: Grid, size: Grid) -> Tensor:
    """The transpose of `to_patterns`: ... x P Q -> ... x H x W."""
    return hadamard(c).reshape(*c.shape[:-1], *grid)[..., : size[0], : size[1]]


def pattern_order(name: str, grid: Grid, *, seed: int = 0) -> np.ndarray:
    """Numbers (in natural order) of the P Q patterns in the order in which they are shown; the constant one is first.

    natural: row-major index. sequency: by sign changes of the pattern read down its columns as one vector.
    cake-cutting: by the number of its connected pieces (W.-K. Yu, "Super sub-Nyquist single-pixel imaging by means of
    cake-cutting Hadamard basis sort", 2019). zig-zag: by the sum of its sign changes along both axes. xy: by
    r c + (r^2 + c^2) / 4, r and c its sign changes. random: a permutation.
    """
    check("order", name, Order)
    order: np.ndarray = ORDERS[name](grid, seed)
    return order


def _natural(grid: Grid, _seed: int) -> np.ndarray:
    return np.arange(grid[0] * grid[1])


def _sequency(grid: Grid, _seed: int) -> np.ndarray:
    row, column = _down_the_columns(grid)
    return row * grid[1] + column


def _cake_cutting(grid: Grid, _seed: int) -> np.ndarray:
    row, column = _down_the_columns(grid)
    changes = [np.argsort(sequency_order(n).numpy()) for n in grid]
    pieces = (changes[0][row] + 1) * (changes[1][column] + 1)
    return (row * grid[1] + column)[np.argsort(pieces, kind="stable")]


def _zig_zag(grid: Grid, _seed: int) -> np.ndarray:
    r, c = np.indices(grid)
    return _by_sequency(grid, np.lexsort((-r.ravel(), (r + c).ravel())))


def _xy(grid: Grid, _seed: int) -> np.ndarray:
    r, c = np.indices(grid)
    return _by_sequency(grid, np.argsort((4 * r * c + r**2 + c**2).ravel(), kind="stable"))


def _random(grid: Grid, seed: int) -> np.ndarray:
    others = generator(seed, "", 0, "hadamard").permutation(grid[0] * grid[1] - 1) + 1
    return np.concatenate([[0], others])


ORDERS: Mapping[str, Callable[[Grid, int], np.ndarray]] = {
    "natural": _natural,
    "sequency": _sequency,
    "cake-cutting": _cake_cutting,
    "zig-zag": _zig_zag,
    "xy": _xy,
    "random": _random,
}


Order = Annotated[str, OneOf(ORDERS), "in which patterns are shown, the constant one first"]


def _down_the_columns(grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Natural row and column numbers of the patterns, sorted by sign changes of their column-major vectors."""
    flat = sequency_order(grid[0] * grid[1]).numpy()
    return flat % grid[0], flat // grid[0]


def _by_sequency(grid: Grid, places: np.ndarray) -> np.ndarray:
    """Natural numbers of patterns given by row-major places in the plane of sign changes."""
    natural = sequency_order(grid[0]).numpy()[:, None] * grid[1] + sequency_order(grid[1]).numpy()
    return natural.ravel()[places]


class Hadamard(LinearOperator):
    """y = m (H_P Z x H_Q) for each channel: all Walsh-Hadamard coefficients, or those that m keeps, in their plane.

    input_shape: (..., H, W); Z continues it by zeros to P x Q, the next powers of two, the size of y. Entries of H_n
    are +-1 / n^0.5; in natural order H[i, j] = (-1)^popcount(i & j), in sequency order rows go by their sign changes.
    Orders of selection: `pattern_order`.

    Without padding A A^T = diag(m), A^+ = A^T; complete planes have A^T A = I whatever the padding; a share of a padded
    plane is solved by conjugate gradients. The packed form with 0/1 patterns is `single-pixel`.
    Reference: N. Ahmed, K. R. Rao, "Orthogonal Transforms for Digital Signal Processing", 1975, chapter 6.
    """

    beside_array = ("order",)
    keep: Tensor
    rows: Tensor
    columns: Tensor

    def __init__(
        self,
        input_shape: Shape,
        *,
        order: Annotated[Literal["natural", "sequency"], "of rows and columns of the plane"] = "natural",
        ratio: Annotated[Ratio, "share of the P Q coefficients that is measured"] = 1.0,
        select: Annotated[Order, "in which coefficients are taken until the share is full"] = "zig-zag",
        mask: Annotated[
            Tensor | np.ndarray | list[Any] | None, "P x Q in the plane's order, true where measured, in place of ratio"
        ] = None,
        seed: Annotated[Seed, "of the random order"] = 0,
    ) -> None:
        self.grid = grid = pattern_grid(input_shape)
        super().__init__(input_shape, (*tuple(input_shape)[:-2], *grid))
        axes = [sequency_order(n) if order == "sequency" else torch.arange(n) for n in grid]
        if mask is None:
            natural = np.zeros(grid[0] * grid[1], dtype=bool)
            natural[pattern_order(select, grid, seed=seed)[: row_count(ratio, len(natural))]] = True
            keep = natural.reshape(grid)[np.ix_(axes[0].numpy(), axes[1].numpy())]
        else:
            keep = Mask(grid, mask=mask).keep.numpy()
        self.order, self.ratio, self.seed = order, float(keep.mean()), seed
        self.is_padded = grid != self.input_shape[-2:]
        self.is_complete = bool(keep.all())
        self.register_buffer("keep", torch.from_numpy(keep.copy()))
        self.register_buffer("rows", axes[0])
        self.register_buffer("columns", axes[1])

    def _forward(self, x: Tensor) -> Tensor:
        y = to_patterns(x, self.grid).reshape(*x.shape[:-2], *self.grid)
        if self.order != "natural":
            y = y[..., self.constant("rows", x), :][..., self.constant("columns", x)]
        return y if self.is_complete else y * self.constant("keep", x)

    def _adjoint(self, y: Tensor) -> Tensor:
        c = y if self.is_complete else y * self.constant("keep", y)
        if self.order != "natural":
            natural = torch.empty_like(c, memory_format=torch.contiguous_format)
            natural[..., self.constant("rows", y)[:, None], self.constant("columns", y)] = c
            c = natural
        size = (self.input_shape[-2], self.input_shape[-1])
        return from_patterns(c.reshape(*c.shape[:-2], self.grid[0] * self.grid[1]), self.grid, size)

    @property
    def observed(self) -> Tensor | None:
        """Boolean, P x Q: True where a coefficient is measured; None where all are."""
        return None if self.is_complete else self.keep

    def gram(self, x: Tensor) -> Tensor:
        return x.clone() if self.is_complete else super().gram(x)

    def solve(self, rhs: Tensor, rho: float | Tensor) -> Tensor:
        """A^T A rhs / (1 + rho) + (rhs - A^T A rhs) / rho, where A^T A is a projection."""
        if self.is_padded and not self.is_complete:
            return super().solve(rhs, rho)
        self._check(rhs, self.input_shape, False, "right-hand side")
        level = check_rho(rho, rhs)
        measured = self.gram(rhs)
        return measured / (1 + level) + divide(rhs - measured, level.expand_as(rhs))

    def pinv(self, y: Tensor, *, rtol: float = 1e-3) -> Tensor:
        """A^T y where all singular values are 1."""
        return super().pinv(y, rtol=rtol) if self.is_padded and not self.is_complete else self.adjoint(y)

    def direct(self, y: Tensor) -> Tensor:
        """The inverse transform with unmeasured coefficients 0: A^T y."""
        return self.adjoint(y)

    def norm(self, *, iterations: int = 50) -> float:
        return super().norm(iterations=iterations) if self.is_padded and not self.is_complete else 1.0

    @property
    def svd(self) -> SVD | None:
        """All singular values are 1; none is given for a share of a padded plane."""
        if self.is_padded and not self.is_complete:
            return None
        if self.is_complete:
            return SVD(
                s=torch.ones(math.prod(self.input_shape), dtype=torch.float64),
                U=lambda c: self.forward(c.reshape(c.shape[0], *self.input_shape)),
                Ut=lambda y: self.adjoint(y).flatten(1),
                V=lambda c: c.reshape(c.shape[0], *self.input_shape),
                Vt=lambda x: x.flatten(1),
            )
        return _masked_svd(self)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, order={self.order!r}, ratio={self.ratio:.4f}, seed={self.seed}"


def _masked_svd(a: Hadamard) -> SVD:
    """V is the whole transform, measured coefficients first; U picks their places in the plane."""
    whole = Hadamard(a.input_shape, order=a.order)
    keep = a.keep.expand(a.output_shape).flatten()
    first, rest = keep.nonzero()[:, 0], (~keep).nonzero()[:, 0]
    both = torch.cat([first, rest])

    def scatter(c: Tensor, places: Tensor) -> Tensor:
        flat = c.new_zeros(c.shape[0], keep.numel())
        flat[:, places.to(c.device)] = c
        return flat.reshape(c.shape[0], *a.output_shape)

    return SVD(
        s=torch.ones(len(first), dtype=torch.float64),
        U=lambda c: scatter(c, first),
        Ut=lambda y: y.flatten(1)[:, first.to(y.device)],
        V=lambda c: whole.adjoint(scatter(c, both)),
        Vt=lambda x: whole.forward(x).flatten(1)[:, both.to(x.device)],
    )
