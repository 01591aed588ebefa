"""Released C-BSN (TensorFlow): its names and axes brought to those of the dilated blind-spot network."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..blindspot import Shapes
from ..blindspot import recognise as recognise_plain

OUTER = {"conv0": "head.0", "conv1": "tail.0", "conv2": "tail.2", "conv3": "tail.4", "conv4": "tail.6"}
INNER = {"conv1": 0, "conv2": 2, "conv3": 4}
PARTS = {"kernel": "weight", "W1": "weight", "bias": "bias", "b1": "bias"}
NAME = re.compile(r"DBSN/(?:B(?P<branch>[12])/)?(?:DCM(?P<module>\d+)/)?(?P<layer>conv\d)/(?P<part>kernel|W1|bias|b1)")
ADAM = re.compile(r"(/Adam(_\d+)?|beta\d_power|global_step).*")


def translated(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights under the keys of `BlindSpotNetwork`, kernels with the output channels first, masks added.

    Names that are no part of the network are handed on, so that who compares keys names them.
    """
    names = {key: match for key in weights if (match := NAME.fullmatch(key))}
    modules = 1 + max((int(m["module"]) for m in names.values() if m["module"]), default=-1)
    found: dict[str, Tensor] = {}
    for key, value in weights.items():
        if key in names:
            kernel = value.permute(3, 2, 0, 1) if value.ndim == 4 else value
            found[_key(names[key], modules)] = kernel.contiguous()
        elif not ADAM.search(key):
            found[key] = value
    for branch in (1, 2):
        weight = found.get(f"branch{branch}.body.0.weight")
        if weight is not None:
            mask = torch.ones_like(weight)
            mask[..., weight.shape[-2] // 2, weight.shape[-1] // 2] = 0
            found[f"branch{branch}.body.0.mask"] = mask
    return found


def _key(match: re.Match[str], modules: int) -> str:
    part = PARTS[match["part"]]
    if match["branch"] is None:
        return f"{OUTER[match['layer']]}.{part}"
    start = f"branch{match['branch']}.body"
    if match["module"] is not None:
        inner = 0 if match["layer"] == "conv1" else 2
        return f"{start}.{6 + int(match['module'])}.body.{inner}.{part}"
    return f"{start}.{INNER.get(match['layer'], 6 + modules)}.{part}"


def recognise(shapes: Shapes) -> dict[str, Any]:
    """Settings of the network of these translated shapes; KeyError names a key that is not there."""
    return {**recognise_plain(shapes), "rectified": True}
