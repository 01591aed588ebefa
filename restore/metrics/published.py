"""Full-reference scores computed by the `piq` package: FSIM, VIF, DISTS."""

from __future__ import annotations

import threading
import urllib.error
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor

from operators.common.errors import Unavailable, import_extra

from .base import CROP, Crop, Metric, Range, cut, keep_limits, needs_range
from .convention import Option
from .evidence import NotApplicable

_lock = threading.Lock()
_dists: dict[str, Any] = {}


def _unit(
    estimate: Tensor, truth: Tensor, data_range: Range, family: str, crop: int, smallest: int
) -> tuple[Tensor, Tensor]:
    """Both pictures as 1 x C x H x W in [0, 1], the estimate clipped, the border cut."""
    if truth.ndim != 3 or truth.shape[0] not in (1, 3) or truth.is_complex():
        raise NotApplicable(f"pictures of shape {tuple(truth.shape)}", wanted=f"real RGB or gray for {family}")
    if min(truth.shape[-2:]) < smallest + 2 * crop:
        size = f"{truth.shape[-2]}x{truth.shape[-1]}"
        raise NotApplicable(f"a picture of {size} is too small for {family}", wanted=f"at least {smallest}x{smallest}")
    low, width = needs_range(data_range, family)
    estimate, truth = keep_limits(estimate, truth, data_range, "clip")
    one, other = ((cut(x, crop) - low) / width for x in (estimate, truth))
    return one[None].contiguous(), other.clamp(0, 1)[None].contiguous()


@dataclass(frozen=True)
class FSIM(Metric):
    """Feature similarity (phase congruency and gradients), with colour for RGB, 1 for equal pictures.

    L. Zhang et al. 2011, doi:10.1109/TIP.2011.2109730.
    """

    FAMILY: ClassVar[str] = "fsim"
    HIGHER_IS_BETTER: ClassVar[bool] = True
    OPTIONS: ClassVar[tuple[Option, ...]] = (Option("space", words=("colour", "gray")), CROP)

    space: Annotated[Literal["colour", "gray"] | None, "FSIMc, or FSIM; none: colour"] = None
    crop: Crop = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "space", self.space or "colour")

    def picture(self, estimate: Tensor, truth: Tensor, data_range: Range) -> float:
        piq = import_extra("piq", do="Reinstall piq.")
        one, other = _unit(estimate, truth, data_range, self.FAMILY, self.crop, 64)
        coloured = self.space == "colour" and one.shape[1] == 3
        return float(piq.fsim(one, other, data_range=1.0, chromatic=coloured))


@dataclass(frozen=True)
class VIF(Metric):
    """Visual information fidelity in the pixel domain; 1 for equal pictures, above 1 for a contrast that was raised.

    H. R. Sheikh, A. C. Bovik 2006, doi:10.1109/TIP.2005.859378.
    """

    FAMILY: ClassVar[str] = "vif"
    HIGHER_IS_BETTER: ClassVar[bool] = True
    OPTIONS: ClassVar[tuple[Option, ...]] = (Option("domain", words=("pixel",)), CROP)

    domain: Annotated[Literal["pixel"] | None, "where it is computed"] = None
    crop: Crop = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "domain", "pixel")

    def picture(self, estimate: Tensor, truth: Tensor, data_range: Range) -> float:
        piq = import_extra("piq", do="Reinstall piq.")
        one, other = _unit(estimate, truth, data_range, self.FAMILY, self.crop, 41)
        return float(piq.vif_p(one, other, data_range=1.0))


@dataclass(frozen=True)
class DISTS(Metric):
    """Deep image structure and texture similarity on VGG-16 features, 0 for equal pictures.

    K. Ding et al. 2020, arXiv 2004.07728. Unavailable, with the reason, where they are absent.
    """

    FAMILY: ClassVar[str] = "dists"
    OPTIONS: ClassVar[tuple[Option, ...]] = (Option("net", words=("vgg",)), CROP)

    net: Annotated[Literal["vgg"] | None, "network of the features"] = None
    crop: Crop = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "net", "vgg")

    def picture(self, estimate: Tensor, truth: Tensor, data_range: Range) -> float:
        one, other = _unit(estimate, truth, data_range, self.FAMILY, self.crop, 32)
        one, other = (x.float().expand(-1, 3, -1, -1).contiguous() for x in (one, other))
        with torch.autocast("cpu", enabled=False):
            return float(_dists_module()(one, other))


def _dists_module() -> Any:
    """piq's DISTS with its published weights, built once per process."""
    from . import features

    with _lock:
        if "vgg" not in _dists:
            piq = import_extra("piq", do="Reinstall piq.")
            features.load("vgg")  # Unavailable at once, and remembered, where the features are not here
            try:
                with torch.random.fork_rng(devices=[]), torch.inference_mode(mode=False):
                    _dists["vgg"] = piq.DISTS(reduction="none").float().eval().requires_grad_(False)
            except (urllib.error.URLError, OSError, RuntimeError) as error:
                raise Unavailable(
                    f"the weights of dists are not here ({type(error).__name__})",
                    do="Connect to the network once, so that piq can load them into torch.hub's cache.",
                ) from error
        return _dists["vgg"]
