"""Signal dependence: variance against mean, and the straight line var = gain x + read variance through it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, max_pool2d

from .white import NORMAL_MEDIAN

BINS = 16
LEAST_IN_BIN = 100  # pixels
BOX = 5  # pixels a side, of the local mean
CUT = 3.0  # deviations beyond which a pixel is an edge
KEPT_VARIANCE = 0.9733369246625415  # of a normal distribution cut at three deviations
DEPENDENT = 3.78  # pixels per independent one in the high-pass, sum of its squared autocorrelation
RANGE = 0.2  # of brightness that a line needs
TAILS = 0.06  # share beyond CUT at which texture is suspected (0.0027 for noise alone)
ROUNDS = 5


@dataclass(frozen=True)
class Scatter:
    """Variance against mean.

    means, variances, counts: of each occupied bin of brightness. var = gain x + read: read may be negative (a
    pedestal). gain_error, read_error: standard errors. reliable: whether the line says something; reason: why not.
    tails: share of pixels that edges or texture took out.
    """

    means: tuple[float, ...]
    variances: tuple[float, ...]
    counts: tuple[int, ...]
    gain: float
    read: float
    gain_error: float
    read_error: float
    tails: float
    reliable: bool
    reason: str = ""

    def sigma(self, x: float) -> float:
        """Standard deviation at brightness x by the line, 0 where it is negative."""
        return math.sqrt(max(0.0, self.gain * x + self.read))

    def scaled(self, scale: float) -> Scatter:
        """The same for the picture times `scale`."""
        return replace(
            self,
            means=tuple(scale * m for m in self.means),
            variances=tuple(scale**2 * v for v in self.variances),
            gain=scale * self.gain,
            read=scale**2 * self.read,
            gain_error=scale * self.gain_error,
            read_error=scale**2 * self.read_error,
        )

    @property
    def dependent(self) -> bool:
        """Whether a gain, or a fall, is there beyond doubt: over three standard errors, and a tenth of the variance."""
        if not self.reliable:
            return False
        change = abs(self.gain) * (self.means[-1] - self.means[0])
        return abs(self.gain) > 3 * self.gain_error and change > 0.1 * max(self.variances)


def scatter(y: Tensor, *, ends: tuple[float, float] | None = (0.0, 1.0), factor: float = 1.0) -> Scatter:
    """Robust variances of the finest detail in bins of equal count of the local mean, and the weighted line.

    y: B x C x H x W, channels and pictures together. The detail is the double second difference [1, -2, 1] x
    [1, -2, 1] / 6 (Immerkaer 1996): planes leave it, white noise keeps its variance. Pixels beyond three robust
    deviations in their bin are edges and left out. ends: where values are cut off; pixels with such a neighbour, and
    bins within two deviations of an end, are left out (None: nothing is cut off). factor: by which variances are
    raised where the noise is correlated (true over white variance).
    """
    pixels = y.double().flatten(0, 1)[:, None]
    if min(pixels.shape[-2:]) < BOX:
        return _nothing("the picture is too small")
    second = torch.tensor([1.0, -2.0, 1.0], dtype=torch.float64, device=y.device)
    kernel = torch.outer(second, second)[None, None] / 6
    inner = (BOX - 3) // 2
    detail = torch.nn.functional.conv2d(pixels, kernel)[..., inner:-inner, inner:-inner].flatten()
    mean = avg_pool2d(pixels, BOX, stride=1).flatten()
    if ends is not None:
        cut = ((pixels <= ends[0]) | (pixels >= ends[1])).double()
        whole = max_pool2d(cut, BOX, stride=1).flatten() == 0
        detail, mean = detail[whole], mean[whole]
    bins = min(BINS, len(mean) // LEAST_IN_BIN)
    if bins < 1:
        return _nothing("hardly a pixel is away from the ends of the range")
    mean, order = mean.sort()
    rows = [
        (float(m.mean()), *_robust_variance(d), len(d))
        for m, d in zip(mean.tensor_split(bins), detail[order].tensor_split(bins), strict=True)
    ]
    if ends is not None:
        rows = [r for r in rows if ends[0] + 2 * math.sqrt(r[1]) < r[0] < ends[1] - 2 * math.sqrt(r[1])] or rows
    means, variances = [r[0] for r in rows], [factor * r[1] for r in rows]
    counts, tails = [r[3] for r in rows], max(sorted(r[2] for r in rows)[len(rows) // 2], 0.0)
    gain, read, errors = _line(means, variances, counts)
    reason = ""
    if len(rows) < 3 or means[-1] - means[0] < RANGE:
        reason = "the picture is of too few brightnesses for a line"
    elif tails > TAILS:
        reason = f"texture and edges are everywhere ({100 * tails:.0f} % of the details are no noise)"
    elif max(variances) == 0:
        reason = "nothing varies"
    elif (spread := _misfit(means, variances, gain, read)) > 0.35:
        reason = f"the variances do not lie on a line (they are {100 * spread:.0f} % off)"
    return Scatter(tuple(means), tuple(variances), tuple(counts), gain, read, *errors, tails, not reason, reason)


def _robust_variance(detail: Tensor) -> tuple[float, float]:
    """Variance of what lies within three robust deviations, and the share that does not."""
    deviation = float(detail.abs().median()) / NORMAL_MEDIAN
    if deviation == 0:
        return 0.0, float((detail != 0).double().mean())
    inside = detail.abs() <= CUT * deviation
    return float(detail[inside].square().mean()) / KEPT_VARIANCE, 1 - float(inside.double().mean())


def _line(means: list[float], variances: list[float], counts: list[int]) -> tuple[float, float, tuple[float, float]]:
    """Weighted least squares: a variance of n pixels has the standard error v sqrt(2 DEPENDENT / n), v by the line."""
    m, v = (torch.tensor(column, dtype=torch.float64) for column in (means, variances))
    n = torch.tensor(counts, dtype=torch.float64)
    if float(v.max()) == 0 or len(v) < 2 or means[-1] == means[0]:
        level = float((n * v).sum() / n.sum())
        return 0.0, level, (math.inf, level * math.sqrt(2 * DEPENDENT / float(n.sum())))
    design = torch.stack([m, torch.ones_like(m)], dim=1)
    fit, robust = v.mean().expand_as(v), torch.ones_like(v)
    for _ in range(ROUNDS):
        error = fit.clamp_min(float(v.max()) * 1e-3) * (2 * DEPENDENT / n).sqrt()
        weights = robust / error**2
        normal = design.T @ (weights[:, None] * design)
        solution = torch.linalg.solve(normal, design.T @ (weights * v))
        fit = design @ solution
        off = ((v - fit) / error).abs()
        robust = (1.5 * max(float(off.median()) / NORMAL_MEDIAN, 1.0) / off.clamp_min(1e-12)).clamp_max(1.0)
    excess = max(1.0, float(((v - fit) / error).square().sum()) / max(len(v) - 2, 1))
    deviations = (torch.linalg.inv(normal).diagonal() * excess).sqrt()
    return float(solution[0]), float(solution[1]), (float(deviations[0]), float(deviations[1]))


def _misfit(means: list[float], variances: list[float], gain: float, read: float) -> float:
    """Median relative distance of the variances from the line."""
    off = sorted(
        abs(v - gain * m - read) / max(v, gain * m + read, 1e-30) for m, v in zip(means, variances, strict=True)
    )
    return off[len(off) // 2]


def _nothing(reason: str) -> Scatter:
    return Scatter((), (), (), 0.0, 0.0, math.inf, math.inf, 0.0, False, reason)
