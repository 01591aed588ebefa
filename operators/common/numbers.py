"""One number of a constructor, or a refusal that names it."""

from __future__ import annotations

import math
from typing import Any

from .errors import BadInput


def finite(name: str, value: Any) -> float:
    """The number, or BadInput unless it is finite."""
    if not _is_number(value) or not math.isfinite(value):
        raise BadInput(f"{name} is {value!r}", wanted="a finite number")
    return float(value)


def positive(name: str, value: Any) -> float:
    """The number, or BadInput unless it is finite and above 0."""
    if not _is_number(value) or not 0 < value < math.inf:
        raise BadInput(f"{name} is {value!r}", wanted="a finite number above 0")
    return float(value)


def count(name: str, value: Any) -> int:
    """The number, or BadInput unless it is whole and at least 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise BadInput(f"{name} is {value!r}", wanted="a whole number of at least 1")
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
