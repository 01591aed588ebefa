"""Samples that an interrupted run finished, kept beside the output folder until the same command takes them up."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from operators import RestoreError

from ..reconstruction import read_result, write_result
from .sampling import Finished

SHARE = 20  # seconds of sampling for each second of writing: what a kill costs at most, and what keeping costs


def settings_key(described: Mapping[str, Any]) -> str:
    """sha256 of everything that a sample depends on."""
    return hashlib.sha256(json.dumps(described, sort_keys=True, allow_nan=False).encode()).hexdigest()


def partial_path(out: Path) -> Path:
    """OUT.partial.h5, beside the folder that the finished run will be."""
    return out.with_name(out.name + ".partial.h5")


def keep(out: Path, finished: Finished, *, key: str) -> Path:
    """Path of the file with the finished samples, their trace and the key of their settings."""
    path = partial_path(out)
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [dict(row) for row in finished.trace]
    return write_result(path, {"samples": finished.samples}, {}, {"key": key, "trace": rows})


class SampleKeeper:
    """`keep` for a run in progress: called after every batch, it writes where that costs little of the run's time.

    A place that cannot be written costs the run nothing: whether the result can be is told when it is there.
    """

    def __init__(self, out: Path, *, key: str) -> None:
        self.out, self.key = out, key
        self._written, self._cost = time.monotonic(), 0.0

    def __call__(self, finished: Finished) -> None:
        began = time.monotonic()
        if began - self._written < SHARE * self._cost:
            return
        with suppress(RestoreError, OSError):
            keep(self.out, finished, key=self.key)
        self._written = time.monotonic()
        self._cost = self._written - began


def take(out: Path, *, key: str) -> Finished | None:
    """What an earlier run with the same settings had done, or None."""
    path = partial_path(out)
    if not path.is_file():
        return None
    stored = read_result(path)
    if stored.attributes.get("key") != key:
        return None
    return Finished(stored.arrays["samples"], tuple(stored.attributes.get("trace", ())))


def drop(out: Path) -> None:
    """The run is complete: its part is no longer needed."""
    partial_path(out).unlink(missing_ok=True)
