"""The autocorrelation of noise, from flat patches or from a residual."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from .flat import NOTHING, alike_patches

SIDE = 16  # pixels of a patch
REACH = 4  # lags along each axis


def correlation_kernel(y: Tensor, reach: int = REACH) -> Tensor:
    """r(dy, dx) of the noise of a picture, (2 reach + 1) x (2 reach + 1) with r(0, 0) = 1 in the middle; float64.

    y: B x C x H x W, at least 16 pixels each way; reach up to 7. From all 16 x 16 patches that vary little more than
    the flattest tenth. Taking the plane out of a patch takes part of the noise along: the products of neighbours left
    are linear in r, and that system is solved. Without any variation r is that of white noise.
    """
    kept = alike_patches(y, SIDE).flatten(0, 1)
    lags = half_lags(reach)
    products = torch.stack([_products(kept, dy, dx) for dy, dx in lags])
    r = torch.zeros(2 * reach + 1, 2 * reach + 1, dtype=torch.float64)
    r[reach, reach] = 1
    if float(products[0]) < NOTHING:
        return r
    covariance = torch.linalg.solve(_seen_through_planes(reach), products)
    for (dy, dx), value in zip(lags, (covariance / covariance[0]).tolist(), strict=True):
        r[reach + dy, reach + dx] = r[reach - dy, reach - dx] = value
    return r


def residual_correlation(residual: Tensor, reach: int = REACH) -> Tensor:
    """r(dy, dx) of a residual (... x H x W), mean removed: mean of products over valid pairs over the mean square."""
    centred = residual.double().flatten(0, -3) if residual.ndim > 2 else residual.double()[None]
    centred = centred - centred.mean()
    square = float(centred.square().mean())
    r = torch.zeros(2 * reach + 1, 2 * reach + 1, dtype=torch.float64)
    for dy, dx in half_lags(reach):
        pairs = float(_pairs(centred, dy, dx).mean()) / square if square > 0 else float(dy == dx == 0)
        r[reach + dy, reach + dx] = r[reach - dy, reach - dx] = pairs
    return r


def half_lags(reach: int) -> list[tuple[int, int]]:
    """(dy, dx) of one half of the plane, (0, 0) first: r is even."""
    return [(dy, dx) for dy in range(reach + 1) for dx in range(-reach, reach + 1) if dy > 0 or dx >= 0]


def _pairs(values: Tensor, dy: int, dx: int) -> Tensor:
    """Products of every entry of ... x H x W with the one dy below and dx to the right."""
    height, width = values.shape[-2:]
    first = values[..., : height - dy, max(0, -dx) : width - max(0, dx)]
    second = values[..., dy:, max(0, dx) : width + min(0, dx)]
    return first * second


def _products(patches: Tensor, dy: int, dx: int) -> Tensor:
    """Sum of the products at one lag inside a patch, mean over patches."""
    return _pairs(patches, dy, dx).sum((-2, -1)).mean()


@lru_cache(maxsize=4)
def _seen_through_planes(reach: int) -> Tensor:
    """M with E[products at lag d] = sum_l M[d, l] cov(l): tr(T_d P (T_l + T_l^T) P), P the removal of a plane."""
    n = SIDE
    ramp = torch.linspace(-1, 1, n, dtype=torch.float64)
    basis = torch.stack([torch.ones(n, n, dtype=torch.float64), ramp[:, None].expand(n, n), ramp.expand(n, n)])
    unit = basis.flatten(1) / basis.flatten(1).norm(dim=1, keepdim=True)
    removal = torch.eye(n * n, dtype=torch.float64) - unit.T @ unit
    shifts = [_shift(dy, dx) for dy, dx in half_lags(reach)]
    columns = []
    for lag, shift in enumerate(shifts):
        both = shift if lag == 0 else shift + shift.T
        seen = removal @ both @ removal
        columns.append(torch.stack([(seen * other).sum() for other in shifts]))
    return torch.stack(columns, dim=1)


def _shift(dy: int, dx: int) -> Tensor:
    """T with (T x)[i, j] = x[i + dy, j + dx] inside a patch, 0 where that lies outside."""
    rows, columns = (torch.diag(torch.ones(SIDE - abs(d), dtype=torch.float64), d) for d in (dy, dx))
    return torch.kron(rows, columns)
