"""Weights on disk: safetensors whose header says how to rebuild the network. Nothing is ever unpickled."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from operators.common import outside
from operators.common.atomic import atomic_path
from operators.common.errors import BadInput, RestoreError, Unavailable
from operators.common.registry import Entry, Registry

ARCHITECTURES = Registry(
    "architecture",
    {
        "unet": Entry("priors.networks.unet:UNet", "noise-conditional residual U-Net on the pixel-unshuffled picture"),
        "latent-coder": Entry("priors.networks.coder:Coder", "autoencoder on a grid four times coarser"),
        "latent": Entry("priors.networks.coder:LatentNetwork", "autoencoder, and a U-Net on its latents"),
        "noise2noise": Entry("priors.networks.noise2noise:Noise2NoiseUNet", "U-Net of Noise2Noise and Noise2Score"),
        "blind-spot": Entry("priors.networks.blindspot:BlindSpotNetwork", "AP-BSN, SDAP and C-BSN: dilated blind spot"),
        "token-coder": Entry("priors.networks.tokens:TokenCoder", "pictures as tokens and back"),
        "tokens": Entry("priors.networks.tokens:TokenNetwork", "a coder and the predictor of hidden tokens"),
        "rddm": Entry("priors.networks.official.rddm:rddm", "released RDDM: one or two U-Nets, or a shared encoder"),
        "resfusion": Entry("priors.networks.official.resfusion:ResfusionUNet", "released Resfusion: U-Net"),
        "ir-sde": Entry("priors.networks.official.irsde:IRSDEUNet", "released IR-SDE: conditional U-Net"),
        "refusion": Entry("priors.networks.official.refusion:RefusionNAFNet", "released Refusion: conditional NAFNet"),
        "daclip": Entry("priors.networks.official.daclip:DACLIPUNet", "released DA-CLIP: U-Net with two contexts"),
        "resshift": Entry("priors.networks.official.resshift:SwinUNet", "released ResShift: Swin U-Net"),
        "resshift-latent": Entry("priors.networks.official.resshift:LatentSwinUNet", "ResShift and its autoencoder"),
        "vqgan": Entry("priors.networks.official.vqgan:VQGAN", "quantising autoencoder of latent diffusion"),
    },
)

MOST_ENTRIES = 1000  # of a list of settings
LEAST_BOUND = 4096  # a setting up to this is never taken for a lie


@dataclass(frozen=True)
class Checkpoint:
    """A network rebuilt from a file, with its preconditioning and the notes of its training."""

    network: nn.Module
    preconditioning: Mapping[str, Any]
    notes: Mapping[str, Any]


def save_network(
    path: Path,
    network: nn.Module,
    *,
    architecture: str,
    settings: Mapping[str, Any],
    preconditioning: Mapping[str, Any],
    notes: Mapping[str, Any],
    dtype: torch.dtype = torch.float16,
) -> None:
    """Write float16 weights (half the size; the rounding is far under a denoiser's own error) whole, by rename."""
    header = {
        "format": "restore-network-1",
        "architecture": architecture,
        "settings": json.dumps(settings),
        "preconditioning": json.dumps(preconditioning),
        "notes": json.dumps(notes),
    }
    tensors = {k: as_floats(v.detach(), dtype).contiguous().cpu() for k, v in network.state_dict().items()}
    header["digest"] = digest(tensors)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        temporary.write_bytes(save(tensors, header))


def load_network(path: Path) -> Checkpoint:
    """Rebuild the network in `path`; Unavailable where it is absent, BadInput where it is damaged or does not fit."""
    if not os.path.lexists(path):
        raise Unavailable(f"no weights at {path}", do="Train them (restore train NAME) or name a file that exists.")
    try:
        with safe_open(outside.checked(path), framework="pt") as file:
            header = file.metadata() or {}
            stored: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise BadInput(
            f"{path} is not a whole safetensors file ({error})", do="Fetch or train the weights again."
        ) from error
    if header.get("format") != "restore-network-1":
        raise BadInput(
            f"{path} has no restore-network-1 header", do="Official checkpoints come in through `restore import`."
        )
    if header.get("digest", "") not in ("", digest(stored)):
        raise BadInput(
            f"the weights in {path} are not those that were written (their digest differs)",
            do="Fetch or train the weights again.",
        )
    tensors = {name: as_floats(value, torch.float32) for name, value in stored.items()}
    settings, preconditioning, notes = (_plain(path, header, key) for key in ("settings", "preconditioning", "notes"))
    _check_sizes(path, settings, sum(value.numel() for value in tensors.values()))
    # Modules draw first values that are replaced below: neither the caller's random state nor its modes may matter.
    with torch.random.fork_rng(devices=[]), torch.device("cpu"), torch.inference_mode(mode=False):
        try:
            network = ARCHITECTURES.build(header.get("architecture", ""), **settings).float()
        except RestoreError:
            raise
        except (TypeError, ValueError, RuntimeError, LookupError, AttributeError, ArithmeticError) as error:
            raise BadInput(
                f"{path} describes a network that cannot be built ({error})", do="Fetch or train the weights again."
            ) from error
        network.to(memory_format=torch.channels_last)
    expected = network.state_dict()
    wrong = sorted(set(expected) ^ set(tensors)) + sorted(
        k for k in set(expected) & set(tensors) if expected[k].shape != tensors[k].shape
    )
    if wrong:
        raise BadInput(f"{path} does not fit its architecture: {', '.join(wrong[:5])}")
    network.load_state_dict(tensors)
    network.eval().requires_grad_(False)
    return Checkpoint(network, preconditioning, notes)


def digest(tensors: Mapping[str, Tensor]) -> str:
    """sha256 of names, types, shapes and bytes: what a flipped bit changes."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name].detach().cpu().contiguous()
        total.update(f"{name}\0{value.dtype}\0{tuple(value.shape)}\0".encode())
        total.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()


def _plain(path: Path, header: Mapping[str, str], key: str) -> dict[str, Any]:
    """A part of the header; BadInput unless it is a JSON object."""
    if key not in header:
        raise BadInput(f"the header of {path} has no {key!r}", do="Fetch or train it again.")
    value = outside.json_value(header[key], where=f"{key!r} in the header of {path}", do="Fetch or train it again.")
    if not isinstance(value, dict):
        raise BadInput(f"{key!r} in the header of {path} is {value!r:.60}", wanted="a JSON object")
    return value


def _check_sizes(path: Path, value: Any, weights: int) -> None:
    """BadInput for a number or a list in the settings that no network with so few weights can have."""
    if isinstance(value, dict | list):
        if len(value) > MOST_ENTRIES:
            raise BadInput(f"the settings in {path} hold a list of {len(value)}", wanted=f"at most {MOST_ENTRIES}")
        for entry in value.values() if isinstance(value, dict) else value:
            _check_sizes(path, entry, weights)
    elif isinstance(value, int | float) and not -1 <= value <= max(weights, LEAST_BOUND):
        raise BadInput(
            f"the settings in {path} hold {value:g} and the file {weights} weights",
            wanted="the settings of the network that the file holds",
        )


def as_floats(x: Tensor, dtype: torch.dtype) -> Tensor:
    """x in another precision; indices stay whole numbers."""
    return x.to(dtype) if x.is_floating_point() else x
