"""On a dask cluster: one that runs (tcp://...), one that a batch system starts (slurm), or a client made elsewhere.

Items travel to the workers and outcomes back; the client commits. A worker that is lost loses the items it was working
on, and dask gives them to another; an item that kills several workers in a row becomes a failed row.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

from operators.common.errors import BadInput, import_extra

from ...records.item import Item, Outcome, failed
from .base import Perform, warm

GRACE_SECONDS = 20.0
AHEAD = 2  # items per worker that are on their way: enough that none waits for the network
# Dask has its workers give freed memory back at once; every tensor is then mapped and cleared anew, and a solver takes
# half as long again (measured). Thread counts are those dask itself sets.
MEMORY = {
    "MALLOC_TRIM_THRESHOLD_": str(1 << 29),
    "MALLOC_MMAP_THRESHOLD_": str(1 << 25),
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
COUNT_SECONDS = 1.0  # between two looks at how many workers there are
_EXTRA = 'pip install "restore[cluster]"'


class Cluster:
    """client: a distributed.Client; owned: close it (and its cluster) at the end. threads: of torch on each worker."""

    def __init__(self, client: Any, *, threads: int = 0, owned: tuple[Any, ...] = ()) -> None:
        self.client, self.threads, self.owned = client, threads, owned

    def run(self, items: Iterable[Item], perform: Perform) -> Iterator[tuple[Item, Outcome]]:
        distributed = import_extra("distributed", do=_EXTRA)
        waiting = iter(items)
        running: dict[Any, Item] = {}
        # Results come with their futures, and workers are counted now and then: each would be a round trip per item.
        done = distributed.as_completed(with_results=True, raise_errors=False)
        room, counted = 0, -COUNT_SECONDS
        try:
            while True:
                if time.monotonic() - counted > COUNT_SECONDS:
                    room = AHEAD * max(1, len(self.client.scheduler_info(n_workers=-1)["workers"]))
                    counted = time.monotonic()
                while len(running) < room:
                    item = next(waiting, None)
                    if item is None:
                        break
                    future = self.client.submit(
                        guarded, perform, item, self.threads, key=f"item-{item.key}", pure=False
                    )
                    running[future] = item
                    done.add(future)
                if not running:
                    return
                future, answer = next(done)
                item = running.pop(future)
                yield item, self._outcome(future, answer, item)
        finally:
            self.client.cancel(list(running))

    def close(self) -> None:
        for thing in (self.client, *self.owned) if self.owned else ():
            thing.close()

    def _outcome(self, future: Any, answer: Any, item: Item) -> Outcome:
        if future.status != "finished":
            error = future.exception()
            return failed(
                item, f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'worker lost'}"
            )
        outcome, stuck, address = answer
        future.release()
        if stuck:
            # The thread of a method that hangs cannot be ended; its process can.
            with suppress(Exception):
                self.client.restart_workers([address])
        result: Outcome = outcome
        return result


def connect(scheduler: str, *, workers: int = 0, threads: int = 0) -> Cluster:
    """The cluster behind an address or a batch system's name; MissingExtra where dask is absent."""
    distributed = import_extra("distributed", do=_EXTRA)
    if "://" in scheduler:
        try:
            client = distributed.Client(scheduler, timeout=20)
        except (OSError, TimeoutError, ValueError) as error:
            raise BadInput(f"no dask scheduler at {scheduler} ({error})", do="Check its address.") from error
        return Cluster(client, threads=threads, owned=())
    if scheduler == "local":
        dask = import_extra("dask", do=_EXTRA)
        with dask.config.set({"distributed.nanny.pre-spawn-environ": MEMORY}):
            started = distributed.LocalCluster(
                n_workers=workers or 1, threads_per_worker=1, processes=True, dashboard_address=":0"
            )
    elif scheduler == "slurm":
        jobqueue = import_extra("dask_jobqueue", do=_EXTRA)
        # Queue, memory and wall time come from dask's own jobqueue.yaml, as every site writes it once.
        started = jobqueue.SLURMCluster()
        started.scale(jobs=workers or 1)
    else:
        raise BadInput(f"unknown scheduler {scheduler!r}", wanted="serial, local, slurm or tcp://HOST:PORT")
    client = distributed.Client(started)
    return Cluster(client, threads=threads, owned=(started,))


def guarded(perform: Perform, item: Item, threads: int) -> tuple[Outcome, bool, str]:
    """On a worker: the outcome, whether a method hangs there still, and the worker's address."""
    distributed = import_extra("distributed", do=_EXTRA)
    try:
        address = str(distributed.get_worker().address)
    except ValueError:
        address = ""
    warm(item)
    outcomes: list[Outcome] = []
    thread = threading.Thread(target=lambda: outcomes.append(perform(item, threads=threads)), daemon=True)
    thread.start()
    thread.join(item.timeout + GRACE_SECONDS)
    if outcomes:
        return outcomes[0], False, address
    return failed(item, f"no answer after {item.timeout:g} s (timeout)"), True, address


__all__ = ["Cluster", "connect", "guarded"]
