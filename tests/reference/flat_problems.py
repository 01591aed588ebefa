"""Vectors as pictures of one row: the operators and priors of the recordings on Gaussian priors."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from operators.core.base import LinearOperator
from operators.noise import Gaussian
from priors.analytic.gaussian import GaussianPrior
from priors.base import DiffusionPrior
from priors.schedules import Schedule
from restore.problem import Problem


class Matrix(LinearOperator):
    """A dense matrix on pictures of one row."""

    def __init__(self, matrix: Tensor) -> None:
        super().__init__((1, 1, matrix.shape[1]), (len(matrix),))
        self.matrix = matrix

    def _forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.matrix.T

    def _adjoint(self, y: Tensor) -> Tensor:
        return (y @ self.matrix).reshape(-1, *self.input_shape)

    def pinv(self, y: Tensor, *, rtol: float = 1e-3) -> Tensor:
        return (y @ torch.linalg.pinv(self.matrix).T).reshape(-1, *self.input_shape)

    def norm(self, *, iterations: int = 50) -> float:
        return 1.0  # so that the length of a step is the number that the recording states


class Coils(LinearOperator):
    """Masked Fourier transforms of a complex row under each coil's map."""

    def __init__(self, maps: Tensor, mask: Tensor) -> None:
        shape = (1, 1, maps.shape[1])
        super().__init__(shape, tuple(maps.shape), complex_input=True, complex_output=True)
        self.maps, self.mask = maps, mask

    def _forward(self, x: Tensor) -> Tensor:
        return self.mask * torch.fft.fft(self.maps * x[:, 0], norm="ortho")

    def _adjoint(self, y: Tensor) -> Tensor:
        return (self.maps.conj() * torch.fft.ifft(self.mask * y, norm="ortho")).sum(1)[:, None, None]


class Stacked(DiffusionPrior):
    """A prior of complex rows from one of their real and imaginary parts side by side."""

    def __init__(self, prior: GaussianPrior) -> None:
        super().__init__()
        self.prior = prior

    def denoise_native(self, z: Tensor, sigma: Tensor) -> Tensor:
        half = z.shape[-1]
        parts = self.prior.denoise_native(torch.cat([z.real, z.imag], -1), sigma)
        return torch.complex(parts[..., :half], parts[..., half:])


def gaussian(record: Mapping[str, np.ndarray], name: str) -> GaussianPrior:
    """The prior of a case."""
    mean = torch.as_tensor(record[f"{name}__prior_mean"])
    return GaussianPrior(mean[None, None], covariance=torch.as_tensor(record[f"{name}__prior_cov"]))


def scheduled(prior: GaussianPrior, schedule: Schedule) -> GaussianPrior:
    """The prior on another schedule."""
    prior.schedule = schedule
    return prior


def linear(record: Mapping[str, np.ndarray], name: str, sigma: float = 0.0) -> Problem:
    """The measurement of a case with the matrix A."""
    operator = Matrix(torch.as_tensor(record[f"{name}__A"]))
    return Problem(torch.as_tensor(record[f"{name}__y"])[None], operator, Gaussian(sigma=sigma))
