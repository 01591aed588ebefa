"""The released formats: where their files hold the network, and which network and process it is."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from operators.common.errors import BadInput
from operators.common.registry import unknown_name

from ..checkpoints import ARCHITECTURES
from .reading import tensors_of

SHOWN = 4  # names listed of each kind of mismatch

WRAPPERS = ("ema", "params_ema", "state_dict", "model", "params", "")
"""Entries of a checkpoint that may hold the weights, the averaged ones first; "" is the checkpoint itself."""

PREFIX = re.compile(r"((module|_orig_mod|ema_model|model|denoising_module)\.)*")
"""What wrappers put before a network's own keys. Anything else (unet0.) is part of another network."""


@dataclass(frozen=True)
class ReleasedLayout:
    """One released format.

    architecture: name in priors.files.checkpoints. module: where `recognise` is. anchors: keys, one of which every
    such file has; what stands before it there is the prefix. process: name in priors.residual. licence: of the
    released weights.
    """

    name: str
    architecture: str
    module: str
    anchors: tuple[str, ...]
    process: str
    source: str
    licence: str = "see the repository it came from"

    def settings(self, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
        """Settings of the network these shapes belong to; BadInput names the first key that is not there."""
        try:
            return importlib.import_module(self.module).recognise(shapes)  # type: ignore[no-any-return]
        except KeyError as error:
            raise BadInput(f"not of format {self.name!r}: there is no {error.args[0]}") from None


def _official(
    name: str, module: str, anchors: tuple[str, ...], process: str, source: str, **more: str
) -> ReleasedLayout:
    architecture = more.pop("architecture", name)
    return ReleasedLayout(name, architecture, f"priors.networks.official.{module}", anchors, process, source, **more)


FORMATS: Mapping[str, ReleasedLayout] = {
    layout.name: layout
    for layout in (
        _official(
            "resshift",
            "resshift",
            ("input_blocks.0.0.weight",),
            "resshift",
            "Yue, Wang, Loy 2023, arXiv 2307.12348",
            licence="NTU S-Lab 1.0 (non-commercial) for the released weights",
        ),
        _official(
            "rddm",
            "rddm",
            ("unet0.init_conv.weight", "ups_no_skip.0.3.1.weight"),
            "rddm",
            "Liu et al. 2024, arXiv 2308.13712",
        ),
        _official(
            "resfusion",
            "resfusion",
            ("init_conv.weight",),
            "resfusion",
            "Shi et al. 2024, arXiv 2311.14900",
            licence="CC BY-NC-SA 4.0 for the released weights",
        ),
        _official("ir-sde", "irsde", ("init_conv.weight",), "ir-sde", "Luo et al. 2023, arXiv 2301.11699"),
        _official("refusion", "refusion", ("intro.weight",), "ir-sde", "Luo et al. 2023, arXiv 2304.08291"),
        _official(
            "mrs",
            "daclip",
            ("init_conv.weight",),
            "ir-sde",
            "Luo et al. 2024, arXiv 2310.01018; Li et al. 2025, arXiv 2502.07856",
            architecture="daclip",
        ),
    )
}

AUTOENCODER = _official("vqgan", "vqgan", ("encoder.conv_in.weight",), "", "Rombach et al. 2022, arXiv 2112.10752")


def layout_named(name: str) -> ReleasedLayout:
    """The layout of a format; BadInput with a suggestion for an unknown name."""
    if name not in FORMATS:
        raise unknown_name("format", name, FORMATS)
    return FORMATS[name]


@dataclass(frozen=True)
class Found:
    """The network's part of a checkpoint.

    weights: without prefix. where: the wrapper and prefix they stood under. beside: the other tensors of that wrapper
    (schedule buffers among them), the prefix of the wrapped module cut off. notes: the checkpoint's hyper-parameters.
    """

    weights: Mapping[str, Tensor]
    where: str
    beside: Mapping[str, Tensor] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)


