"""Adapters that fit a prior of photographs to other pictures. Each is chosen by name, never silently.

`priors.load("natural:bands")`, `priors.load("natural:magnitude-phase")`, `priors.load("natural:real-imaginary")`,
`priors.load("natural:window(-1000,400)")`, `priors.load("natural:slices")`.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Annotated, Any

import torch
from torch import Tensor

from operators.common.described import keyword_parameters
from operators.common.errors import BadInput
from operators.common.registry import Entry, Registry
from operators.common.settings import above
from operators.common.space import Affine

from ..base import DiffusionPrior, Prior
from ..files.words import WordPart, parse

SLICES_AT_ONCE = 16  # memory is bounded by these, not by the depth of the volume


class BandByBand(DiffusionPrior):
    """Every band is a gray picture of its own to the inner prior: any number of channels."""

    def __init__(self, prior: DiffusionPrior) -> None:
        super().__init__(
            native_clip=prior.native_clip, schedule=prior.schedule, spatial=prior.spatial, space=prior.space
        )
        _need_gray(prior, "bands")
        self.prior, self.name, self.sha256 = prior, f"{prior.name}:bands", prior.sha256

    def denoise_native(self, z: Tensor, sigma: Tensor) -> Tensor:
        batch, bands = z.shape[:2]
        gray = z.reshape(batch * bands, 1, *z.shape[2:])
        return self.prior.denoise_native(gray, sigma.repeat_interleave(bands)).reshape(z.shape)


class MagnitudePhase(DiffusionPrior):
    """A complex picture keeps its phase; its magnitude, in [0, 1], is a gray picture to the inner prior.

    An approximation: the noise of a magnitude is Rician, and nearly Gaussian only where it exceeds sigma.
    """

    def __init__(self, prior: DiffusionPrior) -> None:
        super().__init__(schedule=prior.schedule, spatial=prior.spatial)
        _need_gray(prior, "magnitude-phase")
        self.prior, self.name, self.sha256 = prior, f"{prior.name}:magnitude-phase", prior.sha256

    def denoise_native(self, z: Tensor, sigma: Tensor) -> Tensor:
        magnitude = z.abs()
        batch, channels = z.shape[:2]
        gray = magnitude.reshape(batch * channels, 1, *z.shape[2:])
        clean = self.prior.denoise(gray, sigma.repeat_interleave(channels)).reshape(z.shape)
        phase = torch.where(magnitude > 0, z / magnitude.clamp_min(torch.finfo(magnitude.dtype).tiny), 1.0)
        return clean * phase


class RealImaginary(DiffusionPrior):
    """Real and imaginary part of a complex picture are two gray pictures to the inner prior, 0 being its middle gray.

    White noise stays white noise in both, whatever the phase: the usual two-channel form (Jalal et al. 2021,
    arXiv:2108.01368). Magnitudes are to be at most 1.
    """

    def __init__(self, prior: DiffusionPrior) -> None:
        super().__init__(schedule=prior.schedule, spatial=prior.spatial)
        _need_gray(prior, "real-imaginary")
        self.prior, self.name, self.sha256 = prior, f"{prior.name}:real-imaginary", prior.sha256

    def denoise_native(self, z: Tensor, sigma: Tensor) -> Tensor:
        batch, channels = z.shape[:2]
        # The inner prior's own units are those in which its middle is 0 and the ends of its range are 1 away.
        gray = torch.view_as_real(z).movedim(-1, 2).reshape(batch * channels * 2, 1, *z.shape[2:])
        clean = self.prior.denoise_native(gray, sigma.repeat_interleave(2 * channels))
        pairs = clean.reshape(batch, channels, 2, *z.shape[2:]).movedim(2, -1).contiguous()
        return torch.view_as_complex(pairs)


class Window(DiffusionPrior):
    """Pictures whose values run from low to high (such as HU) instead of the inner prior's legal range."""

    def __init__(
        self,
        prior: DiffusionPrior,
        *,
        low: Annotated[float, "least value of a picture"],
        high: Annotated[float, "largest value of a picture, above `low`"],
    ) -> None:
        above("high", high, "low", low)
        if prior.clip is None:
            raise BadInput(f"a window for prior {prior.name!r}", wanted="a prior with a legal range")
        gain = (high - low) / (prior.clip[1] - prior.clip[0])
        super().__init__(
            shift=low + gain * (prior.shift - prior.clip[0]),
            scale=gain * prior.scale,
            native_clip=prior.native_clip,
            channels=prior.channels,
            schedule=prior.schedule,
            spatial=prior.spatial,
        )
        self.prior, self.name, self.sha256 = prior, f"{prior.name}:window({low:g},{high:g})", prior.sha256

    def denoise_native(self, z: Tensor, sigma: Tensor) -> Tensor:
        return self.prior.denoise_native(z, sigma)


