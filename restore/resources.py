"""Plain files that travel with the package: data-set registry and cards, from a wheel or from a checkout."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parent


def folder(name: str) -> Path:
    """The folder "data" or "cards": inside an installed wheel, or at its place in a checkout."""
    inside = {"data": _PACKAGE / "_data", "cards": _PACKAGE / "_cards"}[name]
    if inside.is_dir():
        return inside
    return _PACKAGE.parent / {"data": "data", "cards": "docs/cards"}[name]
