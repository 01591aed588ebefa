"""Learned perceptual image patch similarity, version 0.1, through its authors' `lpips` package.

R. Zhang, P. Isola, A. A. Efros, E. Shechtman, O. Wang, "The unreasonable effectiveness of deep features as a perceptual
metric", CVPR 2018, arXiv 1801.03924, eq. 1: squared differences of unit-normalised features, weighted by learned heads
(these come with the package), averaged over positions and summed over layers. The ImageNet features come from
`restore.metrics.features`.
"""

from __future__ import annotations

import threading
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor

from operators.common.errors import import_extra

from . import features
from .base import CROP, FLIP, Crop, Range, Turnable, cut, keep_limits, needs_range
from .convention import Option
from .evidence import NotApplicable

# Below this the last pooling layer of the network has nothing to pool.
SMALLEST = {"alex": 31, "vgg": 16}

_lock = threading.Lock()
_networks: dict[str, Any] = {}


@dataclass(frozen=True)
class LPIPS(Turnable):
    """Perceptual distance, 0 for equal pictures; the estimate is clipped, gray is repeated to three channels.

    Unavailable, with the command that helps, where the ImageNet features cannot be had.
    """

    FAMILY: ClassVar[str] = "lpips"
    OPTIONS: ClassVar[tuple[Option, ...]] = (
        Option("net", words=("alex", "vgg")),
        Option("version", words=("v0.1",)),
        CROP,
        FLIP,
    )

    net: Annotated[Literal["alex", "vgg"] | None, "network of the features; none: alex"] = None
    version: Annotated[Literal["v0.1"] | None, "of the heads; those that the authors recommend"] = None
    crop: Crop = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        # The name always says which network and which heads.
        object.__setattr__(self, "net", self.net or "alex")
        object.__setattr__(self, "version", "v0.1")

    def picture(self, estimate: Tensor, truth: Tensor, data_range: Range) -> float:
        net = self.net or "alex"
        if truth.ndim != 3 or truth.shape[0] not in (1, 3) or truth.is_complex():
            raise NotApplicable(
                f"pictures of shape {tuple(truth.shape)}", wanted="real RGB or gray, 3 or 1 x H x W, for lpips"
            )
        smallest = SMALLEST[net] + 2 * self.crop
        if min(truth.shape[-2:]) < smallest:
            size = f"{truth.shape[-2]}x{truth.shape[-1]}"
            raise NotApplicable(
                f"a picture of {size} is too small for {self.name}", wanted=f"at least {smallest}x{smallest}"
            )
        low, width = needs_range(data_range, self.FAMILY)
        estimate, truth = keep_limits(estimate, truth, data_range, "clip")
        # The network's units are [-1, 1] in float32; one picture at a time, so that neighbours cannot matter.
        one, other = (
            (2 * (cut(x, self.crop) - low) / width - 1).float().expand(3, -1, -1)[None] for x in (estimate, truth)
        )
        with torch.autocast("cpu", enabled=False):
            return float(network(net)(one.contiguous(), other.contiguous()))


def network(net: str) -> Any:
    """The LPIPS module with its ImageNet features, in float32 on the CPU, built once per process."""
    with _lock:
        if net not in _networks:
            tensors = features.load(net)
            _networks[net] = _build(net, tensors)
        return _networks[net]


def fetch() -> Path:
    """Download the AlexNet features once, with a progress bar: what `restore doctor --fetch lpips` runs."""
    return features.fetch("alex")


def status() -> features.Status:
    """Whether lpips[alex,v0.1] can be computed here; does not touch the network."""
    return features.status("alex")


def _build(net: str, tensors: dict[str, Tensor]) -> Any:
    lpips = import_extra("lpips", do="Reinstall lpips and torchvision.")
    with (
        warnings.catch_warnings(),
        torch.random.fork_rng(devices=[]),  # the features are drawn at random before they are replaced
        torch.device("cpu"),
        torch.inference_mode(mode=False),
    ):
        warnings.filterwarnings("ignore", message="The parameter 'pretrained' is deprecated")
        warnings.filterwarnings("ignore", message="Arguments other than a weight enum")
        module = lpips.LPIPS(net=net, version="0.1", pnet_rand=True, verbose=False)
        # lpips names `features.3.weight` `slice2.3.weight`
        wanted = module.net.state_dict()
        module.net.load_state_dict({key: tensors[f"features.{key.split('.', 1)[1]}"] for key in wanted})
    return module.float().eval().requires_grad_(False)
