"""Trained priors from the package's own files and from a user's."""

from __future__ import annotations

import hashlib
from importlib import resources
from pathlib import Path

from operators.common.errors import BadInput

from ..base import DiffusionPrior, Prior
from ..diffusion.by_level import ByLevel
from ..diffusion.edm import EDMPrior
from .checkpoints import load_network

NATURAL_BORDER = 1.0  # native units: half of the range of a picture


def natural() -> Prior:
    """The embedded prior of photographs: native units [-1, 1], sigma 0.002 to 100 in them, any size, RGB or gray.

    Two networks: that of "natural-low", which is wider, below NATURAL_BORDER, and that of recipe "natural" from it on.
    `sha256` is that of the two files' hashes in this order.
    """
    low, high = shipped("natural-low"), shipped("natural")
    if not isinstance(low, DiffusionPrior) or not isinstance(high, DiffusionPrior):
        raise BadInput("the weights of natural are not those of a diffusion prior")
    prior = ByLevel(low, high, border=NATURAL_BORDER)
    prior.name, prior.sha256 = "natural", hashlib.sha256(f"{low.sha256}{high.sha256}".encode()).hexdigest()
    return prior.eval()


def shipped(name: str) -> Prior:
    """The prior whose weights file NAME.safetensors is part of the package."""
    with resources.as_file(resources.files("priors") / "weights" / f"{name}.safetensors") as path:
        return from_file(path, name=name)


def from_file(path: Path, *, name: str) -> Prior:
    """The prior whose network is stored in `path`; its header says of which kind."""
    checkpoint = load_network(path)
    given = dict(checkpoint.preconditioning)
    kind = given.pop("kind", None)
    prior: Prior
    if kind == "edm":
        prior = EDMPrior(checkpoint.network, **given)
    elif kind == "residual":
        from ..residual.network import from_settings

        prior = from_settings(checkpoint.network, given)
    elif kind == "released":
        from .importing.prior import from_settings as released

        prior = released(checkpoint.network, given)
    else:
        raise BadInput(f"{path} holds preconditioning {kind!r}", wanted="'edm', 'residual' or 'released'")
    prior.name = name
    prior.sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return prior.eval()
