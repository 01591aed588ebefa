"""Processes of this machine, one per device, threads pinned.

They are started by spawn, for a fork after torch has computed deadlocks. Each is asked for one item at a time over its
own pipe, so that one that hangs or dies is known, stopped and replaced, and only its item fails.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any

from ...records.item import Item, Outcome, failed
from .base import Perform, warm

START_SECONDS = 120.0  # to import torch, on a busy machine
GRACE_SECONDS = 20.0  # beyond the timeout, to judge the answer or to notice that time is up
_PINNED = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclasses.dataclass
class _Worker:
    """A process with its pipe. item: what it works on; deadline: when it is given up."""

    process: Any
    pipe: Connection
    device: str
    item: Item | None = None
    deadline: float = float("inf")
    ready: bool = False


class Local:
    """workers: processes, 0 for one per device. threads: of each, 0 for the cores shared evenly."""

    def __init__(self, *, workers: int = 0, threads: int = 0, devices: tuple[str, ...] = ()) -> None:
        self.devices = devices or ("cpu",)
        self.workers = workers or len(self.devices)
        self.threads = threads or max(1, _cores() // self.workers)
        self._pool: list[_Worker] = []

    def run(self, items: Iterable[Item], perform: Perform) -> Iterator[tuple[Item, Outcome]]:
        waiting = iter(items)
        exhausted = False
        try:
            while True:
                while not exhausted and (worker := self._idle()) is not None:
                    item = next(waiting, None)
                    if item is None:
                        exhausted = True
                        break
                    if worker.process is None:
                        self._start(worker, perform)
                    self._give(worker, item)
                busy = [worker for worker in self._pool if worker.item is not None]
                if not busy:
                    return
                yield from self._collect(busy)
        finally:
            self.close()

    def close(self) -> None:
        for worker in self._pool:
            _stop(worker)
        self._pool = []

    def _idle(self) -> _Worker | None:
        """A process without work; a place for a new one while there are fewer than wanted."""
        for worker in self._pool:
            if worker.item is None:
                return worker
        if len(self._pool) >= self.workers:
            return None
        device = self.devices[len(self._pool) % len(self.devices)]
        self._pool.append(_Worker(None, None, device))  # type: ignore[arg-type]
        return self._pool[-1]

    def _start(self, worker: _Worker, perform: Perform) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        # OpenMP reads these once, when its library is loaded: they must be there before the process starts.
        before = {name: os.environ.get(name) for name in _PINNED}
        os.environ.update(dict.fromkeys(_PINNED, str(self.threads)))
        try:
            process = context.Process(target=_serve, args=(theirs, perform, self.threads), daemon=True)
            process.start()
        finally:
            for name, value in before.items():
                os.environ.pop(name, None) if value is None else os.environ.__setitem__(name, value)
        theirs.close()
        worker.process, worker.pipe, worker.ready = process, ours, False

    def _give(self, worker: _Worker, item: Item) -> None:
        worker.item = item
        placed = item
        if str(item.settings.get("device", "cpu")) != worker.device and worker.device != "cpu":
            placed = dataclasses.replace(item, settings={**item.settings, "device": worker.device})
        worker.deadline = time.monotonic() + _allowed(item) + (0.0 if worker.ready else START_SECONDS)
        with suppress(OSError):  # a process that is gone is noticed when its pipe ends
            worker.pipe.send((item.key, placed))

    def _collect(self, busy: list[_Worker]) -> Iterator[tuple[Item, Outcome]]:
        """Outcomes that are there, and failures of processes that hang or are gone."""
        first = min(worker.deadline for worker in busy)
        ready = wait([worker.pipe for worker in busy], timeout=max(0.0, min(first - time.monotonic(), 1.0)))
        for worker in busy:
            item = worker.item
            if item is None:
                continue
            if worker.pipe in ready:
                try:
                    message = worker.pipe.recv()
                except (EOFError, OSError):
                    worker.process.join(5)
                    code = worker.process.exitcode
                    _stop(worker)
                    worker.item = None
                    yield item, failed(item, f"the process that ran it ended (exit code {code})")
                    continue
                if message == "ready":
                    worker.ready, worker.deadline = True, time.monotonic() + _allowed(item)
                    continue
                worker.item = None
                yield item, dataclasses.replace(message, key=item.key)
            elif time.monotonic() > worker.deadline:
                _stop(worker)
                worker.item = None
                yield item, failed(item, f"no answer after {item.timeout:g} s (timeout); its process was stopped")


def _allowed(item: Item) -> float:
    return item.timeout + GRACE_SECONDS


def _stop(worker: _Worker) -> None:
    if worker.process is None:
        return
    with suppress(OSError):
        worker.pipe.close()
    worker.process.terminate()
    worker.process.join(2)
    if worker.process.is_alive():
        worker.process.kill()
        worker.process.join(5)
    worker.process = None


def _serve(pipe: Connection, perform: Perform, threads: int) -> None:
    """What a process does: items in, outcomes out, until the pipe ends."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that commits
    import torch

    from restore.runs.allocator import keep_freed_memory

    keep_freed_memory()
    warm()
    torch.set_num_threads(threads)
    with suppress(EOFError, OSError, KeyboardInterrupt):
        pipe.send("ready")
        while True:
            _, item = pipe.recv()
            pipe.send(perform(item, threads=threads))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
