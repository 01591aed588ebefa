"""A wider network that begins as the function of a narrower one (Chen, Goodfellow, Shlens 2016, arXiv 1511.05641).

Old channels keep their place in front. What they are computed from new channels is zero at the start, so that the
output is unchanged; new channels start as in a fresh network and are read as training finds them useful.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from operators.common.errors import BadInput

STACKED = {"modulation": 2}  # parts of a tensor's first axis that widen each for itself: scale and shift of a block


@torch.no_grad()
def widen(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Give `network` the function of the narrower network of the same form whose state is `weights`, in place.

    BadInput for a tensor that is absent or does not fit into the wider one.
    """
    own = network.state_dict()
    wrong = sorted(set(own) ^ set(weights)) + sorted(
        k for k in set(own) & set(weights) if not _fits(weights[k], own[k])
    )
    if wrong:
        raise BadInput(
            f"the network cannot be widened: {', '.join(wrong[:5])}",
            wanted="a network of the same form and at least as wide",
        )
    for name, value in own.items():
        parts = next((count for key, count in STACKED.items() if key in name), 1)
        for wide, narrow in zip(value.chunk(parts), weights[name].chunk(parts), strict=True):
            _place(wide, narrow)


def _place(wide: Tensor, narrow: Tensor) -> None:
    """The narrow tensor into the leading block; old outputs (first axis) take nothing from new inputs (second axis)."""
    old = wide[: narrow.shape[0]]
    if narrow.ndim > 1:
        old[:, narrow.shape[1] :] = 0.0
        old = old[:, : narrow.shape[1]]
    old.copy_(narrow)


def _fits(narrow: Tensor, wide: Tensor) -> bool:
    """Whether every side is at most as long, and all but the first two (kernel sides) are equal."""
    return (
        narrow.ndim == wide.ndim
        and narrow.shape[2:] == wide.shape[2:]
        and all(a <= b for a, b in zip(narrow.shape, wide.shape, strict=True))
    )
