"""Where items are done: in this process, in processes of this machine, or on a cluster. One interface for all.

An executor takes items one by one, as it has room for them, and gives back (item, outcome) in the order they end.
It writes nothing: whoever iterates commits the rows, so a lost process loses the items it was working on, no more.
"""

from __future__ import annotations

import lazy_loader

from .base import Executor, Perform, warm

__getattr__, _, _ = lazy_loader.attach(
    __name__, submod_attrs={"serial": ["Serial"], "local": ["Local"], "cluster": ["Cluster"]}
)

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
