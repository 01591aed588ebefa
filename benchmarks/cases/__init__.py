"""What a benchmark can be made of: pictures measured by a task, or problems whose posterior is known.

Both plan items and open them again in whatever process runs them; the runner knows neither.
"""

from __future__ import annotations

from typing import Any

from operators.common.errors import BadInput, RestoreError
from operators.common.registry import Entry, Registry

__all__ = ["REGISTRY", "open_case", "planner", "reopened"]

REGISTRY = Registry(
    "kind of benchmark",
    {
        "pictures": Entry("benchmarks.cases.pictures:Pictures", "pictures of a data set, measured by a task"),
        "window": Entry("benchmarks.cases.windows:Windows", "a window of a large picture, or a picture of a stack"),
        "oracle": Entry("benchmarks.cases.oracle:Oracle", "problems with a closed-form posterior"),
    },
)


def planner(kind: str) -> Any:
    """The class that plans and opens cases of a kind."""
    return REGISTRY.load(kind)


def open_case(item: Any) -> Any:
    """The case behind an item: its problem, and how it is answered and judged."""
    return planner(item.kind).open(item)


def reopened(item: Any) -> Any:
    """The case behind an item that a store tells of; BadInput where what stands there poses no problem."""
    try:
        return open_case(item)
    except RestoreError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise BadInput(
            f"the store poses no problem for {item.task}/{item.image} ({type(error).__name__}: {error})",
            do="The store was not written by `restore bench`.",
        ) from error
