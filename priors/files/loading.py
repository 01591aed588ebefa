"""A prior by what a user calls it: a name of the table, with or without an adapter, or a file."""

from __future__ import annotations

from pathlib import Path

from operators.common.errors import BadInput

from .. import REGISTRY
from ..base import DiffusionPrior, Prior
from ..diffusion.adapters import adapt
from .embedded import from_file


def load(name: str | Path) -> Prior:
    """A prior by registry name, or from a safetensors file written by `restore train`.

    "NAME:ADAPTER" fits it to another kind of picture (`priors.diffusion.adapters`). The prior carries `name` and
    `sha256` (of its weights). BadInput with a suggestion for an unknown name, Unavailable for a file that is absent.
    """
    base, colon, adapter = str(name).partition(":")
    if colon and base in REGISTRY:
        inner = load(base)
        if not isinstance(inner, DiffusionPrior):
            raise BadInput(f"prior {base!r} takes no adapter", wanted="a diffusion prior before the colon")
        return adapt(inner, adapter)
    if str(name) in REGISTRY:
        return REGISTRY.load(str(name))()  # type: ignore[no-any-return]
    path = Path(name)
    if path.suffix == ".safetensors":
        return from_file(path, name=path.stem)
    REGISTRY[str(name)]  # raises with a suggestion
    raise BadInput(f"unknown prior {name!r}")