class SliceBySlice(DiffusionPrior):
    """Every slice of a volume along its first axis is a picture to the inner prior, which knows nothing of the others.

    Volumes B x C x D x H x W; what the solver joins between slices is the measurement's doing alone.
    """

    network_axes = 2

    def __init__(self, prior: DiffusionPrior) -> None:
        if prior.spatial != 2:
            raise BadInput(f"prior {prior.name!r} takes volumes as they are", do="Leave the adapter 'slices' out.")
        super().__init__(
            native_clip=prior.native_clip,
            channels=prior.channels,
            schedule=prior.schedule,
            spatial=3,
            space=prior.space,
        )
        self.prior, self.name, self.sha256 = prior, f"{prior.name}:slices", prior.sha256

    def denoise_native(self, z: Tensor, sigma: Tensor) -> Tensor:
        batch, depth = z.shape[0], z.shape[2]
        slices = z.transpose(1, 2).reshape(batch * depth, z.shape[1], *z.shape[3:])
        levels = sigma.repeat_interleave(depth)
        parts = zip(torch.split(slices, SLICES_AT_ONCE), torch.split(levels, SLICES_AT_ONCE), strict=True)
        clean = torch.cat([self.prior.denoise_native(some, level) for some, level in parts])
        return clean.reshape(batch, depth, *clean.shape[1:]).transpose(1, 2)


REGISTRY = Registry(
    "adapter",
    {
        "bands": Entry("priors.diffusion.adapters:BandByBand", "every band a gray picture of its own"),
        "magnitude-phase": Entry("priors.diffusion.adapters:MagnitudePhase", "magnitudes of complex pictures"),
        "real-imaginary": Entry("priors.diffusion.adapters:RealImaginary", "both parts of complex pictures"),
        "window": Entry("priors.diffusion.adapters:Window", "values from low to high, such as Hounsfield units"),
        "slices": Entry("priors.diffusion.adapters:SliceBySlice", "volumes, slice by slice"),
    },
)


def adapt(prior: Prior, adapter: str | WordPart | Mapping[str, Any]) -> Prior:
    """The prior under an adapter: "bands", "window(0,0.04)", or {"name": "window", "low": 0, "high": 0.04}.

    BadInput for an unknown adapter, or a prior that takes none; BadType for a setting that it does not have.
    """
    if isinstance(adapter, Mapping):
        adapter = WordPart(str(adapter["name"]), settings={k: v for k, v in adapter.items() if k != "name"})
    if isinstance(adapter, str):
        for part in parse(adapter):
            prior = adapt(prior, part)
        return prior
    if not isinstance(prior, DiffusionPrior):
        raise BadInput(f"prior {prior.name!r} takes no adapter", wanted="a diffusion prior before the colon")
    if not isinstance(prior.space, Affine):
        raise BadInput(f"prior {prior.name!r} works on latents, not pictures", do="Leave the adapter out.")
    if type(prior).fit is not Prior.fit:
        raise BadInput(f"prior {prior.name!r} learns from the measurement as it is", do="Leave the adapter out.")
    if adapter.name not in REGISTRY:
        raise BadInput(f"unknown adapter {adapter.name!r}", do=f"Known: {', '.join(REGISTRY)}.")
    defaults = keyword_parameters(REGISTRY.load(adapter.name))
    settings = adapter.by_name(list(defaults), where=f"adapter {adapter.name!r}")
    for key, default in defaults.items():
        if default is inspect.Parameter.empty and key not in settings:
            form = f"{adapter.name}({','.join(defaults)})"
            raise BadInput(f"adapter {adapter.name!r} was given no {key}", wanted=form)
    return REGISTRY.build(adapter.name, prior, **settings)  # type: ignore[no-any-return]


def _need_gray(prior: DiffusionPrior, adapter: str) -> None:
    if prior.channels is not None and 1 not in prior.channels:
        raise BadInput(f"adapter {adapter!r} shows gray pictures and prior {prior.name!r} takes none")
