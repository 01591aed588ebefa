"""What the recorded trajectories share: the closed-form networks, and the operators they were recorded with."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from operators.core.base import LinearOperator
from operators.core.identity import Identity
from operators.noise import Gaussian
from priors.analytic.gaussian_mixture import GaussianMixture
from priors.residual.prior import NetworkPrior
from priors.residual.process import Process
from restore.problem import Problem


class AveragePool(LinearOperator):
    """4 x 4 means, flattened where `flat`; the pseudo-inverse repeats each value."""

    def __init__(self, *, flat: bool) -> None:
        self.flat = flat
        super().__init__((3, 16, 16), (48,) if flat else (3, 4, 4))

    def _forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 4).reshape(x.shape[0], *self.output_shape)

    def _adjoint(self, y: Tensor) -> Tensor:
        return self.pinv(y) / 16

    def pinv(self, y: Tensor, *, rtol: float = 1e-3) -> Tensor:
        return y.reshape(-1, 3, 4, 4).repeat_interleave(4, -1).repeat_interleave(4, -2)


class Kept(LinearOperator):
    """Multiplication by an H x W mask, full size; where it `measures_holes`, their noise counts as data."""

    def __init__(self, mask: Tensor, *, measures_holes: bool = False) -> None:
        super().__init__((3, *mask.shape), (3, *mask.shape))
        self.mask = mask
        self.measures_holes = measures_holes

    def _forward(self, x: Tensor) -> Tensor:
        return x * self.mask

    def _adjoint(self, y: Tensor) -> Tensor:
        return y * self.mask

    @property
    def observed(self) -> Tensor | None:
        return None if self.measures_holes else self.mask > 0

    def solve(self, rhs: Tensor, rho: float | Tensor) -> Tensor:
        return rhs / (self.mask**2 + rho)

    def pinv(self, y: Tensor, *, rtol: float = 1e-3) -> Tensor:
        return y * self.mask


class ToyHeads(torch.nn.Module):
    """a tanh(x) + b y + d sin(w t) for each head [a, b, d, w]: the closed-form network of the residual recordings."""

    def __init__(self, heads: Sequence[Sequence[float]]) -> None:
        super().__init__()
        self.heads = heads
        self.seen: list[tuple[Tensor, Tensor]] = []

    def forward(self, x: Tensor, t: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        self.seen.append((x, t))
        return tuple(a * x.tanh() + b * y + d * (w * t).sin()[:, None, None, None] for a, b, d, w in self.heads)


@pytest.fixture
def toy_residual() -> Callable[..., NetworkPrior]:
    """A residual prior of closed-form heads, as many of `heads` as the process has."""

    def build(process: Process, heads: Sequence[Any]) -> NetworkPrior:
        listed = heads if isinstance(heads[0], Sequence) else [heads]
        return NetworkPrior(ToyHeads(listed[: process.heads]), process)

    return build


@pytest.fixture(scope="module")
def archives() -> dict[str, Any]:
    """What `recorded` has read for this module."""
    return {}


@pytest.fixture
def recorded(reference, archives) -> Callable[[str], dict[str, Recording]]:
    """Cases of a residual recording: name -> its settings and arrays."""

    def load(name: str) -> dict[str, Recording]:
        if name in archives:
            return archives[name]
        arrays = reference(name)
        cases = [key.removesuffix("/config") for key in arrays if key.endswith("/config")]
        archives[name] = {
            case: Recording(
                json.loads(str(arrays[f"{case}/config"])),
                {k.removeprefix(f"{case}/"): v for k, v in arrays.items() if k.startswith(f"{case}/")},
            )
            for case in cases
        }
        return archives[name]

    return load


class Recording(NamedTuple):
    config: dict[str, Any]
    arrays: dict[str, np.ndarray]

    def __getitem__(self, key: str) -> Tensor:
        return torch.as_tensor(self.arrays[key])


@pytest.fixture
def posed() -> Callable[[Tensor], Problem]:
    """A measurement that lies on the grid of the picture already."""

    def build(y: Tensor) -> Problem:
        return Problem(y, Identity(tuple(y.shape[1:])), Gaussian(sigma=0.0))

    return build


@pytest.fixture
def close() -> Callable[[Any, Any], None]:
    """Equal to 1e-10 of the larger of 1 and the recorded range, and the same number of finite values."""

    def check(found: Any, wanted: Any) -> None:
        found, wanted = np.asarray(found, dtype=np.float64), np.asarray(wanted, dtype=np.float64)
        assert found.shape == wanted.shape
        error = np.abs(found - wanted).max() / max(1.0, np.abs(wanted).max())
        assert error <= 1e-10

    return check


@pytest.fixture
def toy_prior() -> Callable[..., GaussianMixture]:
    """The mixture of a recording; `clip` as (-1, 1) or None."""

    def build(record: Mapping[str, np.ndarray], clip: tuple[float, float] | None) -> GaussianMixture:
        means, weights = torch.as_tensor(record["prior_mu"]), torch.as_tensor(record["prior_w"])
        return GaussianMixture(means, weights, std=float(record["prior_std"]), native_clip=clip)

    return build


@pytest.fixture
def average_pool() -> Callable[..., LinearOperator]:
    return AveragePool


@pytest.fixture
def kept() -> Callable[..., LinearOperator]:
    return Kept


class MatrixOperator(LinearOperator):
    """A dense matrix on the flattened picture."""

    def __init__(self, matrix: Tensor, shape: tuple[int, ...]) -> None:
        super().__init__(shape, (len(matrix),))
        self.register_buffer("matrix", matrix)

    def _forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.constant("matrix", x).T

    def _adjoint(self, y: Tensor) -> Tensor:
        return (y @ self.constant("matrix", y)).reshape(-1, *self.input_shape)


@pytest.fixture
def matrix_operator() -> Callable[..., LinearOperator]:
    """An operator from a recorded matrix and the shape of the picture."""
    return lambda matrix, shape: MatrixOperator(torch.as_tensor(matrix), shape)


@pytest.fixture
def more(reference) -> Callable[[str], dict[str, np.ndarray]]:
    """One case of the recorded trajectories on Gaussian priors: array name -> array."""

    def load(case: str) -> dict[str, np.ndarray]:
        arrays = reference("posterior_more")
        return {k.removeprefix(f"{case}__"): v for k, v in arrays.items() if k.startswith(f"{case}__")}

    return load
