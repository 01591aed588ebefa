"""Distances between sets of pictures, on features of a network: FID and KID. They say nothing about one picture.

M. Heusel et al. 2017, arXiv 1706.08500 (FID); M. Binkowski et al. 2018, arXiv 1801.01401 (KID). A covariance of 2048
features from fewer pictures is singular and FID then mostly measures the number of pictures, so it is refused; KID is
unbiased for any number.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from operators.common.errors import BadInput, Unavailable, import_extra

KID_LEAST = 50
FEATURES = 2048  # of the network of the FID paper


def fid(one: Tensor, other: Tensor) -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) of features N x D and M x D (float64 inside).

    BadInput where a set has no more pictures than features.
    """
    one, other = _features(one, other)
    for features in (one, other):
        if len(features) <= features.shape[1]:
            raise BadInput(
                f"{len(features)} pictures for {features.shape[1]} features",
                wanted=f"more than {features.shape[1]} for an FID that means something",
                do="Use kid, which is unbiased for any number.",
            )
    means, covariances = zip(*((f.mean(0), torch.cov(f.T)) for f in (one, other)), strict=True)
    # tr (C1 C2)^(1/2) = sum of the square roots of the eigenvalues of C1^(1/2) C2 C1^(1/2), which is symmetric.
    values, vectors = torch.linalg.eigh(covariances[0])
    root = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
    cross = torch.linalg.eigvalsh(root @ covariances[1] @ root).clamp_min(0).sqrt().sum()
    trace = torch.trace(covariances[0]) + torch.trace(covariances[1]) - 2 * cross
    return float((means[0] - means[1]).square().sum() + trace)


def kid(one: Tensor, other: Tensor) -> float:
    """Unbiased squared maximum mean discrepancy under the kernel (x.y / D + 1)^3, features N x D and M x D.

    Over all pictures at once, not over random subsets: nothing is drawn. BadInput for fewer than KID_LEAST pictures.
    """
    one, other = _features(one, other)
    n, m, width = len(one), len(other), one.shape[1]
    if min(n, m) < KID_LEAST:
        raise BadInput(f"{min(n, m)} pictures", wanted=f"at least {KID_LEAST} for kid")

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b.T / width + 1) ** 3

    own, others = kernel(one, one), kernel(other, other)
    within = (own.sum() - own.trace()) / (n * (n - 1)) + (others.sum() - others.trace()) / (m * (m - 1))
    return float(within - 2 * kernel(one, other).mean())


def inception_features(pictures: Iterable[Tensor]) -> Tensor:
    """Features N x 2048 of pictures (each 3 x H x W in [0, 1]) by the network of the FID paper, through piq.

    Unavailable where its weights cannot be had.
    """
    import_extra("piq", do="Reinstall piq.")
    network = _inception()
    with torch.inference_mode():
        listed = [network(picture[None].float())[0].flatten(1) for picture in pictures]
    if not listed:
        raise BadInput("no pictures to take features of")
    return torch.cat(listed)


def _inception() -> Any:
    try:
        from piq.feature_extractors import InceptionV3

        with torch.random.fork_rng(devices=[]):
            return InceptionV3(output_blocks=[3], normalize_input=True).eval()
    except Exception as error:
        raise Unavailable(
            f"the Inception weights of FID and KID are not here ({type(error).__name__})",
            do="Connect to the network once, so that piq can load them into torch.hub's cache.",
        ) from error


def _features(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    if one.ndim != 2 or other.ndim != 2 or one.shape[1] != other.shape[1]:
        raise BadInput(f"features of shape {tuple(one.shape)} and {tuple(other.shape)}", wanted="N x D and M x D")
    return one.double(), other.double()
