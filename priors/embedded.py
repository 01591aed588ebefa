"""Trained priors that ship with the package, and trained priors from a file."""

from __future__ import annotations

import hashlib
from importlib import resources
from pathlib import Path

from operators.errors import BadInput

from . import REGISTRY
from .adapters import adapt
from .base import DiffusionPrior
from .checkpoints import load_network
from .edm import EDMPrior


def load(name: str | Path) -> DiffusionPrior:
    """A prior by registry name, or from a safetensors file written by `restore train`.

    "NAME:ADAPTER" fits it to another kind of picture (`priors.adapters`). The prior carries `name` and `sha256` (of
    its weights). BadInput with a suggestion for an unknown name, Unavailable for a file that is absent.
    """
    base, colon, adapter = str(name).partition(":")
    if colon and base in REGISTRY:
        return adapt(load(base), adapter)
    if str(name) in REGISTRY:
        return REGISTRY.load(str(name))()  # type: ignore[no-any-return]
    path = Path(name)
    if path.suffix == ".safetensors":
        return from_file(path, name=path.stem)
    REGISTRY[str(name)]  # raises with a suggestion
    raise BadInput(f"unknown prior {name!r}")


def natural() -> DiffusionPrior:
    """The embedded prior of photographs: native units [-1, 1], sigma 0.002 to 100 in them, any size, RGB or gray."""
    with resources.as_file(resources.files(__package__) / "weights" / "natural.safetensors") as path:
        return from_file(path, name="natural")


def from_file(path: Path, *, name: str) -> DiffusionPrior:
    """The EDM-preconditioned prior whose network is stored in `path`."""
    checkpoint = load_network(path)
    kind = checkpoint.preconditioning.get("kind")
    if kind != "edm":
        raise BadInput(f"{path} holds preconditioning {kind!r}", wanted="'edm'")
    prior = EDMPrior(checkpoint.network, sigma_data=checkpoint.preconditioning["sigma_data"])
    prior.name = name
    prior.sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return prior.eval()
