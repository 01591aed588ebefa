"""The released formats: where their files hold the network, and which network and process it is."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from operators.common.errors import BadInput
from operators.common.registry import unknown_name

from ..checkpoints import ARCHITECTURES

SHOWN = 4  # names listed of each kind of mismatch


@dataclass(frozen=True)
class ReleasedLayout:
    """One released format.

    architecture: name in priors.files.checkpoints. module: where `recognise` is. anchors: keys, one of which every
    such file has; what stands before it there is the prefix. process: name in priors.residual, or "" where `method`
    names one of priors.selfsupervised; shift, scale: the units its pictures had in training. licence: of the released
    weights. groups: of the group norms, as published; 0 where there are none. released: settings by which the
    released networks are known where the number of groups is a setting of the trainer; None where the code fixes it.
    """

    name: str
    architecture: str
    module: str
    anchors: tuple[str, ...]
    process: str
    source: str
    licence: str = "see the repository it came from"
    groups: int = 0
    released: Mapping[str, Any] | None = None
    method: str = ""
    shift: float = 0.0
    scale: float = 1.0

    def translated(self, weights: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The weights under the keys of our network, where another framework named them."""
        translate = getattr(importlib.import_module(self.module), "translated", None)
        return weights if translate is None else translate(weights)  # type: ignore[no-any-return]

    def settings(self, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
        """Settings of the network these shapes belong to; BadInput names the first key that is not there."""
        try:
            return importlib.import_module(self.module).recognise(shapes)  # type: ignore[no-any-return]
        except KeyError as error:
            raise BadInput(f"not of format {self.name!r}: there is no {error.args[0]}") from None

    def told_by_values(self, weights: Mapping[str, Tensor]) -> dict[str, Any]:
        """Settings that values tell and shapes do not."""
        told = getattr(importlib.import_module(self.module), "told_by_values", None)
        return {} if told is None else told(weights)  # type: ignore[no-any-return]

    def groupless(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Settings for a network whose keys and shapes count: one group, which divides any number of channels."""
        return {**settings, **({"groups": 1} if self.groups and self is not AUTOENCODER else {})}

    def skeleton(self, settings: Mapping[str, Any]) -> nn.Module:
        """The network without values, whose keys and shapes count; group counts do not show in them."""
        with torch.device("meta"):
            return ARCHITECTURES.build(self.architecture, **self.groupless(settings))  # type: ignore[no-any-return]


def _official(
    name: str, module: str, anchors: tuple[str, ...], process: str, source: str, **more: Any
) -> ReleasedLayout:
    architecture = more.pop("architecture", name)
    return ReleasedLayout(name, architecture, f"priors.networks.official.{module}", anchors, process, source, **more)


RDDM_RELEASES = {"channels": 3, "widths": (64, 64, 128, 256, 512)}

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
            groups=32,
        ),
        _official(
            "rddm",
            "rddm",
            ("unet0.init_conv.weight", "ups_no_skip.0.3.1.weight"),
            "rddm",
            "Liu et al. 2024, arXiv 2308.13712",
            groups=8,
            released=RDDM_RELEASES,
        ),
        _official(
            "resfusion",
            "resfusion",
            ("init_conv.weight",),
            "resfusion",
            "Shi et al. 2024, arXiv 2311.14900",
            licence="CC BY-NC-SA 4.0 for the released weights",
            groups=8,
            released=RDDM_RELEASES,
        ),
        ReleasedLayout(
            "ap-bsn",
            "blind-spot",
            "priors.networks.blindspot",
            ("branch1.body.0.mask",),
            "",
            "Lee, Son, Lee 2022, arXiv 2203.11799",
            licence="MIT for the released weights",
            method="ap-bsn",
            scale=1 / 255,
        ),
        ReleasedLayout(
            "sdap",
            "blind-spot",
            "priors.networks.blindspot",
            ("branch1.body.0.mask",),
            "",
            "Pan et al. 2023, arXiv 2307.16825",
            licence="MIT for the released weights",
            method="sdap",
        ),
        ReleasedLayout(
            "c-bsn",
            "blind-spot",
            "priors.networks.official.cbsn",
            ("DBSN/conv0/kernel",),
            "",
            "Jang et al. 2023, arXiv 2304.09507",
            method="c-bsn",
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
            groups=32,
        ),
    )
}

AUTOENCODER = _official(
    "vqgan", "vqgan", ("encoder.conv_in.weight",), "", "Rombach et al. 2022, arXiv 2112.10752", groups=32
)


def layout_named(name: str) -> ReleasedLayout:
    """The layout of a format; BadInput with a suggestion for an unknown name."""
    if name not in FORMATS:
        raise unknown_name("format", name, FORMATS)
    return FORMATS[name]


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


def shapes_of(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Shape of each tensor, by its key."""
    return {key: tuple(value.shape) for key, value in tensors.items()}
