"""Phase-encode lines: which columns of k-space a Cartesian scan measures.

The five families of fastMRI (Zbontar et al. 2018, arXiv:1811.08839), drawn as its reference draws them: a mask here
equals the published one for the same seed. All contain a band of round(center_fraction W) lines in the middle.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..common.errors import BadInput


@dataclass(frozen=True)
class Lines:
    """width: columns; acceleration: R; low: fully sampled columns in the middle; seed: words of the generator."""

    width: int
    acceleration: float
    low: int
    seed: tuple[int, ...]

    @property
    def whole(self) -> int:
        """R, which must be a whole number where lines repeat with it."""
        if self.acceleration != round(self.acceleration):
            raise BadInput(
                f"acceleration is {self.acceleration}",
                wanted="a whole number for equally spaced lines",
                do="Take kind 'random' or 'equispaced_fraction'.",
            )
        return round(self.acceleration)

    def generator(self) -> np.random.RandomState:
        # The legacy generator with a sequence as seed: what the published masks were drawn with.
        return np.random.RandomState(self.seed)


def centre(width: int, low: int) -> np.ndarray:
    """True in the `low` columns around the middle, W."""
    band = np.zeros(width, dtype=bool)
    start = (width - low + 1) // 2
    band[start : start + low] = True
    return band


def random_lines(lines: Lines) -> np.ndarray:
    """Every outer column for itself, at the rate that makes W / R columns in the mean."""
    outer = lines.width - lines.low
    rate = (lines.width / lines.acceleration - lines.low) / outer if outer else 0.0
    return lines.generator().uniform(size=lines.width) < rate


def equispaced(lines: Lines) -> np.ndarray:
    """Every R-th column from a random offset; with the middle band there are more than W / R."""
    offset = lines.generator().randint(0, high=lines.whole)
    return np.arange(lines.width) % lines.whole == offset


def equispaced_fraction(lines: Lines) -> np.ndarray:
    """Columns at a wider, fractional spacing, so that with the middle band there are W / R."""
    keep = np.zeros(lines.width, dtype=bool)
    surplus = lines.low * lines.acceleration - lines.width
    if surplus >= 0:
        return keep  # the middle band is all that W / R allows
    spacing = lines.acceleration * (lines.low - lines.width) / surplus
    offset = lines.generator().randint(0, high=round(spacing))
    keep[np.around(np.arange(offset, lines.width - 1, spacing)).astype(int)] = True
    return keep


def magic(lines: Lines) -> np.ndarray:
    """Columns on one side of the middle that mirror the gaps of the other (Defazio 2019, arXiv:1912.01101)."""
    return _mirrored(lines, lines.whole)


def magic_fraction(lines: Lines) -> np.ndarray:
    """`magic` with the spacing that leaves W / R columns in all, nearly."""
    outer = round(lines.width / lines.acceleration) - magic_low(lines)
    if outer <= 0:
        return np.zeros(lines.width, dtype=bool)
    return _mirrored(lines, round(lines.width / outer))


def magic_low(lines: Lines) -> int:
    """Columns of the middle band of `magic_fraction`: at least one, and at most W / R."""
    return max(min(lines.low, round(lines.width / lines.acceleration)), 1)


def _mirrored(lines: Lines, spacing: int) -> np.ndarray:
    """Every spacing-th frequency of either sign, offset against each other so that conjugate pairs do not meet."""
    offset = lines.generator().randint(0, high=spacing)
    right, left = (offset + 1, offset + 2) if offset % 2 == 0 else (offset + 2, offset - 1)
    positive = np.zeros((lines.width + 1) // 2, dtype=bool)  # frequencies 0, 1, ...
    negative = np.zeros(lines.width // 2, dtype=bool)  # -1, -2, ...
    positive[right::spacing] = True
    negative[left::spacing] = True
    return np.concatenate([negative[::-1], positive])


LINES: dict[str, Callable[[Lines], np.ndarray]] = {
    "random": random_lines,
    "equispaced": equispaced,
    "equispaced_fraction": equispaced_fraction,
    "magic": magic,
    "magic_fraction": magic_fraction,
}
