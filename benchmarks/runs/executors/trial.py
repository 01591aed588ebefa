"""Items whose beginning and end are noted, and items that cost nothing: what an executor itself takes."""

from __future__ import annotations

import dataclasses
import os
import time

from ...records.item import OK, Item, Outcome


def clocked(item: Item, *, threads: int = 0) -> Outcome:
    """`perform`, with the process and the seconds (since 1970) of its beginning and end in `machine`."""
    from ..work import perform

    began = time.time()
    outcome = perform(item, threads=threads)
    return dataclasses.replace(
        outcome, machine={**outcome.machine, "process": os.getpid(), "began": began, "ended": time.time()}
    )


def nothing(item: Item, *, threads: int = 0) -> Outcome:  # noqa: ARG001 - as `perform` is called
    """An outcome at once."""
    now = time.time()
    return Outcome(item.key, OK, machine={"process": os.getpid(), "began": now, "ended": now})
