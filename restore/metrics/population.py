"""FID and KID as metrics of a suite: they compare all estimates of a method with all truths, never two pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from torch import Tensor

from . import distribution
from .base import Metric, Range
from .convention import Option
from .evidence import Evidence, Need, NotApplicable

NETWORK = Option("network", words=("inception",))


@dataclass(frozen=True)
class Population(Metric):
    """A distance between two sets of pictures on the features of a network.

    least: pictures below which it means nothing (or cannot be computed).
    """

    NEEDS: ClassVar[tuple[Need, ...]] = ("references",)
    OPTIONS: ClassVar[tuple[Option, ...]] = (NETWORK,)

    network: Annotated[Literal["inception"] | None, "network of the features"] = None

    @property
    def least(self) -> int:
        raise TypeError(f"{type(self).__name__} does not say how many pictures it needs")

    def distance(self, estimates: Tensor, truths: Tensor) -> float:
        """The distance between features N x D and M x D."""
        raise TypeError(f"{type(self).__name__} does not implement distance")

    def of(self, evidence: Evidence) -> Tensor:
        raise self._not_of_one()

    def picture(self, estimate: Tensor, truth: Tensor, data_range: Range) -> float:
        raise self._not_of_one()

    def _not_of_one(self) -> NotApplicable:
        return NotApplicable(
            f"{self.FAMILY} compares sets of pictures, not two of them", do="Name it among the metrics of a suite."
        )


class KID(Population):
    """Unbiased squared maximum mean discrepancy, cubic kernel (Binkowski et al. 2018), over all pictures at once."""

    FAMILY = "kid"

    @property
    def least(self) -> int:
        return distribution.KID_LEAST

    def distance(self, estimates: Tensor, truths: Tensor) -> float:
        return distribution.kid(estimates, truths)


class FID(Population):
    """Frechet distance between Gaussians of the features' moments (Heusel et al. 2017)."""

    FAMILY = "fid"

    @property
    def least(self) -> int:
        return distribution.FEATURES + 1

    def distance(self, estimates: Tensor, truths: Tensor) -> float:
        return distribution.fid(estimates, truths)
