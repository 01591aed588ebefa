"""Released networks as residual priors: what they see of the measurement, and the latent space of ResShift."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from operators.common.errors import BadInput

from ...networks.official.resshift import SwinUNet, told_by_values
from ...networks.unet import mirror_to_multiple
from ...residual import from_table
from ...residual.prior import NetworkPrior, ResidualPrior, heads
from ...residual.process import Prediction, Process

RGB = 3


class ReleasedPrior(NetworkPrior):
    """A released network on its process.

    marks: channels in which the network is told which pixels are missing: 0 (not at all), 1, 3 (that one repeated)
    or 2 (one-hot); 1 where they are, -1 elsewhere.
    """

    def __init__(self, network: nn.Module, process: Process, *, marks: int = 0) -> None:
        legal = (process.space.back(0.0), process.space.back(1.0))
        super().__init__(network, process, native_clip=legal, channels=(RGB,))
        self.marks = marks

    def predict(self, x_t: Tensor, y_up: Tensor, t: float, *, condition: Tensor | None = None) -> Prediction:
        process = self.process
        seen = y_up if condition is None else condition
        times = torch.full((x_t.shape[0],), process.network_time(t), device=x_t.device)
        # The weights are float32 whatever the problem is in.
        outputs = heads(self.network(process.network_input(x_t, t).float(), times, seen.float()), process)
        return process.read([part.to(x_t.dtype) for part in outputs], x_t, y_up, t)

    def condition(self, y: Tensor, y_up: Tensor, observed: Tensor | None = None) -> Tensor | None:
        return None if self.marks == 0 else torch.cat([y_up, marked(y_up, observed, self.marks)], dim=1)


class LatentPrior(ReleasedPrior):
    """ResShift in the latent space of its autoencoder.

    The network sees the measurement as a picture: on its own grid where that is the one it was trained on (x4: the
    latent's), else as enlarged. `encode` mirrors a picture up to multiples of the autoencoder's factor; `decode` gives
    that size, to be cropped.
    """

    def encode(self, picture: Tensor) -> Tensor:
        return self.network.autoencoder.encode(picture)  # type: ignore[union-attr, operator, no-any-return]

    def decode(self, state: Tensor) -> Tensor:
        return self.network.autoencoder.decode(state)  # type: ignore[union-attr, operator, no-any-return]

    def condition(self, y: Tensor, y_up: Tensor, observed: Tensor | None = None) -> Tensor | None:
        factor = int(self.network.autoencoder.factor)  # type: ignore[union-attr, arg-type]
        ratio = factor // int(self.network.network.lq_scale)  # type: ignore[union-attr, arg-type]
        whole = mirror_to_multiple(y_up, factor)
        wanted = tuple(side // ratio for side in whole.shape[-2:])
        if ratio == 1:
            seen = whole
        elif y.ndim == y_up.ndim and y.shape[1] == y_up.shape[1]:
            seen = mirror_to_multiple(y, factor // ratio)
        else:
            seen = y
        if tuple(seen.shape[-2:]) != wanted:
            raise BadInput(
                f"the measurement is {tuple(y.shape[1:])} for a picture of {tuple(y_up.shape[1:])}",
                wanted=f"one {ratio} times smaller, which is what this ResShift enlarges",
                do=f"Choose a task of that factor (sr{ratio}x), or another prior.",
            )
        if self.marks == 0:
            return seen
        holes = marked(y_up, observed, self.marks)
        return torch.cat([seen, F.interpolate(mirror_to_multiple(holes, factor), wanted, mode="nearest")], dim=1)


def marked(picture: Tensor, observed: Tensor | None, marks: int) -> Tensor:
    """B x marks x H x W: 1 where a pixel is missing in any channel, -1 elsewhere; one-hot has the observed class first.

    observed: C x H x W (or broadcast to it), or None, or on another grid than the picture's: then nothing is marked.
    """
    missing = picture.new_full((picture.shape[0], 1, *picture.shape[-2:]), -1.0)
    if observed is not None and observed.shape[-2:] == picture.shape[-2:]:
        seen = observed.to(picture.device).bool().expand(picture.shape[-3:]).all(0)
        missing = torch.where(seen, missing, -missing)
    return torch.cat([-missing, missing], dim=1) if marks == 2 else missing.expand(-1, marks, -1, -1)


def from_settings(network: nn.Module, checkpoint: Mapping[str, Any]) -> ResidualPrior:
    """The prior of a stored network: `process` {name, settings}, `marks`.

    BadInput where the masks of shifted windows that a Swin U-Net holds are not of the kind its header says.
    """
    swin = getattr(network, "network", network)
    if isinstance(swin, SwinUNet):
        kind = told_by_values(swin.state_dict()).get("mask", swin.mask)
        if kind != swin.mask:
            raise BadInput(
                f"the network holds {kind} masks of shifted windows and its header says {swin.mask}",
                do="Import the released file again.",
            )
    table = checkpoint["process"]
    process = from_table(table["name"], table["settings"])
    kind = LatentPrior if getattr(network, "autoencoder", None) is not None else ReleasedPrior
    return kind(network, process, marks=int(checkpoint.get("marks", 0)))
