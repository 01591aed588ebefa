"""The score of a noisy picture's law, learned from noisy pictures: amortised residual denoising.

K. Kim, J. C. Ye 2021, "Noise2Score: Tweedie's approach to self-supervised image denoising without clean images",
arXiv 2106.07009, section 3.1; J. H. Lim et al. 2020, "AR-DAE", arXiv 2006.05164. Constants as in the released code.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn

from operators.common.settings import Count, Positive, at_most

from .prior import SelfSupervisedPrior
from .training import Training


class NoisyScore(SelfSupervisedPrior):
    """s(y) = grad log p(y) of noisy pictures y, by the network of Noise2Noise.

    The network sees pictures of mean 0.5 and standard deviation 0.25, about those of photographs in [0, 1]; the levels
    of the added noise are in these units.
    """

    method = "noise2score"
    architecture = "noise2noise"
    middle: ClassVar[float] = 0.5
    spread: ClassVar[float] = 0.25

    def __init__(
        self,
        *,
        steps: Annotated[Count, "of the optimiser"] = 1200,
        batch: Annotated[Count, "crops of a step"] = 8,
        crop: Annotated[Count, "side of a crop in pixels"] = 64,
        width: Annotated[Count, "features of the network; 48 as published"] = 32,
        rate: Annotated[Positive, "of Adam at the start"] = 3e-3,
        sigma_max: Annotated[Positive, "added noise at the start"] = 0.1,
        sigma_min: Annotated[Positive, "added noise at the end; 0.05 to 0.001 as published"] = 0.02,
    ) -> None:
        at_most("sigma_min", sigma_min, "sigma_max", sigma_max)
        super().__init__(
            settings={
                "steps": steps,
                "batch": batch,
                "crop": crop,
                "width": width,
                "rate": rate,
                "sigma_max": sigma_max,
                "sigma_min": sigma_min,
            }
        )

    def predict(self, y: Tensor) -> Tensor:
        """s(y) (B x C x H x W), in units of 1 / y."""
        return super().predict(y)

    def to_picture(self, answer: Tensor) -> Tensor:
        _, _, scale = self._about()
        return answer / scale  # d log p / dy = (d log p / dz) dz / dy

    def network_settings(self, channels: int) -> dict[str, Any]:
        return {"channels": channels, "width": self.settings["width"]}

    def plan(self) -> Training:
        own = self.settings
        return Training(own["steps"], own["batch"], own["crop"], multiple=32, rate=own["rate"], clip=1.0)

    def loss(self, network: nn.Module, noisy: Tensor, generator: torch.Generator, step: int) -> Tensor:
        own = self.settings
        sigma = annealed(step, own["steps"], own["sigma_max"], own["sigma_min"])
        normal = torch.randn(noisy.shape, generator=generator).to(noisy)
        return ardae_loss(network, noisy, normal, sigma)


def annealed(step: int, steps: int, sigma_max: float, sigma_min: float) -> float:
    """Level of the added noise at a step (0-based): linear from sigma_max to sigma_min, then constant."""
    done = min((step + 1) / steps, 1.0)
    return sigma_max * (1 - done) + sigma_min * done


def ardae_loss(network: nn.Module, noisy: Tensor, normal: Tensor, sigma: float) -> Tensor:
    """mean (sigma s(y + sigma u) + u)^2, u standard normal (eq. 9): least where s is the score of y + sigma u."""
    return (sigma * network(noisy + sigma * normal).float() + normal).square().mean()
