"""A residual prior in closed form: picture and measurement jointly Gaussian, so that it can judge samplers."""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor

from operators.common.errors import BadInput
from operators.core.base import LinearOperator

from .grid import on_grid
from .prior import ResidualPrior
from .process import Prediction, Process

MAX_UNKNOWNS = 4096
RELATIVE_ZERO = 1e-12


class Joint(Protocol):
    """What is asked of a Gaussian prior of pictures (priors.Gaussian)."""

    mean: Tensor

    @property
    def covariance(self) -> Tensor:
        """N x N."""


class GaussianPair(ResidualPrior):
    """(x0, y) jointly Gaussian; `predict` is the exact E[x0 | x_t, y] of a process.

    mean: C x H x W, E[x0]. mean_y: E[y], of y's shape on the grid. gain: N x M matrix with E[x0 | y] = mean +
    gain (y - mean_y). covariance: N x N, of x0 given y. shift, scale: 0 and 1, pictures are in the process's units.

    With m = E[x0 | y] and Cov[x0 | y] = Q diag(l) Q^T:
    E[x0 | x_t, y] = m + Q diag(a l / (a^2 l + s^2)) Q^T (x_t - b y - a m).
    """

    mean: Tensor
    mean_y: Tensor
    gain: Tensor
    basis: Tensor
    variances: Tensor

    def __init__(
        self,
        process: Process,
        *,
        mean: Tensor,
        mean_y: Tensor,
        gain: Tensor,
        covariance: Tensor,
        native_clip: tuple[float, float] | None = None,
    ) -> None:
        size = mean.numel()
        if size > MAX_UNKNOWNS:
            raise BadInput(f"a dense covariance of {size} pixels", wanted=f"at most {MAX_UNKNOWNS}")
        if gain.shape != (size, mean_y.numel()) or covariance.shape != (size, size):
            raise BadInput(
                f"gain has shape {tuple(gain.shape)}, covariance {tuple(covariance.shape)}",
                wanted=f"{size} x {mean_y.numel()} and {size} x {size}",
            )
        super().__init__(process, shift=0.0, scale=1.0, native_clip=native_clip, channels=(mean.shape[0],))
        variances, basis = torch.linalg.eigh(covariance.double())
        self.register_buffer("mean", mean.double().clone())
        self.register_buffer("mean_y", mean_y.double().clone())
        self.register_buffer("gain", gain.double().clone())
        self.register_buffer("basis", basis)
        self.register_buffer("variances", variances.clamp_min(0))

    @classmethod
    def of(cls, process: Process, pictures: Joint, *, matrix: Tensor, noise: Tensor) -> GaussianPair:
        """y = matrix x0 + n on the grid. matrix: N x N. noise: N x N covariance of n."""
        covariance = pictures.covariance
        cross = covariance @ matrix.T
        measured = matrix @ cross + noise
        gain = cross @ torch.linalg.pinv(measured, rcond=RELATIVE_ZERO, hermitian=True)
        left = covariance - gain @ cross.T
        mean = pictures.mean
        return cls(
            process,
            mean=mean,
            mean_y=(matrix @ mean.flatten()).reshape(mean.shape),
            gain=gain,
            covariance=(left + left.T) / 2,
        )

    @classmethod
    def measured(cls, process: Process, pictures: Joint, operator: LinearOperator, *, sigma: float) -> GaussianPair:
        """y is what `on_grid` makes of operator(x0) + N(0, sigma^2 I); where that map is linear, exactly so."""
        units = torch.eye(math.prod(operator.input_shape), dtype=torch.float64)
        matrix = on_grid(operator, operator(units.reshape(-1, *operator.input_shape))).flatten(1).T
        single = torch.eye(math.prod(operator.output_shape), dtype=torch.float64).reshape(-1, *operator.output_shape)
        if operator.observed is not None:
            single = single * operator.observed
        spread = sigma * on_grid(operator, single).flatten(1).T
        return cls.of(process, pictures, matrix=matrix, noise=spread @ spread.T)

    def posterior_mean(self, y: Tensor) -> Tensor:
        """E[x0 | y] (B x C x H x W)."""
        away = (y - self.mean_y.to(y)).flatten(1) @ self.gain.to(y).T
        return self.mean.to(y) + away.reshape(-1, *self.mean.shape)

    @property
    def posterior_std(self) -> Tensor:
        """Standard deviation of each pixel of x0 given y (C x H x W)."""
        return (self.basis.square() @ self.variances).sqrt().reshape(self.mean.shape)

    def predict(self, x_t: Tensor, y_up: Tensor, t: float, *, condition: Tensor | None = None) -> Prediction:
        a, b, s = self.process.marginal(t)
        centre = self.posterior_mean(y_up)
        variances, basis = self.variances.to(x_t), self.basis.to(x_t)
        total = a**2 * variances + s**2
        share = torch.where(total > 0, a * variances / torch.where(total > 0, total, 1.0), 0.0)
        away = (x_t - b * y_up - a * centre).flatten(1) @ basis * share
        return self.process.from_x0(centre + (away @ basis.T).reshape(x_t.shape), x_t, y_up, t)
