"""Latent diffusion: an EDM prior on the latents of a small autoencoder, as a prior of pictures."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from torch import Tensor

from operators.common.space import Affine, Latent, Shape

from ..base import DiffusionPrior
from ..diffusion.edm import EDMPrior
from ..networks.coder import FACTOR, Coder, LatentNetwork

RGB = 3


@dataclass(frozen=True, eq=False)
class CoderSpace(Latent):
    """The latents of a `Coder`. Pictures in [-1, 1], RGB, or gray ones, which are shown as three equal channels."""

    def sized(self, picture: Shape) -> Latent:
        space = super().sized(picture)
        if picture[0] == RGB:
            return space
        decode = space.decode
        return replace(space, decode=lambda z: decode(z).mean(1, keepdim=True))


def coder_space(coder: Coder) -> CoderSpace:
    """The latents of an autoencoder, which works in single precision whatever the pictures are in."""

    def encode(x: Tensor) -> Tensor:
        return coder.encode(x.float().expand(-1, RGB, -1, -1)).to(x.dtype)

    def decode(z: Tensor) -> Tensor:
        return coder.decode(z.float()).to(z.dtype)

    def shape(picture: Shape) -> Shape:
        return (coder.latent, *(math.ceil(side / FACTOR) for side in picture[1:]))

    return CoderSpace(encode, decode, shape)


def latent_prior(network: LatentNetwork, *, sigma_data: float) -> DiffusionPrior:
    """The prior of pictures in [0, 1], RGB or gray of any size, whose native units are the network's latents."""
    latents = EDMPrior(network, sigma_data=sigma_data, shift=0.0, scale=1.0, native_clip=None, channels=None)
    return latents.within(Affine(0.5, 0.5) @ coder_space(network.coder), channels=(1, RGB))
