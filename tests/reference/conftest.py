"""What the recorded trajectories share: the closed-form network, and the operators they were recorded with."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from operators.base import LinearOperator
from priors.gaussian_mixture import GaussianMixture


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
