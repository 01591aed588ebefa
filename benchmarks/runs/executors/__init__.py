"""Where items are done: in this process, in processes of this machine, or on a cluster. One interface for all.

An executor takes items one by one, as it has room for them, and gives back (item, outcome) in the order they end.
It writes nothing: whoever iterates commits the rows, so a lost process loses the items it was working on, no more.
"""

from __future__ import annotations

from typing import Any

from .base import Executor, Perform, warm

__all__ = ["Cluster", "Executor", "Local", "Perform", "Serial", "make", "warm"]


def make(scheduler: str = "", *, workers: int = 0, threads: int = 0, devices: tuple[str, ...] = ()) -> Executor:
    """The executor that options name.

    scheduler: "" for processes of this machine, "serial" for this process, "tcp://..." or "slurm" for dask.
    workers: processes, 0 for one per device. threads: of each process, 0 for the cores shared evenly.
    """
    if scheduler == "serial":
        from .serial import Serial

        return Serial(threads=threads)
    if scheduler:
        from .cluster import connect

        return connect(scheduler, workers=workers, threads=threads)
    from .local import Local

    return Local(workers=workers, threads=threads, devices=devices)


def __getattr__(name: str) -> Any:
    homes = {"Serial": "serial", "Local": "local", "Cluster": "cluster"}
    if name not in homes:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{homes[name]}"), name)
