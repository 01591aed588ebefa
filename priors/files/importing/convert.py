"""From a released file to a stored prior: weights as safetensors with a header, and a card beside them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from operators.common import outside
from operators.common.atomic import atomic_path, claimed
from operators.common.errors import BadInput
from operators.common.registry import unknown_name

from ... import REGISTRY, residual
from ...networks.official.resshift import LatentSwinUNet
from ...residual.process import Process
from .. import store
from ..checkpoints import save_network
from .card import card_of
from .constants import CONSTANTS, Clues
from .finding import Found, find, rebuilt
from .layouts import AUTOENCODER, ReleasedLayout, layout_named
from .reading import read

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
NONE = "none"  # in place of an autoencoder: a ResShift that was trained on pixels


@dataclass(frozen=True)
class Imported:
    """name: what `--prior` takes. path: the weights. card: the text beside them.

    told: what was assumed. chosen: which weights were taken where the file had several, one sentence each.
    """

    name: str
    path: Path
    card: Path
    told: tuple[str, ...]
    chosen: tuple[str, ...] = ()


def import_checkpoint(
    file: Path,
    *,
    format: str,
    name: str | None = None,
    out: Path | None = None,
    autoencoder: Path | None = None,
    settings: Mapping[str, Any] | None = None,
    groups: int | None = None,
    weights: str | None = None,
    overwrite: bool = False,
) -> Imported:
    """The prior of a released checkpoint, as files in the folder of priors.

    file: as released (.pth, .pt, .ckpt, .safetensors). format: a name of `FORMATS`. name: of the prior; default: the
    file's. out: folder; default: `store.folder()`. autoencoder: the released file of ResShift's autoencoder, or "none"
    for a network of pixels. settings: constants of the process that the file does not say. groups: of the group norms,
    where the file is no network of the released size. weights: "averaged" or "raw"; default: the averaged ones where
    the file has any ("raw" is asked of the autoencoder too).

    BadInput where the file is unsafe, damaged, of another format, or contradicts the settings; nothing is written then.
    """
    layout = layout_named(format)
    folder = store.folder() if out is None else out
    stem = _name(name if name is not None else file.stem, by_user=name is not None)
    with claimed(folder / f"{stem}{store.SUFFIX}"):
        _check_free(stem, folder, overwrite=overwrite)
        return _imported(file, layout, stem, folder, autoencoder, settings, groups, weights)


def _imported(
    file: Path,
    layout: ReleasedLayout,
    stem: str,
    folder: Path,
    autoencoder: Path | None,
    settings: Mapping[str, Any] | None,
    groups: int | None,
    weights: str | None,
) -> Imported:
    parts = _network(file, layout, autoencoder, groups, weights)
    network, shape, release = parts.network, parts.shape, parts.release
    process, preconditioning, assumptions = _described(file, layout, release, shape, dict(settings or {}))
    assumptions = [*parts.assumed, *assumptions]
    notes = {
        "format": layout.name,
        "file": file.name,
        "file_sha256": outside.sha256(file),
        "found_in": release.where,
        "weights": release.kind,
        "chosen": list(parts.chosen),
        "assumed": assumptions,
        "source": layout.source,
        "licence": layout.licence,
        "parameters": sum(p.numel() for p in network.parameters()),
    }
    if autoencoder is not None and str(autoencoder) != NONE:
        notes.update(autoencoder=autoencoder.name, autoencoder_sha256=outside.sha256(autoencoder))
    path = folder / f"{stem}{store.SUFFIX}"
    save_network(
        path,
        network,
        architecture="resshift-latent" if isinstance(network, LatentSwinUNet) else layout.architecture,
        settings=shape,
        preconditioning=preconditioning,
        notes=notes,
        dtype=torch.float32,
    )
    card = path.with_suffix(".md")
    with atomic_path(card) as temporary:
        temporary.write_text(card_of(stem, layout, notes=notes, shape=shape, process=process), encoding="utf-8")
    return Imported(stem, path, card, tuple(assumptions), parts.chosen)


def _described(
    file: Path, layout: ReleasedLayout, release: Found, shape: Mapping[str, Any], asked: dict[str, Any]
) -> tuple[Process | None, dict[str, Any], list[str]]:
    """The process (None for one that learned from noisy pictures), what the header says, and what was assumed."""
    if layout.method:
        if asked:
            raise BadInput(f"{', '.join(asked)} given for {layout.name}, which has no process", do="Leave --set out.")
        units = {"channels": shape["channels"], "shift": layout.shift, "scale": layout.scale}
        return None, {"kind": "self-supervised", "method": layout.method, "settings": {}, **units}, []
    process, constants, assumptions = _process(file, layout, release, shape, asked)
    _check_heads(file, layout, shape, process)
    about = {"name": layout.process, "settings": constants}
    return process, {"kind": "released", "process": about, "marks": _marks(file, layout, shape)}, assumptions


def _name(name: str, *, by_user: bool) -> str:
    if not by_user:
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "imported"
    if not NAME.fullmatch(name):
        raise BadInput(f"name {name!r}", wanted="letters, digits, dots, dashes and underscores")
    if name in REGISTRY and name not in store.stored():
        raise BadInput(f"{name!r} is a prior that ships", do="Choose another with --name.")
    return name


def _check_free(name: str, folder: Path, *, overwrite: bool) -> None:
    if (folder / f"{name}{store.SUFFIX}").exists() and not overwrite:
        raise BadInput(f"{folder / name}{store.SUFFIX} exists", do="Add --overwrite, or choose another --name.")


@dataclass(frozen=True)
class NetworkParts:
    """The network, the settings it is rebuilt from, what the file held, what was assumed, which weights were taken."""

    network: nn.Module
    shape: dict[str, Any]
    release: Found
    assumed: tuple[str, ...]
    chosen: tuple[str, ...]


def _network(
    file: Path, layout: ReleasedLayout, autoencoder: Path | None, groups: int | None, weights: str | None
) -> NetworkParts:
    if layout.name != "resshift" and autoencoder is not None:
        raise BadInput(f"--autoencoder was given and {layout.name} has none", do="Leave it out.")
    tree = read(file)
    release = find(tree, layout, file, weights=weights)
    network, shape, assumed = rebuilt(layout, release, file, tree, groups=groups)
    chosen = [release.chosen] if release.chosen else []
    if layout.name != "resshift" or str(autoencoder) == NONE:
        return NetworkParts(network, shape, release, tuple(assumed), tuple(chosen))
    if autoencoder is None:
        raise BadInput(
            f"{file} is a ResShift, which works in the latent space of an autoencoder",
            wanted="that one's file too",
            do="Add --autoencoder FILE (released beside it: autoencoder_vq_f4.pth), or none for a network of pixels.",
        )
    inner = read(autoencoder)
    beside = find(inner, AUTOENCODER, autoencoder, weights="raw" if weights == "raw" else None)
    codec, codec_shape, more = rebuilt(AUTOENCODER, beside, autoencoder, inner)
    if codec_shape["embedding"] != shape["channels"]:
        raise BadInput(
            f"the network works on latents of {shape['channels']} channels, the autoencoder's have "
            f"{codec_shape['embedding']}",
            do="Give the autoencoder that was released with this network.",
        )
    if beside.chosen:
        chosen.append(f"autoencoder: {beside.chosen}")
    joined = {"network": shape, "autoencoder": codec_shape}
    with torch.device("meta"):
        pair = LatentSwinUNet(**joined)
    pair.network, pair.autoencoder = network, codec
    return NetworkParts(pair, joined, release, (*assumed, *more), tuple(chosen))


def _process(
    file: Path, layout: ReleasedLayout, release: Found, shape: Mapping[str, Any], asked: dict[str, Any]
) -> tuple[Process, dict[str, Any], list[str]]:
    """The process, the constants that were settled (the rest are its defaults), and which of them were assumed."""
    defaults = residual.REGISTRY.parameters(layout.process)
    for key in asked:
        if key not in defaults:
            raise unknown_name(f"setting of {layout.process}", key, defaults)
    evidence = Clues(file, release, shape, asked)
    CONSTANTS[layout.name](evidence)
    settings = {**evidence.settings, **{k: v for k, v in asked.items() if k not in evidence.settings}}
    return residual.from_table(layout.process, settings), settings, evidence.assumed


def _check_heads(file: Path, layout: ReleasedLayout, shape: Mapping[str, Any], process: Process) -> None:
    heads = {"single": 1, "two": 2, "shared": 2}[shape["encoder"]] if layout.name == "rddm" else 1
    if heads != process.heads:
        raise BadInput(
            f"{file} holds a network of {heads} head{'s' if heads > 1 else ''}",
            wanted=f"{process.heads} for the objective {process.objective!r}",  # type: ignore[attr-defined]
            do="Leave --set objective out, or name the one it was trained with.",
        )


def _marks(file: Path, layout: ReleasedLayout, shape: Mapping[str, Any]) -> int:
    """Channels that tell the network where pixels are missing: what is left beside state and measurement."""
    legal: tuple[int, ...] = (0,)
    if layout.name == "resshift":
        left, legal = shape.get("network", shape)["lq_channels"] - 3, (0, 1)
    elif layout.process == "ir-sde":
        left = shape["channels_in"] - shape["channels"]
    else:
        left, legal = shape["channels_in"] - 2 * shape["channels"], (0, 2) if layout.name == "resfusion" else (0, 1, 3)
    if left not in legal:
        inputs = "sees no measurement: it generates pictures" if left < 0 else f"sees {left} channels beside it"
        raise BadInput(f"the network in {file} {inputs}", wanted="a network that restores a measurement")
    return left
