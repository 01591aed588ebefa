"""The nested bar on the error stream: pictures, samples, steps. Silent where nobody watches."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass
class Bar:
    """Levels of the bar; without a display every call does nothing."""

    display: Any = None
    pictures: Any = None
    samples: Any = None
    steps: Any = None

    def picture(self, name: str, samples: int, done: int) -> None:
        """A picture begins; `done` of its samples are already there."""
        if self.display is not None:
            self.display.update(self.pictures, description=name)
            self.display.reset(self.samples, total=samples, completed=done, visible=samples > 1)
            self.display.reset(self.steps, total=None)

    def finished(self) -> None:
        """A picture is written."""
        if self.display is not None:
            self.display.advance(self.pictures)

    def watch_fit(self, step: int, total: int) -> None:
        """For `restore.solve(watch_fit=...)`: the prior learns from the measurement before the first sample."""
        if self.display is not None:
            self.display.update(self.steps, description="  fit", completed=step, total=total)

    def watch(self, sample: int, state: Any, total: int) -> None:
        """For `restore.solve(watch=...)`."""
        if self.display is not None:
            self.display.update(self.samples, completed=sample)
            self.display.update(self.steps, description="  steps", completed=state.step + 1, total=total)


@contextlib.contextmanager
def bar(pictures: int, *, quiet: bool) -> Iterator[Bar]:
    """A bar for so many pictures, where the error stream is a terminal and nobody asked for quiet."""
    if quiet or not sys.stderr.isatty():
        yield Bar()
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as display:
        levels = {
            "pictures": display.add_task("pictures", total=pictures, visible=pictures > 1),
            "samples": display.add_task("  samples", total=1, visible=False),
            "steps": display.add_task("  steps", total=None),
        }
        yield Bar(display, **levels)


Watch = Callable[[int, Any, int], None]
