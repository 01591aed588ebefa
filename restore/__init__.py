"""restore: a measurement goes in, a picture with honest uncertainty comes out.

    image = restore.read("photo.png")
    problem = restore.tasks.load("sr4x").problem(image, seed=0)
    result = restore.solve(problem, prior="natural", solver="diffpir", samples=8, seed=0)

`restore.operators`, `restore.priors` and `restore.benchmarks` are the sister packages of those names.
"""

from __future__ import annotations

import importlib
from typing import Any

from .namesakes import refuse_namesakes

refuse_namesakes()  # before the first import of a sister package

__version__ = "0.1.0"

_PACKAGES = {
    "operators": "operators",
    "priors": "priors",
    "benchmarks": "benchmarks",
    "tasks": "restore.tasks",
    "solvers": "restore.solvers",
    "io": "restore.io",
    "metrics": "restore.metrics",
    "report": "restore.report",
}
_ATTRIBUTES = {
    "read": "restore.io:read",
    "write": "restore.io:write",
    "solve": "restore.driver:solve",
    "Problem": "restore.problem:Problem",
    "Reconstruction": "restore.reconstruction:Reconstruction",
    "Solver": "restore.solvers.base:Solver",
    "State": "restore.solvers.base:State",
}

__all__ = ["__version__", *_PACKAGES, *_ATTRIBUTES]


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        return importlib.import_module(_PACKAGES[name])
    if name in _ATTRIBUTES:
        module, _, attribute = _ATTRIBUTES[name].partition(":")
        return getattr(importlib.import_module(module), attribute)
    raise AttributeError(f"module 'restore' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_PACKAGES, *_ATTRIBUTES})
