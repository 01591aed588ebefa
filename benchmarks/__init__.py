"""How good an estimate is, in numbers anyone can re-run: metrics, comparisons, and the runs behind the leaderboards."""

from __future__ import annotations

import importlib
from typing import Any

_SUBPACKAGES = ("metrics", "peers")

__all__ = ["metrics", "peers"]


def __getattr__(name: str) -> Any:
    if name in _SUBPACKAGES:
        return importlib.import_module(f"benchmarks.{name}")
    raise AttributeError(f"module 'benchmarks' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_SUBPACKAGES})
