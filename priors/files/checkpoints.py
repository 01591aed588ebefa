"""Weights on disk: safetensors whose header says how to rebuild the network. Nothing is ever unpickled."""

from __future__ import annotations

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

from operators.common.errors import BadInput, Unavailable
from operators.common.registry import Entry, Registry

ARCHITECTURES = Registry(
    "architecture",
    {
        "unet": Entry("priors.networks.unet:UNet", "noise-conditional residual U-Net on the pixel-unshuffled picture"),
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
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    with temporary.open("wb") as file:
        file.write(save(tensors, header))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def load_network(path: Path) -> Checkpoint:
    """Rebuild the network in `path`; Unavailable where it is absent, BadInput where it is damaged or does not fit."""
    if not path.is_file():
        raise Unavailable(f"no weights at {path}", do="Train them (restore train NAME) or name a file that exists.")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            names = file.keys()  # the handle itself cannot be iterated
            tensors: dict[str, Tensor] = {name: as_floats(file.get_tensor(name), torch.float32) for name in names}
    except SafetensorError as error:
        raise BadInput(
            f"{path} is not a whole safetensors file ({error})", do="Fetch or train the weights again."
        ) from error
    if header.get("format") != "restore-network-1":
        raise BadInput(
            f"{path} has no restore-network-1 header", do="Official checkpoints come in through `restore import`."
        )
    # Modules draw first values that are replaced below: neither the caller's random state nor its modes may matter.
    with torch.random.fork_rng(devices=[]), torch.device("cpu"), torch.inference_mode(mode=False):
        network = ARCHITECTURES.build(header["architecture"], **json.loads(header["settings"])).float()
        network.to(memory_format=torch.channels_last)
    expected = network.state_dict()
    wrong = sorted(set(expected) ^ set(tensors)) + sorted(
        k for k in set(expected) & set(tensors) if expected[k].shape != tensors[k].shape
    )
    if wrong:
        raise BadInput(f"{path} does not fit its architecture: {', '.join(wrong[:5])}")
    network.load_state_dict(tensors)
    network.eval().requires_grad_(False)
    return Checkpoint(network, json.loads(header["preconditioning"]), json.loads(header["notes"]))


def as_floats(x: Tensor, dtype: torch.dtype) -> Tensor:
    """x in another precision; indices stay whole numbers."""
    return x.to(dtype) if x.is_floating_point() else x
