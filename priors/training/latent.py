"""Two objectives of latent diffusion: pictures that survive the coder, and latents that survive noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn

from operators.common.errors import BadInput
from operators.common.settings import Checked, NotNegative

from ..diffusion.edm import EDMObjective
from ..networks.coder import LatentNetwork


@dataclass(frozen=True)
class AutoencoderObjective(Checked):
    """Mean |D(E(x) + tau n) - x| plus `edges` times that of the differences between neighbouring pixels.

    Latents have variance 1 by construction (`priors.networks.coder`). tau, uniform from 0 to `latent_noise` for each
    picture, bounds what a latent can carry and makes D as smooth as that: neighbours within tau of one another must
    decode alike, the part that a Kullback-Leibler term has in other autoencoders.
    """

    architecture: ClassVar[str] = "latent-coder"
    edges: Annotated[NotNegative, "weight of the differences"] = 0.5
    latent_noise: Annotated[NotNegative, "largest standard deviation tau of the noise on latents"] = 0.1

    def loss(self, network: nn.Module, clean: Tensor, generator: torch.Generator) -> Tensor:
        """Scalar loss of a batch of pictures in [-1, 1] (B x 3 x H x W, sides multiples of 4)."""
        grid = (len(clean), network.latent, clean.shape[-2] // 4, clean.shape[-1] // 4)
        tau = self.latent_noise * torch.rand(len(clean), 1, 1, 1, generator=generator)
        noise = tau * torch.randn(grid, generator=generator)  # type: ignore[arg-type]
        miss = network(clean, noise.to(clean.device)).float() - clean
        edges = miss.diff(dim=-1).abs().mean() + miss.diff(dim=-2).abs().mean()
        return miss.abs().mean() + self.edges * edges

    def network_settings(self, base: Mapping[str, Any]) -> dict[str, Any]:
        """Settings of the coder that this objective trains."""
        return dict(base)

    def preconditioning(self) -> dict[str, Any]:
        """What the weights file must say."""
        return {"kind": "latent-coder"}


@dataclass(frozen=True)
class LatentObjective(EDMObjective):
    """EDM's objective on the latents of pictures, whose coder stays as it is."""

    architecture: ClassVar[str] = "latent"

    def loss(self, network: nn.Module, clean: Tensor, generator: torch.Generator) -> Tensor:
        """Scalar loss of a batch of pictures in [-1, 1] (B x 3 x H x W)."""
        if not isinstance(network, LatentNetwork):
            raise BadInput(f"{type(network).__name__} has no coder", wanted="a LatentNetwork")
        with torch.no_grad():
            z = network.coder.encode(clean)
        return super().loss(network, z.float(), generator)

    def preconditioning(self) -> dict[str, Any]:
        """What the weights file must say."""
        return {"kind": "latent", "sigma_data": self.sigma_data}
