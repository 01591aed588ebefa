"""Message passing on a lattice: the exact mean of a Levy process under white Gaussian noise.

x_k = u_1 + ... + u_k is a Markov chain, so that the posterior of x given x + sigma n = y follows from two passes:

    forward   c_k(x) = L_k(x) (p_U * c_{k-1})(x),   c_0 = delta at 0,   L_k(x) = exp(-(x - y_k)^2 / (2 sigma^2))
    backward  b_{k-1}(x) = (p_U * (L_k b_k))(x),    b_d = 1
    p(x_k | y) ~ c_k(x) b_k(x)

Functions live on points of one lattice h Z, which holds 0; those of x_k on a window of 9 sigma about y_k, so that a
jump of any size costs nothing. Convolutions use the band-limited kernel, (1 / 2 pi) int_{-pi/h}^{pi/h} phi(w)
exp(i w j h) dw: what it is applied to is as smooth as L_k, so that sums over the lattice are integrals to many digits,
kinks of the density and the atom at 0 included.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from .levy_laws import IncrementLaw

HALF_WIDTH = 9.0  # of a window, in sigma
CORRECTED = 64  # lattice points about 0 where band-limited and sampled kernel differ
_PERIOD = 2**17


@dataclass(frozen=True)
class Marginals:
    """Mean and variance of each x_k, and the probability that increment k is not 0 (all B x d)."""

    mean: Tensor
    variance: Tensor
    jump: Tensor


def spacing(law: IncrementLaw, sigma: float) -> float:
    """h for a noise level: fine enough for the narrowest product of likelihoods, sigma / 8 for 64 in a row."""
    if law.jump < 1:
        return sigma / 8
    return min(sigma / 2, max(sigma / 20, 0.3 * math.sqrt(sigma * law.scale)))


@lru_cache(maxsize=256)
def _correction(law: IncrementLaw, h: float) -> Tensor:
    """Band-limited minus sampled density at 0, h, ..., CORRECTED h."""
    omega = np.minimum(np.arange(_PERIOD), _PERIOD - np.arange(_PERIOD)) * (2 * math.pi / (_PERIOD * h))
    limited = np.fft.ifft(law.characteristic(omega)).real[: CORRECTED + 1] / h
    sampled = law.density(h * torch.arange(CORRECTED + 1, dtype=torch.float64))
    return torch.from_numpy(limited) - sampled


def marginals(law: IncrementLaw, y: Tensor, sigma: float, *, h: float | None = None) -> Marginals:
    """Posterior moments of y = x + sigma n. y: B x d, float64; sigma > 0. h: the lattice; None chooses."""
    step = spacing(law, sigma) if h is None else h
    half = math.ceil(HALF_WIDTH * sigma / step)
    points = torch.arange(-half, half + 1, dtype=torch.float64)
    origin = torch.round(y.detach() / step)  # the window's middle, a whole number of steps
    likelihood = torch.exp(-0.5 * ((step * (origin[..., None] + points) - y[..., None]) / sigma).square())
    forward, backward = _passes(law, likelihood, origin, step, half)
    weights = torch.stack([c * b for c, b in zip(forward, backward, strict=True)], 1)
    total = weights.sum(-1).clamp_min(1e-300)
    # An input that no signal of the law explains leaves rounding noise for weights; the answer stays in its window.
    first = ((weights * points).sum(-1) / total).clamp(-half, half)
    second = (weights * (points - first[..., None]).square()).sum(-1) / total
    still = _still(law, likelihood, origin, forward, backward, half, step) if law.jump < 1 else torch.zeros_like(first)
    return Marginals(step * (origin + first), step**2 * second, 1 - still)


def _passes(
    law: IncrementLaw, likelihood: Tensor, origin: Tensor, step: float, half: int
) -> tuple[list[Tensor], list[Tensor]]:
    count, length, width = likelihood.shape
    n = _fast(4 * half + 2)  # of a circle on which what wraps around misses the answer
    moved = torch.diff(origin, dim=1, prepend=torch.zeros_like(origin[:, :1]))
    offsets = torch.arange(-2 * half, 2 * half + 1, dtype=torch.float64)
    kernels = torch.fft.rfft(_kernel(law, moved[..., None] + offsets, step)[0], n=n)
    start = torch.zeros(count, width, dtype=torch.float64)
    start[:, half] = 1 / step
    forward, c = [], start
    for k in range(length):
        spread = torch.fft.irfft(torch.fft.rfft(c, n=n) * kernels[:, k], n=n)[:, 2 * half : 2 * half + width]
        c = likelihood[:, k] * spread
        c = c / c.detach().abs().amax(1, keepdim=True).clamp_min(1e-300)
        forward.append(c)
    b = torch.ones(count, width, dtype=torch.float64)
    backward = [b]
    for k in reversed(range(1, length)):
        seen = torch.fft.rfft(likelihood[:, k] * b, n=n)
        # The transposed kernel: b_{k-1}[i] = sum_j kernel[j - i + 2 half] L_k[j] b_k[j].
        b = torch.roll(torch.fft.irfft(seen * kernels[:, k].conj(), n=n), 2 * half, -1)[:, :width]
        b = b / b.detach().abs().amax(1, keepdim=True).clamp_min(1e-300)
        backward.append(b)
    return forward, backward[::-1]


def _kernel(law: IncrementLaw, index: Tensor, step: float) -> tuple[Tensor, Tensor]:
    """Weights of a convolution at whole numbers of steps (last axis), times a factor of each row, and that factor.

    It keeps jumps far out in the tail from being an underflow; 0 stands for it where the row is all tail.
    """
    near = index.abs().clamp_max(CORRECTED + 1).long()
    table = torch.cat([_correction(law, step), torch.zeros(1, dtype=torch.float64)])
    logarithm = law.log_density(step * index)
    largest = logarithm.amax(-1, keepdim=True)
    factor = torch.where((near <= CORRECTED).any(-1, keepdim=True), torch.exp(-largest.clamp_min(-300)), 0.0)
    smooth = step * ((logarithm - largest).exp() + factor * table[near])
    return (smooth if law.jump == 1 else law.jump * smooth + (1 - law.jump) * factor * (index == 0)), factor


def _still(
    law: IncrementLaw,
    likelihood: Tensor,
    origin: Tensor,
    forward: list[Tensor],
    backward: list[Tensor],
    half: int,
    step: float,
) -> Tensor:
    """Posterior probability that x_k = x_{k-1}, for each k (B x d)."""
    count, length, width = likelihood.shape
    found = []
    moved = torch.diff(origin, dim=1, prepend=torch.zeros_like(origin[:, :1])).long()
    offsets = torch.arange(-2 * half, 2 * half + 1)
    places = torch.arange(width)
    previous = torch.zeros(count, width, dtype=torch.float64)
    previous[:, half] = 1 / step
    for k in range(length):
        future = likelihood[:, k] * backward[k]
        kernel, unit = _kernel(law, (moved[:, k, None] + offsets).double(), step)
        n = _fast(4 * half + 2)
        spread = torch.fft.irfft(torch.fft.rfft(previous, n=n) * torch.fft.rfft(kernel, n=n), n=n)
        every = (spread[:, 2 * half : 2 * half + width] * future).sum(1)
        source = places + moved[:, k, None]  # place of the same x in the window of x_{k-1}
        inside = (source >= 0) & (source < width)
        same = torch.where(inside, previous.gather(1, source.clamp(0, width - 1)), 0.0)
        found.append((1 - law.jump) * unit[:, 0] * (same * future).sum(1) / every)
        previous = forward[k]
    return torch.stack(found, 1)


def _fast(size: int) -> int:
    """A length at or above `size` whose transform is quick."""
    from scipy.fft import next_fast_len

    return int(next_fast_len(size, real=True))
