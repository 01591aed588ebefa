"""Priors that share the noise levels among them (Balaji et al. 2022, arXiv 2211.01324, calls them expert denoisers)."""

from __future__ import annotations

import torch
from torch import Tensor

from operators.common.errors import BadInput
from operators.common.settings import Positive

from ..base import DiffusionPrior, WrappedPrior


class ByLevel(WrappedPrior):
    """`low` below the noise level `border` (in native units), `high` from it on.

    A call costs what one of them costs: whole batches of one level go to one, mixed batches are split and put together
    again. Units, range, channels and schedule are those of `high`, which `low` must share; BadInput where it does not.
    """

    def __init__(self, low: DiffusionPrior, high: DiffusionPrior, *, border: Positive) -> None:
        super().__init__(high)
        for name in ("space", "native_clip", "channels"):
            if getattr(low, name) != getattr(high, name):
                raise BadInput(
                    f"{name} is {getattr(low, name)} below and {getattr(high, name)} above", wanted="equal ones"
                )
        self.low, self.border = low, float(border)

    def denoise_native(self, z: Tensor, sigma: Tensor) -> Tensor:
        below = sigma < self.border
        if bool(below.all()):
            return self.low.denoise_native(z, sigma)
        if not bool(below.any()):
            return self.prior.denoise_native(z, sigma)
        order = torch.cat([below.nonzero()[:, 0], (~below).nonzero()[:, 0]])
        parts = [p.denoise_native(z[at], sigma[at]) for p, at in ((self.low, below), (self.prior, ~below))]
        return torch.cat(parts)[order.argsort()]
