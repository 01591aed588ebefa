"""Variances without sampling, from the derivative of the posterior mean (Manor, Michaeli 2024, arXiv 2309.13598).

For x_t = x0 + s n and the exact denoiser D(x_t) = E[x0 | x_t]: Cov[x0 | x_t] = s^2 dD/dx. A network is the exact
denoiser only as far as it was trained to the mean squared error; `asymmetry` and the share of negative variances tell.

For y = A x + sigma n a Gaussian surrogate: J = dD/dx at the estimate and level s has C = s^2 J (I - J)^-1 as the prior
covariance that a Gaussian would need, and Cov[x | y] = C - C A^H (A C A^H + sigma^2 I)^-1 A C. It is exact for Gaussian
priors at every s, and describes one mode of others. s^2 J itself is the variance of denoising, never an error bar of a
reconstruction: it goes to 0 with s.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from operators.common.errors import BadInput

Map = Callable[[Tensor], Tensor]
STEP = {torch.float32: 1e-2, torch.float64: 1e-5}  # of a central difference, in levels


@dataclass(frozen=True)
class Variance:
    """The variance of every pixel (B x C x ...), negative values set to 0; `negative`: their share."""

    values: Tensor
    negative: float


def denoised_variance(
    denoise: Callable[[Tensor, float], Tensor], x: Tensor, sigma: float, *, stride: int = 6
) -> Variance:
    """The diagonal of Cov[x0 | x] = sigma^2 dD/dx at x (B x C x ...): stride^n C combs of two calls each.

    denoise: D(x, sigma). Errs by the entries of J between pixels that are a multiple of `stride` apart.
    """
    jacobian = differential(lambda point: denoise(point, sigma), x, sigma)
    diagonal = sigma**2 * comb_diagonal(jacobian, torch.zeros_like(x), stride=stride)
    return Variance(diagonal.clamp_min(0), float((diagonal < 0).double().mean()))


def differential(function: Map, x: Tensor, sigma: float) -> Map:
    """v -> dD/dx v at x, by a central difference: no backward pass, any denoiser."""
    if not sigma > 0:
        raise BadInput(f"sigma is {sigma:g}", wanted="a positive noise level")
    step = STEP.get(x.dtype, STEP[torch.float32]) * sigma

    def along(v: Tensor) -> Tensor:
        size = float(v.abs().square().mean().sqrt())
        if size == 0:
            return torch.zeros_like(v)
        h = step / size
        return (function(x + h * v) - function(x - h * v)) / (2 * h)

    return along


def comb_diagonal(matrix: Map, like: Tensor, *, stride: int = 6, channels: bool = True) -> Tensor:
    """The diagonal of a linear map on pictures like `like` (B x C x ...), by probes of +-1 on every `stride`-th pixel.

    sum over combs of v * (J v). Unlike Hutchinson's probes, which see all entries of J, a comb errs by those alone that
    lie a multiple of `stride` apart. The signs are fixed. channels: each channel is probed for itself.
    """
    if stride < 1:
        raise BadInput(f"stride is {stride}", wanted="1 or more")
    diagonal = torch.zeros_like(like)
    for probe in combs(like, stride, channels=channels):
        diagonal += probe * matrix(probe)
    return diagonal


def combs(like: Tensor, stride: int, *, channels: bool = True) -> Iterator[Tensor]:
    """Probes that are +-1 on one class of pixels each and together cover every pixel once."""
    shape = like.shape[2:]
    generator = torch.Generator().manual_seed(0)
    signs = (torch.randint(0, 2, like.shape[1:], generator=generator) * 2 - 1).to(like)
    for offsets in itertools.product(*(range(min(stride, n)) for n in shape)):
        places = tuple(slice(offset, None, stride) for offset in offsets)
        for channel in range(like.shape[1]) if channels else (slice(None),):
            probe = torch.zeros_like(like)
            probe[(slice(None), channel, *places)] = signs[(channel, *places)]
            yield probe


def hutchinson(matrix: Map, probes: Tensor) -> Tensor:
    """The diagonal of a map as the mean of v * (J v) over probes K x B x ...: slow to converge, any dependence seen."""
    return torch.stack([probe * matrix(probe) for probe in probes]).mean(0)


def asymmetry(jacobian: Map, like: Tensor, *, probes: int = 6) -> float:
    """|J - J^T| / |J| in Frobenius norms, estimated: 0 for the exact denoiser, sqrt(2) where J and J^T share nothing.

    From v_i^T J v_j for all pairs of so many random probes (2 or more), each of which costs one product with J.
    """
    generator = torch.Generator().manual_seed(1)
    drawn = [torch.randn(like.shape, generator=generator, dtype=torch.float64).to(like) for _ in range(probes)]
    images = [jacobian(probe) for probe in drawn]
    products = torch.tensor([[float((v * image).double().sum()) for image in images] for v in drawn])
    apart = products - products.diag().diag()  # v_i^T J v_i tells of the trace alone
    size = float(apart.square().sum()) / 2
    return math.sqrt(float((apart - apart.T).square().sum()) / 2 / size) if size else 0.0


def surrogate_covariance(jacobian: Tensor, sigma_prior: float, forward: Tensor, sigma: float) -> Tensor:
    """Cov[x | y] (n x n) of the Gaussian surrogate, dense: J (n x n, symmetric) at level `sigma_prior`, A (m x n)."""
    identity = torch.eye(len(jacobian), dtype=jacobian.dtype)
    prior = sigma_prior**2 * torch.linalg.solve(identity - jacobian, jacobian)
    image = forward @ prior
    inner = image @ forward.T + sigma**2 * torch.eye(len(forward), dtype=forward.dtype)
    return prior - image.T @ torch.linalg.solve(inner, image)