def find(tree: Any, layout: ReleasedLayout, path: Path) -> Found:
    """The weights of `layout` in a checkpoint; BadInput where none of its anchors is in it."""
    place = _locate(tree, layout)
    if place is None:
        keys = [key for _, tensors in _candidates(tree) for key in tensors]
        holds = f"keys such as {', '.join(keys[:3])}" if keys else "no tensors"
        raise BadInput(
            f"{path} holds no network of format {layout.name!r}",
            wanted=f"the key {' or '.join(layout.anchors)}",
            do=f"It holds {holds}.{suggestion(tree, layout)}",
        )
    wrapper, prefix, tensors = place
    beside = {}
    if prefix:
        outer = prefix[: prefix[:-1].rfind(".") + 1]
        beside = {k[len(outer) :]: v for k, v in tensors.items() if k.startswith(outer) and not k.startswith(prefix)}
    notes = tree.get("hyper_parameters", {})
    return Found(
        weights={key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)},
        where=" ".join(filter(None, (wrapper, prefix.rstrip(".")))) or "the file itself",
        beside=beside,
        notes=notes if isinstance(notes, Mapping) else getattr(notes, "__dict__", {}),
    )


def _locate(tree: Any, layout: ReleasedLayout) -> tuple[str, str, dict[str, Tensor]] | None:
    """(wrapper, prefix, tensors under the wrapper) of the first place that has an anchor; averaged weights first."""
    for wrapper, tensors in _candidates(tree):
        for anchor in layout.anchors:
            prefixes = [key.removesuffix(anchor) for key in tensors if key.endswith(anchor)]
            matches = sorted((p for p in prefixes if PREFIX.fullmatch(p)), key=lambda p: ("ema" not in p, len(p)))
            if matches:
                return wrapper, matches[0], tensors
    return None


def _candidates(tree: Any) -> Iterator[tuple[str, dict[str, Tensor]]]:
    if not isinstance(tree, Mapping):
        return
    for wrapper in WRAPPERS:
        tensors = tensors_of(tree.get(wrapper) if wrapper else tree)
        if tensors:
            yield wrapper, tensors


def rebuilt(layout: ReleasedLayout, release: Found, path: Path, tree: Any) -> tuple[nn.Module, dict[str, Any]]:
    """The network with its weights, and its settings; BadInput names keys that are missing, left over or misshapen."""
    shapes = shapes_of(release.weights)
    try:
        settings = layout.settings(shapes)
    except BadInput as error:
        raise BadInput(f"{path}: {error.found}", do=suggestion(tree, layout).strip()) from None
    with torch.device("meta"):
        network: nn.Module = ARCHITECTURES.build(layout.architecture, **settings)
    wrong = differences(shapes_of(network.state_dict()), shapes)
    if wrong:
        raise BadInput(
            f"{path} does not fit format {layout.name!r}: {wrong}",
            wanted=f"the keys of a network with {_listed(settings)}",
            do=suggestion(tree, layout).strip(),
        )
    for key, value in release.weights.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise BadInput(f"{path}: {key} holds values that are not finite", do="Fetch the file again.")
    exact = {k: v.detach().float() if v.is_floating_point() else v for k, v in release.weights.items()}
    network.load_state_dict(exact, strict=True, assign=True)
    return network.eval().requires_grad_(False), settings


def differences(expected: Mapping[str, tuple[int, ...]], shapes: Mapping[str, tuple[int, ...]]) -> str:
    """Missing keys, unexpected keys and shapes that differ, named; empty where there are none."""
    kinds = {
        "missing": [key for key in expected if key not in shapes],
        "unexpected": [key for key in shapes if key not in expected],
        "of another shape": [
            f"{key} {shapes[key]} for {shape}" for key, shape in expected.items() if shapes.get(key, shape) != shape
        ],
    }
    sentences = []
    for kind, names in kinds.items():
        if names:
            more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            sentences.append(f"{kind}: {', '.join(names[:SHOWN])}{more}")
    return "; ".join(sentences)


def suggestion(tree: Any, tried: ReleasedLayout) -> str:
    """The format that takes the file, as a sentence with a leading space; empty where none does."""
    for layout in (*FORMATS.values(), AUTOENCODER):
        place = None if layout.name == tried.name else _locate(tree, layout)
        if place is None:
            continue
        _, prefix, tensors = place
        shapes = {key[len(prefix) :]: tuple(v.shape) for key, v in tensors.items() if key.startswith(prefix)}
        try:
            with torch.device("meta"):
                network = ARCHITECTURES.build(layout.architecture, **layout.settings(shapes))
        except Exception:  # noqa: BLE001 - the shapes of another format may build anything or nothing
            continue
        if not differences(shapes_of(network.state_dict()), shapes):
            return f" It fits {'--autoencoder' if layout is AUTOENCODER else f'--format {layout.name}'}."
    return ""


def shapes_of(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Shape of each tensor, by its key."""
    return {key: tuple(value.shape) for key, value in tensors.items()}


def _listed(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in settings.items())
