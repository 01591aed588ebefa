"""Tweedie's rule for exponential families: E[x | y] from the score of the noisy picture, and blind levels.

K. Kim, J. C. Ye 2021, "Noise2Score", arXiv 2106.07009; K. Kim, T. Kwon, J. C. Ye 2022, arXiv 2112.03696 (Tweedie laws);
B. Efron 2011, doi:10.1198/jasa.2011.tm11181.

For p(y | eta) = b(y) exp(eta y - A(eta)), with s(y) = d log p(y) / dy the score of the noisy picture:

    E[eta | y] = s(y) - d log b(y) / dy                                                    (Tweedie)

and x = mean(eta), the mean of y under eta. A family is its base score d log b / dy and that mean; nothing else. The
answer is E[x | y] where the mean is linear in eta (Gaussian), and the mean of the expected eta elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from operators.common.settings import Checked, Range

FLOOR = 1e-6  # of eta's scale: a mean stays finite where the score leaves the law's legal range
LEVELS_POISSON = (0.099, 0.005, 100)
LEVELS_GAMMA = (41.0, 120.0, 80)
LEVELS_GAUSSIAN = (6 / 255, 55 / 255, 50)


@dataclass(frozen=True)
class ExponentialFamily(Checked):
    """Base of the noise laws that Tweedie's rule inverts, one value of the noise level each.

    level: the law's only unknown number; a float, or one for each picture shaped to broadcast with y.
    """

    level: Annotated[float | Tensor, Range(above=0), "the law's noise level"]

    grid: ClassVar[tuple[float, float, int]] = LEVELS_GAUSSIAN

    @classmethod
    def levels(cls) -> Tensor:
        """The candidates of a blind search in the order in which they are tried (float64)."""
        first, last, count = cls.grid
        return torch.linspace(first, last, count, dtype=torch.float64)

    def base_score(self, y: Tensor) -> Tensor:
        """d log b / dy at y."""
        raise TypeError(f"{type(self).__name__} does not implement base_score")

    def mean(self, eta: Tensor) -> Tensor:
        """The clean value whose law has the natural parameter eta."""
        raise TypeError(f"{type(self).__name__} does not implement mean")

    def denoise(self, y: Tensor, score: Tensor) -> Tensor:
        """The estimate of x from y and the score of the law of y at y, both shaped alike."""
        return self.mean(score - self.base_score(y))

    @staticmethod
    def criterion(x: Tensor, y: Tensor) -> Tensor:
        """What a blind search makes small, for each picture (B): the total variation of the estimate."""
        return total_variation(x)


@dataclass(frozen=True)
class GaussianFamily(ExponentialFamily):
    """y = x + sigma n, level = sigma. x = y + sigma^2 s(y)."""

    def base_score(self, y: Tensor) -> Tensor:
        return -y / self.level**2

    def mean(self, eta: Tensor) -> Tensor:
        return self.level**2 * eta

    def denoise(self, y: Tensor, score: Tensor) -> Tensor:
        return y + self.level**2 * score  # the same, without the cancellation of y / sigma^2


@dataclass(frozen=True)
class PoissonFamily(ExponentialFamily):
    """y = zeta Poisson(x / zeta), level = zeta. x = (y + zeta / 2) exp(zeta s(y)), s the score of y (not of counts).

    d log(1 / z!) / dz = -log(z + 1/2) up to terms of second order: the midpoint rule, not the exact Robbins estimate.
    """

    grid: ClassVar[tuple[float, float, int]] = LEVELS_POISSON

    def base_score(self, y: Tensor) -> Tensor:
        return -torch.log((y / self.level + 0.5).clamp(min=FLOOR)) / self.level

    def mean(self, eta: Tensor) -> Tensor:
        return self.level * torch.exp(self.level * eta)

    @staticmethod
    def criterion(x: Tensor, y: Tensor) -> Tensor:
        """0.1 TV(max(x, 0)) + mean of x - y log x over x > 0."""
        return 0.1 * total_variation(x.clamp(min=0)) + _mean_where_positive(x, x - y * torch.log(_positive(x)))


@dataclass(frozen=True)
class GammaFamily(ExponentialFamily):
    """y = x Gamma(k, 1 / k), level = k > 1. x = k y / (k - 1 - y s(y)); the denominator is kept positive."""

    grid: ClassVar[tuple[float, float, int]] = LEVELS_GAMMA

    def base_score(self, y: Tensor) -> Tensor:
        return (self.level - 1) / _positive(y)

    def mean(self, eta: Tensor) -> Tensor:
        return -self.level / eta.clamp(max=-FLOOR)

    @staticmethod
    def criterion(x: Tensor, y: Tensor) -> Tensor:
        """TV(x) + means over x > 0 of log x, y / x and (y / x)^2."""
        ratio = y / _positive(x)
        return total_variation(x) + _mean_where_positive(x, torch.log(_positive(x)) + ratio + ratio**2)


@dataclass(frozen=True)
class TweedieFamily(ExponentialFamily):
    """Variance level * x^power: 0 Gaussian, 1 Poisson, between 1 and 2 compound Poisson, 2 gamma, 3 inverse Gaussian.

    Its base b(y) is the saddle-point form, with rho the power and phi the level:

        d log b / dy = -y^(1-rho) / (phi (1-rho)) - rho / (2 y),     eta = x^(1-rho) / (phi (1-rho))
    """

    power: Annotated[float, Range(0), "rho of the variance phi x^rho"] = 1.5

    def base_score(self, y: Tensor) -> Tensor:
        if self.power == 0:
            return -y / self.level
        y = _positive(y)
        slope = torch.log(y) if self.power == 1 else y ** (1 - self.power) / (1 - self.power)
        return -slope / self.level - self.power / (2 * y)

    def mean(self, eta: Tensor) -> Tensor:
        scaled = self.level * eta
        if self.power == 1:
            return torch.exp(scaled)
        raised = (1 - self.power) * scaled
        return raised if self.power == 0 else raised.clamp(min=FLOOR) ** (1 / (1 - self.power))


@dataclass(frozen=True)
class BinomialFamily(ExponentialFamily):
    """y successes of `level` trials, as a share: x = sigmoid(eta / level), base by the midpoint rule as for Poisson."""

    def base_score(self, y: Tensor) -> Tensor:
        hits, misses = self.level * y + 0.5, self.level * (1 - y) + 0.5
        return self.level * (torch.log(_positive(misses)) - torch.log(_positive(hits)))

    def mean(self, eta: Tensor) -> Tensor:
        return torch.sigmoid(eta / self.level)


FAMILIES: Mapping[str, type[ExponentialFamily]] = {
    "gaussian": GaussianFamily,
    "poisson": PoissonFamily,
    "gamma": GammaFamily,
}
"""Those whose level a blind search finds, by the name of the noise law (`operators.noise`)."""


def total_variation(x: Tensor) -> Tensor:
    """mean |d_row x| + mean |d_column x| of each picture (B), |t| = sqrt(t^2 + 1e-12)."""
    rows, columns = (torch.sqrt(x.diff(dim=axis) ** 2 + 1e-12).flatten(1) for axis in (-2, -1))
    return _mean_or_0(rows) + _mean_or_0(columns)


def _mean_or_0(values: Tensor) -> Tensor:
    return values.mean(1) if values.shape[1] else values.sum(1)


def _positive(x: Tensor) -> Tensor:
    return x.clamp(min=FLOOR)


def _mean_where_positive(x: Tensor, values: Tensor) -> Tensor:
    """Mean of values where x > 0, for each picture (B); infinite where there is no such pixel."""
    inside = (x > 0).flatten(1)
    total = torch.where(inside, values.flatten(1), torch.zeros_like(values.flatten(1))).sum(1)
    count = inside.sum(1)
    return torch.where(count > 0, total / count.clamp(min=1), torch.full_like(total, torch.inf))
