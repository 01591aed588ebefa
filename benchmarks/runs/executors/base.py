"""What every executor is, and what its workers import before the first item."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from ...records.item import Item, Outcome

Perform = Callable[..., Outcome]


class Executor(Protocol):
    """Runs `perform(item, threads=...)` for every item."""

    def run(self, items: Iterable[Item], perform: Perform) -> Iterator[tuple[Item, Outcome]]:
        """Outcomes as they come; every item that was taken has one, whatever happens to a worker."""

    def close(self) -> None:
        """Stop the workers."""


def warm(item: Item | None = None) -> None:
    """Import what items need, before the clock of the first one starts; a busy machine takes a minute for torch."""
    from restore import metrics

    from ... import cases
    from .. import work

    cases.planner("pictures" if item is None else item.kind)
    work.perform, metrics.parse  # noqa: B018 - the lazy names are loaded by this
