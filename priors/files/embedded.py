"""Trained priors from the package's own files and from a user's."""

from __future__ import annotations

import hashlib
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from operators.common import outside
from operators.common.errors import BadInput, RestoreError

from ..base import DiffusionPrior, Prior
from ..diffusion.by_level import ByLevel
from ..diffusion.edm import EDMPrior
from .checkpoints import Checkpoint, load_network

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


def weights_folder() -> Traversable:
    """The folder of the package that holds the weights that ship."""
    return resources.files("priors") / "weights"


def shipped_digests() -> dict[str, str]:
    """sha256 of each weights file that ships, by its name, from the list beside them."""
    lines = (weights_folder() / "SHA256SUMS").read_text("utf-8").splitlines()
    return {name.strip(): digest for digest, name in (line.split(maxsplit=1) for line in lines)}


def shipped(name: str) -> Prior:
    """The prior whose weights file NAME.safetensors is part of the package; BadInput where it is not as it shipped."""
    with resources.as_file(weights_folder() / f"{name}.safetensors") as path:
        prior = from_file(path, name=name)
    if prior.sha256 != shipped_digests().get(f"{name}.safetensors"):
        raise BadInput(
            f"{name}.safetensors of the package is not the weights that ship ({prior.sha256[:12]})",
            do="Install the package again.",
        )
    return prior


def from_file(path: Path, *, name: str) -> Prior:
    """The prior whose network is stored in `path`; its header says of which kind."""
    checkpoint = load_network(path)
    try:
        prior = _prior(path, checkpoint)
    except RestoreError:
        raise
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        raise BadInput(
            f"the header of {path} describes no prior ({error})", do="Fetch or train the weights again."
        ) from error
    prior.name = name
    prior.sha256 = outside.sha256(path)
    return prior.eval()


def _prior(path: Path, checkpoint: Checkpoint) -> Prior:
    settings = dict(checkpoint.preconditioning)
    kind = settings.pop("kind", None)
    if kind == "edm":
        return EDMPrior(checkpoint.network, **settings)
    if kind == "latent":
        from ..latent.prior import latent_prior
        from ..networks.coder import LatentNetwork

        if not isinstance(checkpoint.network, LatentNetwork):
            raise BadInput(f"{path} holds no network of latents", do="Train it: restore train latent.")
        return latent_prior(checkpoint.network, **settings)
    if kind == "latent-coder":
        raise BadInput(f"{path} holds a coder alone, which is no prior", do="Go on with restore train latent.")
    if kind == "residual":
        from ..residual.network import from_settings

        return from_settings(checkpoint.network, settings)
    if kind == "masked":
        from ..discrete.network import from_network

        return from_network(checkpoint.network)
    if kind == "coder":
        raise BadInput(f"{path} holds a coder of tokens and no prior", do="Train the prior: restore train tokens.")
    if kind == "released":
        from .importing.prior import from_settings as released

        return released(checkpoint.network, settings)
    if kind == "self-supervised":
        from ..selfsupervised.files import from_settings as learned

        return learned(checkpoint.network, settings)
    raise BadInput(
        f"{path} holds preconditioning {kind!r}",
        wanted="'edm', 'latent', 'residual', 'masked', 'released' or 'self-supervised'",
    )
