"""One unit of work, as plain data that travels to any process, and the row that comes back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

OK, FAILED = "ok", "failed"
BASELINE, SOLVER, PEER, REFERENCE, SUBMITTED = "baseline", "solver", "peer", "reference", "submitted"


@dataclass(frozen=True)
class Item:
    """One method on one picture with one seed.

    kind: which case opens it ("pictures", "oracle"). where: what the case needs to pose the problem: path, crop, ...
    identity: everything the numbers depend on; the key is its hash. metrics: short name -> convention.
    method: label in tables; role: what kind of method; solver, parameters, prior: the method itself.
    keep: send the estimate back. timeout: seconds; the method is asked to stop then, and stopped if it does not.
    """

    kind: str
    task: str
    data_set: str
    image: str
    image_sha256: str
    method: str
    role: str
    solver: str
    parameters: Mapping[str, Any]
    prior: str
    samples: int
    seed: int
    where: Mapping[str, Any]
    identity: Mapping[str, Any]
    metrics: Mapping[str, str]
    settings: Mapping[str, Any] = field(default_factory=dict)
    timeout: float = 600.0
    keep: bool = False

    @property
    def key(self) -> str:
        """Names the row: equal keys mean equal numbers."""
        return digest({**self.identity, "kind": self.kind})

    @property
    def problem(self) -> str:
        """Names the measurement: equal for all methods that see the same y."""
        names = ("task", "image", "seed", "physics")
        return digest({"kind": self.kind, **{name: self.identity.get(name) for name in names}})


@dataclass(frozen=True)
class ScoreRow:
    """One score. value: None where there is none, with the reason; infinite values carry the flag "infinite"."""

    metric: str
    value: float | None
    flag: str = ""
    reason: str = ""
    version: str = ""


@dataclass(frozen=True)
class Outcome:
    """What became of an item. arrays: estimate (and samples, truth, y) where they were to be kept."""

    key: str
    status: str
    reason: str = ""
    scores: tuple[ScoreRow, ...] = ()
    nfe: int = 0
    backward: int = 0
    seconds: float = 0.0
    network_seconds: float = 0.0
    noise_seconds: float = 0.0
    total_seconds: float = 0.0
    memory_mb: float = 0.0
    machine: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False)


def failed(item: Item, reason: str, **more: Any) -> Outcome:
    """The outcome of an item that has no answer; the reason on one line."""
    return Outcome(item.key, FAILED, " ".join(reason.split()) or "no reason given", **more)


def digest(value: Any) -> str:
    """sha256 of plain data in one canonical JSON form."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
