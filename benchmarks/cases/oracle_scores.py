"""How far draws are from an exact posterior: mean, covariance, coverage, sliced Wasserstein distance."""

from __future__ import annotations

import torch
from torch import Tensor

from operators.common.errors import BadInput
from priors.analytic.posterior import Posterior
from restore.metrics.posterior import coverage

DIRECTIONS = 256
_Found = tuple[float | None, str | None]
_ONE_DRAW = "it needs --samples 2 or more"


def scores(draws: Tensor, posterior: Posterior, exact: Tensor) -> dict[str, _Found]:
    """Every score by name, with a reason where there is none.

    draws: S x C x H x W of a method for one measurement. exact: as many draws or more of the posterior itself.
    """
    mean, std = posterior.mean[0].to(draws), posterior.std[0].to(draws)
    unit = float(std.square().mean().sqrt())
    values: dict[str, _Found] = {
        "mean-error[posterior-std]": (float((draws.mean(0) - mean).square().mean().sqrt()) / unit, None)
    }
    if len(draws) < 2:
        names = ("covariance-error[relative]", "sliced-wasserstein[posterior-std]", "coverage[50]", "coverage[90]")
        return {**values, **dict.fromkeys(names, (None, _ONE_DRAW))}
    values["covariance-error[relative]"] = (covariance_error(draws, posterior.covariance[0].to(draws)), None)
    values["sliced-wasserstein[posterior-std]"] = (sliced_wasserstein(draws, exact.to(draws)) / unit, None)
    for level in (50, 90):
        # The truth is one draw of the posterior; many exact draws measure the same coverage with less noise.
        every = coverage(draws[:, None].expand(-1, len(exact), *draws.shape[1:]), exact.to(draws), level / 100)
        values[f"coverage[{level}]"] = (float(every.mean()), None)
    return values


def covariance_error(draws: Tensor, covariance: Tensor) -> float:
    """|Cov(draws) - C|_F / |C|_F; sampling alone leaves about sqrt(tr(C)^2 / |C|_F^2 / S) of it."""
    return float((torch.cov(draws.flatten(1).T) - covariance).norm() / covariance.norm())


def sliced_wasserstein(one: Tensor, other: Tensor, *, directions: int = DIRECTIONS) -> float:
    """Root mean square, over fixed random directions, of the 2-Wasserstein distance of the projections.

    one: S x ..., other: T x ... draws, S and T at least 1 and not necessarily equal. N. Bonneel et al. 2015,
    doi:10.1007/s10851-014-0506-3. Projections are onto unit vectors, so that a shift by c in every pixel counts c.
    scipy.stats has the 1-Wasserstein distance only.
    """
    if one.shape[1:] != other.shape[1:]:
        raise BadInput(f"draws of shape {tuple(one.shape)} and {tuple(other.shape)}", wanted="one picture shape")
    a, b = one.flatten(1).double(), other.flatten(1).double()
    generator = torch.Generator().manual_seed(0)
    axes = torch.randn(directions, a.shape[1], generator=generator, dtype=torch.float64)
    axes = axes / axes.norm(dim=1, keepdim=True)
    # Quantile functions at the midpoints of a common grid; for S = T it is the sorted matching.
    grid = (torch.arange(max(len(a), len(b)), dtype=torch.float64) + 0.5) / max(len(a), len(b))
    p, q = (_quantiles((x @ axes.T).sort(0).values, grid) for x in (a, b))
    return float((p - q).square().mean().sqrt())


def _quantiles(ordered: Tensor, grid: Tensor) -> Tensor:
    """The empirical quantile function (a step function) of each column at the points of `grid`."""
    return ordered[(grid * len(ordered)).floor().long().clamp(max=len(ordered) - 1)]
