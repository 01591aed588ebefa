"""Networks that learned from noisy pictures, kept as files that `--prior` takes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from operators.common.errors import BadInput
from operators.common.registry import Entry, Registry

from ..base import Prior
from ..files.checkpoints import save_network
from .prior import SelfSupervisedPrior

METHODS = Registry(
    "self-supervised method",
    {
        "noise2score": Entry("priors.selfsupervised.noise2score:NoisyScore", "the score of noisy pictures"),
        "noise2void": Entry("priors.selfsupervised.blindspot:HiddenPixels", "pixels hidden in the input and predicted"),
        "ap-bsn": Entry("priors.selfsupervised.blindspot:ShuffledBlindSpot", "blind spot, pixel-shuffled pictures"),
        "c-bsn": Entry(
            "priors.selfsupervised.blindspot:ConditionalBlindSpot",
            "blind or seeing, one set of weights",
        ),
        "sdap": Entry("priors.selfsupervised.blindspot:SubSampledBlindSpot", "blind spot, random sub-samples"),
    },
)


def keep(path: Path, prior: Prior, *, trained_on: str = "") -> None:
    """Write a trained prior to a safetensors file (float32, whole or not at all).

    trained_on: a word on the pictures, kept in the header. BadInput for a prior that has not learned, or is of another
    kind.
    """
    if not isinstance(prior, SelfSupervisedPrior) or prior.network is None:
        raise BadInput(
            f"prior {prior.name or type(prior).__name__!r} has learned nothing from this measurement",
            do="Keep that of a solver that trains on it, such as noise2score.",
        )
    channels = int(prior.about[0])
    save_network(
        path,
        prior.network,
        architecture=prior.architecture,
        settings=prior.network_settings(channels),
        preconditioning=prior.preconditioning(),
        notes={"trained_on": trained_on},
        dtype=torch.float32,
    )


def from_settings(network: nn.Module, checkpoint: Mapping[str, Any]) -> SelfSupervisedPrior:
    """The trained prior of a stored network: `method`, its `settings`, `channels`, `shift` and `scale`."""
    prior: SelfSupervisedPrior = METHODS.build(checkpoint["method"], **checkpoint["settings"])
    return prior.around(network, int(checkpoint["channels"]), float(checkpoint["shift"]), float(checkpoint["scale"]))
