"""Adapters that fit a prior of photographs to other pictures. Each is chosen by name, never silently.

`priors.load("natural:bands")`, `priors.load("natural:magnitude-phase")`, `priors.load("natural:real-imaginary")`,
`priors.load("natural:window(-1000,400)")`.
"""

from __future__ import annotations

import re

import torch
from torch import Tensor

from operators.common.errors import BadInput
from operators.common.settings import above

from ..base import DiffusionPrior


class BandByBand(DiffusionPrior):
    """Every band is a gray picture of its own to the inner prior: any number of channels."""

    def __init__(self, prior: DiffusionPrior) -> None:
        super().__init__(shift=prior.shift, scale=prior.scale, native_clip=prior.native_clip, schedule=prior.schedule)
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
        super().__init__(schedule=prior.schedule)
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
        super().__init__(schedule=prior.schedule)
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

    def __init__(self, prior: DiffusionPrior, *, low: float, high: float) -> None:
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
        )
        self.prior, self.name, self.sha256 = prior, f"{prior.name}:window({low:g},{high:g})", prior.sha256

    def denoise_native(self, z: Tensor, sigma: Tensor) -> Tensor:
        return self.prior.denoise_native(z, sigma)


KNOWN = "bands, magnitude-phase, real-imaginary, window(LOW,HIGH)"


def adapt(prior: DiffusionPrior, adapter: str) -> DiffusionPrior:
    """The prior under the adapter of that name; BadInput for an unknown one."""
    window = re.fullmatch(r"window\(\s*([-+.\deE]+)\s*,\s*([-+.\deE]+)\s*\)", adapter)
    if window:
        return Window(prior, low=float(window[1]), high=float(window[2]))
    if adapter == "bands":
        return BandByBand(prior)
    if adapter == "magnitude-phase":
        return MagnitudePhase(prior)
    if adapter == "real-imaginary":
        return RealImaginary(prior)
    raise BadInput(f"unknown adapter {adapter!r}", do=f"Known: {KNOWN}.")


def _need_gray(prior: DiffusionPrior, adapter: str) -> None:
    if prior.channels is not None and 1 not in prior.channels:
        raise BadInput(f"adapter {adapter!r} shows gray pictures and prior {prior.name!r} takes none")
