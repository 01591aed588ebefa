"""restore: a measurement goes in, a picture with honest uncertainty comes out.

    image = restore.read("photo.png")
    problem = restore.tasks.load("sr4x").problem(image, seed=0)
    result = restore.solve(problem, prior="natural", solver="diffpir", samples=8, seed=0)

`restore.operators`, `restore.priors` and `restore.benchmarks` are the sister packages of those names.
"""

from __future__ import annotations

import importlib
from typing import Any

import lazy_loader

from .namesakes import refuse_namesakes

refuse_namesakes()  # before the first import of a sister package

__version__ = "0.1.0"

SISTERS = ("operators", "priors", "benchmarks")

_own, _, _LAZY = lazy_loader.attach(
    __name__,
    {"tasks", "solvers", "io", "metrics", "report"},
    {
        "io": ["read", "write"],
        "driver": ["solve"],
        "measuring": ["measure"],
        "problem": ["Problem"],
        "reconstruction": ["Reconstruction"],
        "solvers.base": ["Solver", "State"],
    },
)

__all__ = ["__version__", *SISTERS, *_LAZY]


def __getattr__(name: str) -> Any:
    return importlib.import_module(name) if name in SISTERS else _own(name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
