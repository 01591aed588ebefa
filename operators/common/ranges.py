"""The words of an annotation that narrow a setting: a range of numbers, a table of names, the length of a list."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Range:
    """low <= number <= high, `above` < number < `below`; a bound that is None is none.

    text: how the range is shown where its bounds make poor reading.
    """

    low: float | None = None
    high: float | None = None
    above: float | None = field(default=None, kw_only=True)
    below: float | None = field(default=None, kw_only=True)
    text: str = field(default="", kw_only=True)

    def holds(self, number: float) -> bool:
        return (
            (self.low is None or number >= self.low)
            and (self.high is None or number <= self.high)
            and (self.above is None or number > self.above)
            and (self.below is None or number < self.below)
        )

    @property
    def is_bounded(self) -> bool:
        """Whether it has two ends."""
        return (self.low, self.above) != (None, None) and (self.high, self.below) != (None, None)

    def __str__(self) -> str:
        """1 to 1000, above 0, at least 0 and below 1."""
        if self.text:
            return self.text
        if self.low is not None and self.high is not None:
            return f"{self.low:g} to {self.high:g}"
        bounds = (("at least", self.low), ("above", self.above), ("at most", self.high), ("below", self.below))
        return " and ".join(f"{word} {bound:g}" for word, bound in bounds if bound is not None)


class OneOf:
    """One of these names. names: a table, a list, or a function that gives one when it is first asked.

    text: what the names are, where they are too many to be shown.
    """

    def __init__(self, names: Iterable[str] | Callable[[], Iterable[str]], *, text: str = "") -> None:
        self._names, self.text = names, text

    @functools.cached_property
    def names(self) -> tuple[Any, ...]:
        return tuple(self._names() if callable(self._names) else self._names)

    def __str__(self) -> str:
        """one of: quad, uniform."""
        return self.text or ("one of: " if len(self.names) > 1 else "") + ", ".join(map(str, self.names))


@dataclass(frozen=True)
class Length:
    """low to high entries of a list."""

    low: int = 0
    high: int | None = None

    def __str__(self) -> str:
        """2 to 4, at most 8, at least 1; empty for any."""
        if self.high is None:
            return f"at least {self.low}" if self.low else ""
        return f"{self.low} to {self.high}" if self.low else f"at most {self.high}"
