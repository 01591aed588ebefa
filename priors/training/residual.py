"""The objective of residual processes: the same loop, a batch of pairs, the published loss of each process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn

from operators.common.settings import Checked, Positive

from ..diffusion.edm import alike_in_gray
from ..residual.network import outputs, to_settings, unet_settings
from ..residual.process import Process


@dataclass(frozen=True)
class ResidualObjective(Checked):
    """Times uniform over the schedule, one draw of noise for each pair, the process's own loss."""

    architecture: ClassVar[str] = "unet"
    process: Process
    gain: Annotated[Positive, "standard deviation of y - x0 in the process's units (see CompactPrior)"] = 0.1

    def loss(self, network: nn.Module, pairs: Tensor, generator: torch.Generator) -> Tensor:
        """Scalar loss of a batch: B x 2C x H x W, pictures first and measurements on their grid after them."""
        process = self.process
        x0, y = pairs.chunk(2, dim=1)
        times = [process.training_time(u) for u in torch.rand(len(x0), generator=generator).tolist()]
        eps = alike_in_gray(torch.randn(x0.shape, generator=generator), x0.cpu()).to(x0)
        # One picture at a time: the constants of a process are numbers, not tensors, and this part is cheap.
        split = [(x0[k : k + 1], y[k : k + 1], eps[k : k + 1], t) for k, t in enumerate(times)]
        seen = torch.cat([process.network_input(process.diffuse(a, b, e, t), t) for a, b, e, t in split])
        level = torch.tensor([process.level(t) for t in times], device=x0.device)
        answers = outputs(network, process, seen, y, level, gain=self.gain)
        costs = [
            process.loss([part[k : k + 1] for part in answers], a, b, e, t) for k, (a, b, e, t) in enumerate(split)
        ]
        return torch.stack(costs).mean()

    def network_settings(self, base: Mapping[str, Any]) -> dict[str, Any]:
        """Settings of the U-Net that this objective trains."""
        return unet_settings(self.process, base)

    def preconditioning(self) -> dict[str, Any]:
        """What the weights file must say."""
        return to_settings(self.process, gain=self.gain)
