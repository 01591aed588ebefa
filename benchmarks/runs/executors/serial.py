"""In this process, one after another: for tests and for a debugger. A method that never yields hangs the run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ...records.item import Item, Outcome
from .base import Perform


@dataclass(frozen=True)
class Serial:
    """threads: of torch, 0 to leave them."""

    threads: int = 0

    def run(self, items: Iterable[Item], perform: Perform) -> Iterator[tuple[Item, Outcome]]:
        for item in items:
            yield item, perform(item, threads=self.threads)

    def close(self) -> None:
        """Nothing to stop."""
