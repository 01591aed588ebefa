"""A trained denoiser with EDM preconditioning (Karras et al. 2022, arXiv 2206.00364), and its training objective."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn

from operators.common.settings import Checked, Count, Fraction, Positive, at_most

from ..base import DiffusionPrior

GRAY_TO_RGB = 3


class EDMPrior(DiffusionPrior):
    """D(z; sigma) = c_skip z + c_out F(c_in z; c_noise), table 1 of the paper, around a network F.

    network: (B x C x H x W, B) -> B x C x H x W. sigma_data: standard deviation of clean pictures in native units.
    A gray picture (one channel) is shown to the network as three equal ones; it was trained on such pictures too.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        sigma_data: Positive = 0.5,
        shift: float = 0.5,
        scale: Positive = 0.5,
        native_clip: tuple[float, float] | None = (-1.0, 1.0),
        channels: tuple[Count, ...] | None = (1, 3),
    ) -> None:
        super().__init__(shift=shift, scale=scale, native_clip=native_clip, channels=channels)
        self.network = network
        self.sigma_data = sigma_data

    def denoise_native(self, z: Tensor, sigma: Tensor) -> Tensor:
        picture = z.expand(-1, GRAY_TO_RGB, -1, -1) if z.shape[1] == 1 else z
        c_skip, c_out, c_in, c_noise = preconditioning(sigma.float(), self.sigma_data)
        single = picture.float()
        denoised = c_skip * single + c_out * self.network(c_in * single, c_noise).float()
        return (denoised.mean(1, keepdim=True) if z.shape[1] == 1 else denoised).to(z.dtype)


def preconditioning(sigma: Tensor, sigma_data: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(c_skip, c_out, c_in, c_noise), the first three shaped B x 1 x 1 x 1."""
    level = sigma[:, None, None, None]
    total = level**2 + sigma_data**2
    return sigma_data**2 / total, level * sigma_data / total.sqrt(), 1 / total.sqrt(), sigma.log() / 4


def alike_in_gray(noise: Tensor, clean: Tensor) -> Tensor:
    """The noise, equal in all channels of pictures whose channels are equal, as a gray picture shown in RGB has it."""
    is_gray = (clean == clean[:, :1]).flatten(1).all(1)[:, None, None, None]
    return torch.where(is_gray, noise[:, :1].expand_as(noise), noise)


@dataclass(frozen=True)
class EDMObjective(Checked):
    """Mean squared error of F against its target, which is EDM's weighting lambda(sigma) = 1 / c_out^2.

    Noise levels: ln sigma ~ N(log_mean, log_std), and a share drawn log-uniformly over [sigma_min, sigma_max] so that
    the whole range a diffusion chain visits is trained; no level lies outside that range.
    With a log_floor the loss is the mean of ln(log_floor + error of a picture). A picture then counts by how
    much its error changes relative to itself, as in a mean of decibels (Chen et al. 2021, arXiv 2105.06086), so that
    smooth pictures, whose errors are small, are not left to the textured ones; the floor bounds their weight.
    """

    architecture: ClassVar[str] = "unet"
    sigma_data: Annotated[Positive, "standard deviation of clean pictures in native units"] = 0.5
    log_mean: Annotated[float, "mean of ln sigma"] = -1.4
    log_std: Annotated[Positive, "standard deviation of ln sigma"] = 1.1
    uniform_share: Annotated[Fraction, "of levels that are drawn log-uniformly"] = 0.15
    sigma_min: Annotated[Positive, "lowest level"] = 0.002
    sigma_max: Annotated[Positive, "highest level"] = 100.0
    log_floor: Annotated[Positive | None, "added to the error before its logarithm; none: the mean error"] = None

    def __post_init__(self) -> None:
        at_most("sigma_min", self.sigma_min, "sigma_max", self.sigma_max)

    def loss(self, network: nn.Module, clean: Tensor, generator: torch.Generator) -> Tensor:
        """Scalar loss of one batch of clean pictures in native units (B x C x H x W).

        Equal channels (gray pictures) get equal noise, as a gray picture shown in RGB has.
        """
        sigma = self.levels(clean.shape[0], generator)
        noise = torch.randn(clean.shape, generator=generator)
        sigma, noise = sigma.to(clean.device), alike_in_gray(noise, clean.cpu()).to(clean.device)
        c_skip, c_out, c_in, c_noise = preconditioning(sigma, self.sigma_data)
        noisy = clean + sigma[:, None, None, None] * noise
        target = (clean - c_skip * noisy) / c_out
        errors = (network(c_in * noisy, c_noise) - target).square().mean((1, 2, 3))
        return errors.mean() if self.log_floor is None else (self.log_floor + errors).log().mean()

    def network_settings(self, base: Mapping[str, Any]) -> dict[str, Any]:
        """Settings of the U-Net that this objective trains."""
        return dict(base)

    def preconditioning(self) -> dict[str, Any]:
        """What the weights file must say."""
        return {"kind": "edm", "sigma_data": self.sigma_data}

    def levels(self, count: int, generator: torch.Generator) -> Tensor:
        normal = self.log_mean + self.log_std * torch.randn(count, generator=generator)
        low, high = math.log(self.sigma_min), math.log(self.sigma_max)
        uniform = low + (high - low) * torch.rand(count, generator=generator)
        from_uniform = torch.rand(count, generator=generator) < self.uniform_share
        return torch.where(from_uniform, uniform, normal.clamp(low, high)).exp()
