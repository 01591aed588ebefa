"""The Gaussian prior: every quantity in closed form, so that it can judge samplers."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from torch import Tensor

from operators.common.errors import BadInput
from operators.common.randomness import Noise
from operators.common.settings import Range
from operators.core.linear_solvers import conjugate_gradients

from ..base import DiffusionPrior, Sigma, check_sigma
from .posterior import MAX_UNKNOWNS, LinearGaussianProblem, Posterior, condition

RELATIVE_ZERO = 1e-12  # of the largest eigenvalue: directions without any variance


class GaussianPrior(DiffusionPrior):
    """x0 ~ N(mean, C), in image units. Give exactly one of std, covariance and spectrum.

    mean: C x H x W picture. std: a number, or one per pixel. covariance: dense N x N, N = C H W, for small pictures.
    spectrum: C x H x W eigenvalues of a stationary (circulant) covariance of each channel under `torch.fft.fft2`;
    symmetric under k -> -k, so that pictures are real. native_clip: legal range, or None.

    With C = Q diag(l) Q^H the answer is E[x0 | x] = m + Q diag(l / (l + sigma^2)) Q^H (x - m) (Wiener 1949), computed
    with the precision of x. Noise that differs from pixel to pixel, S = diag(s^2), is answered exactly too:
    m + C (C + S)^-1 (x - m).
    """

    mean: Tensor
    eigenvalues: Tensor
    basis: Tensor | None

    def __init__(
        self,
        mean: Tensor,
        *,
        std: Annotated[float | Tensor | None, Range(0)] = None,
        covariance: Tensor | None = None,
        spectrum: Tensor | None = None,
        native_clip: tuple[float, float] | None = None,
    ) -> None:
        if mean.ndim != 3:
            raise BadInput(f"mean has shape {tuple(mean.shape)}", wanted="C x H x W")
        super().__init__(native_clip=native_clip, channels=(mean.shape[0],))
        covariances = [
            name for name, v in (("std", std), ("covariance", covariance), ("spectrum", spectrum)) if v is not None
        ]
        if len(covariances) != 1:
            raise BadInput(
                f"{' and '.join(covariances) or 'no covariance'} given", wanted="one of std, covariance, spectrum"
            )
        self.stationary = spectrum is not None
        basis = None
        if covariance is not None:
            eigenvalues, basis = _diagonalise(covariance.double(), mean.numel())
        elif spectrum is not None:
            eigenvalues = _check_spectrum(spectrum.double(), mean)
        else:
            eigenvalues = torch.as_tensor(std, dtype=torch.float64).square().broadcast_to(mean.shape).clone()
        if not bool((eigenvalues >= 0).all() & torch.isfinite(eigenvalues).all()):
            raise BadInput(
                "the covariance has a negative or infinite eigenvalue", wanted="a positive semi-definite one"
            )
        self.register_buffer("mean", mean.double().clone())
        self.register_buffer("eigenvalues", eigenvalues)
        self.register_buffer("basis", basis)

    takes_maps = True

    def denoise_native(self, z: Tensor, sigma: Tensor) -> Tensor:
        if sigma.ndim > 1:
            return self.mean.to(z) + self._unmixed(self._centred(z), sigma.square().expand_as(z))
        gain = self._spread(z) / self._variance(sigma)
        return self.mean.to(z) + self._synthesis(self._analysis(self._centred(z)) * gain)

    def _unmixed(self, away: Tensor, noise: Tensor) -> Tensor:
        """C (C + diag(noise))^-1 away, for variances of the noise that differ from pixel to pixel (B x C x H x W)."""
        if self.basis is not None:
            covariance = self.covariance
            total = covariance + torch.diag_embed(noise.flatten(1).to(covariance))
            inverse = torch.linalg.pinv(total, rcond=RELATIVE_ZERO, hermitian=True)
            weighted = torch.einsum("ij,bjk,bk->bi", covariance, inverse, away.flatten(1).to(covariance))
            return weighted.to(away).reshape(away.shape)
        spread = self._spread(away)
        if not self.stationary:
            total = spread + noise
            return torch.where(total > 0, spread / torch.where(total > 0, total, 1.0), 0.0) * away

        def covariance_of(x: Tensor) -> Tensor:
            return self._synthesis(self._analysis(x) * spread)

        return covariance_of(conjugate_gradients(lambda x: covariance_of(x) + noise * x, away).x)

    def log_density(self, x: Tensor, sigma: Sigma) -> Tensor:
        """log p(x) of x = x0 + sigma n (B), normalised; -inf or NaN where the covariance is singular and sigma is 0."""
        variance = self._variance(check_sigma(sigma, x))
        energy = self._analysis(self._centred(x)).abs() ** 2 / variance
        return -0.5 * (energy + torch.log(2 * math.pi * variance)).flatten(1).sum(1)

    def sample(self, count: int, noise: Noise) -> Tensor:
        """count draws (count x C x H x W, float64); a NoiseSource must be made for `count` images."""
        like = self.mean.expand(count, *self.mean.shape)
        return self.mean + self._synthesis(self._analysis(noise.normal("prior", like)) * self._spread(like).sqrt())

    def posterior(self, problem: LinearGaussianProblem) -> Posterior:
        """p(x0 | y) for a linear operator and Gaussian noise, in image units: one component, dense covariance."""
        one = torch.zeros(1, dtype=torch.float64, device=self.mean.device)
        return condition(self.mean[None], self.covariance, one, problem)

    @property
    def covariance(self) -> Tensor:
        """C as a matrix (N x N, float64)."""
        size = self.mean.numel()
        if size > MAX_UNKNOWNS:
            raise BadInput(f"a dense covariance of {size} pixels", wanted=f"at most {MAX_UNKNOWNS}")
        unit = torch.eye(size, dtype=torch.float64, device=self.mean.device).reshape(size, *self.mean.shape)
        return self._synthesis(self._analysis(unit) * self._spread(unit)).flatten(1)

    def _centred(self, x: Tensor) -> Tensor:
        if x.shape[1:] != self.mean.shape:
            raise BadInput(f"pictures of shape {tuple(x.shape[1:])}", wanted=f"{tuple(self.mean.shape)}, as the mean")
        return x - self.mean.to(x)

    def _spread(self, like: Tensor) -> Tensor:
        return self.eigenvalues.to(like)

    def _variance(self, sigma: Tensor) -> Tensor:
        """l + sigma^2 for each batch entry."""
        spread = self._spread(sigma)
        return spread + sigma.square().reshape(-1, *[1] * spread.ndim)

    def _analysis(self, x: Tensor) -> Tensor:
        """Q^H x: coefficients shaped like the eigenvalues."""
        if self.basis is not None:
            return x.flatten(1) @ self.basis.to(x)
        return torch.fft.fft2(x, norm="ortho") if self.stationary else x

    def _synthesis(self, coefficients: Tensor) -> Tensor:
        if self.basis is not None:
            return (coefficients @ self.basis.to(coefficients).T).reshape(-1, *self.mean.shape)
        return torch.fft.ifft2(coefficients, norm="ortho").real if self.stationary else coefficients


def _diagonalise(covariance: Tensor, size: int) -> tuple[Tensor, Tensor]:
    if covariance.shape != (size, size):
        raise BadInput(
            f"covariance has shape {tuple(covariance.shape)}", wanted=f"{size} x {size}, the pixels of the mean"
        )
    if not torch.allclose(covariance, covariance.T, rtol=1e-10, atol=1e-12):
        raise BadInput("covariance is not symmetric")
    values, vectors = torch.linalg.eigh(covariance)
    # Rounding gives a singular covariance eigenvalues of about -eps; a real negative one stays and is refused.
    noise = 1e-12 * float(values.abs().max())
    return torch.where((values < 0) & (values > -noise), 0.0, values), vectors


def _check_spectrum(spectrum: Tensor, mean: Tensor) -> Tensor:
    if spectrum.shape != mean.shape:
        raise BadInput(f"spectrum has shape {tuple(spectrum.shape)}", wanted=f"{tuple(mean.shape)}, as the mean")
    mirrored = torch.roll(spectrum.flip(-1, -2), (1, 1), (-2, -1))
    if not torch.allclose(mirrored, spectrum):
        raise BadInput("spectrum is not symmetric under k -> -k, so its pictures would be complex")
    return spectrum.clone()
