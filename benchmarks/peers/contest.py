"""What a contest is, and where its contests are found: one module for each family."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

FAMILIES = ("blur", "resampling", "sensing", "ct", "mri", "spectral", "nonlinear")
GROWTH = "growth"  # a family of ours alone: the contestants of a contest are amounts of views, coils, bands, pixels
OURS = "restore"


@dataclass(frozen=True)
class Calls:
    """What is timed: closures over data that is ready. `adjoint` None where a peer has none."""

    forward: Callable[[], Any]
    adjoint: Callable[[], Any] | None = None


@dataclass(frozen=True)
class Contest:
    """One map at one size. contestants: name -> function that builds its operator and data; OURS among them.

    A contestant that is not installed raises ImportError or MissingExtra when it is built.
    """

    name: str
    size: str
    contestants: Mapping[str, Callable[[], Calls]]


def contests(family: str, side: int) -> Iterable[Contest]:
    """The contests of a family, whose module is imported when it is reached."""
    entries: Iterable[Contest] = importlib.import_module(f"benchmarks.peers.families.{family}").contests(side)
    return entries
