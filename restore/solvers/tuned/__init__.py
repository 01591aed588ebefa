"""Settings tuned for tasks: NAME.toml is the file of a solver and holds a table for each task it was tuned for.

Beside settings a table may name the `prior` that the solver takes there. A new solver brings its own file and touches
no task; `python -m benchmarks.studies.tune` looks for such settings.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from typing import Any

SUFFIX = ".toml"


def tuned(solver: str, task: str) -> Mapping[str, Any]:
    """What a solver's file says for a task: settings, and `prior` where one is named; empty where nothing was tuned."""
    return _file(solver).get(task, {})


def names() -> list[str]:
    """The solvers that were tuned for some task, in alphabetical order."""
    entries = (entry.name for entry in resources.files(__package__).iterdir())
    return sorted(name.removesuffix(SUFFIX) for name in entries if name.endswith(SUFFIX))


@lru_cache(maxsize=64)
def _file(solver: str) -> Mapping[str, Mapping[str, Any]]:
    path = resources.files(__package__) / f"{solver}{SUFFIX}"
    return tomllib.loads(path.read_text("utf-8")) if path.is_file() else {}
