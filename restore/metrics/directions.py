"""Which way is up: for every score in a table, whether more or less is better, or which value is right."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True)
class Measure:
    """higher: more is better. target: the right value, where neither more nor less is better."""

    higher: bool = False
    target: float | None = None

    def goodness(self, value: float) -> float:
        """A number of which more is always better."""
        if self.target is not None:
            return -abs(value - self.target)
        return value if self.higher else -value

    @property
    def words(self) -> str:
        """For a table's heading."""
        if self.target is not None:
            return f"{self.target:g} is right"
        return "more is better" if self.higher else "less is better"


# Distances of draws to a posterior that is known: scores of benchmarks alone. The others say it themselves.
FIXED = {
    "mean-error[posterior-std]": Measure(),
    "covariance-error[relative]": Measure(),
    "sliced-wasserstein[posterior-std]": Measure(),
}


@lru_cache(maxsize=256)
def measure(name: str) -> Measure:
    """The measure of a canonical score name."""
    if name in FIXED:
        return FIXED[name]
    from . import parse

    metric: Measure = parse(name).measure
    return metric


def family(name: str) -> str:
    """`psnr[y601,crop=4]` -> `psnr`; coverage keeps its level."""
    stem, _, option = name.partition("[")
    return f"{stem}-{option.rstrip(']')}" if stem == "coverage" else stem


def finite(value: float | None) -> bool:
    """Whether a score can enter a mean."""
    return value is not None and math.isfinite(value)
