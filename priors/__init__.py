"""What is known about a picture before it is measured. `priors.load("natural")` gives the embedded diffusion prior."""

from __future__ import annotations

from typing import Any

import lazy_loader

from operators.common.registry import Entry

from .files.store import PriorRegistry, ShippedEntry

REGISTRY = PriorRegistry(
    "prior",
    {
        "natural": Entry(
            "priors.files.embedded:natural",
            "photographs, RGB or gray, any size; trained here, works offline",
            "EDM preconditioning: Karras et al. 2022, arXiv 2206.00364",
        ),
        "natural-low": ShippedEntry(
            "natural-low",
            "photographs under noise of at most half their range; the part of natural that serves it",
            "EDM preconditioning: Karras et al. 2022, arXiv 2206.00364",
        ),
        "natural-free": ShippedEntry(
            "natural-free",
            "photographs, from drawn pictures and CC0 or public-domain photographs alone; clean licences",
            "EDM preconditioning: Karras et al. 2022, arXiv 2206.00364",
        ),
        "latent": ShippedEntry(
            "latent",
            "photographs as latents on a grid four times coarser: a small autoencoder and diffusion; for stsl, psld",
            "Latent diffusion: Rombach et al. 2022, arXiv 2112.10752",
        ),
        "tokens": ShippedEntry(
            "tokens",
            "photographs as tokens of 4 x 4 pixels, RGB or gray, any size; solver aps",
            "Masked diffusion: Sahoo et al. 2024, arXiv 2406.07524; codes: Mentzer et al. 2023, arXiv 2309.15505",
        ),
        "regression-sr4x": ShippedEntry("regression-sr4x", "super-resolution by 4 in one call; the control"),
        "rddm-sr4x": ShippedEntry(
            "rddm-sr4x",
            "super-resolution by 4, RDDM in any number of steps",
            "Process: Liu et al. 2024, arXiv 2308.13712",
        ),
        "ir-sde-sr4x": ShippedEntry(
            "ir-sde-sr4x",
            "super-resolution by 4, IR-SDE; solvers mrs and ir-sde",
            "Process: Luo et al. 2023, arXiv 2301.11699",
        ),
        "resfusion-sr4x": ShippedEntry(
            "resfusion-sr4x",
            "super-resolution by 4, Resfusion's five steps",
            "Process: Shi et al. 2024, arXiv 2311.14900",
        ),
        "resshift-sr4x": ShippedEntry(
            "resshift-sr4x",
            "super-resolution by 4, ResShift's four steps",
            "Process: Yue, Wang, Loy 2023, arXiv 2307.12348",
        ),
        "noise2score": Entry(
            "priors.selfsupervised.noise2score:NoisyScore",
            "the score of the noisy pictures at hand; learns from the measurement",
            "Kim, Ye 2021, arXiv 2106.07009",
        ),
        "noise2void": Entry(
            "priors.selfsupervised.blindspot:HiddenPixels",
            "pixels hidden in the input and predicted; learns from the measurement",
            "Krull, Buchholz, Jug 2019, arXiv 1811.10980",
        ),
        "ap-bsn": Entry(
            "priors.selfsupervised.blindspot:ShuffledBlindSpot",
            "a blind-spot network on pixel-shuffled pictures; learns from the measurement",
            "Lee, Son, Lee 2022, arXiv 2203.11799",
        ),
        "c-bsn": Entry(
            "priors.selfsupervised.blindspot:ConditionalBlindSpot",
            "a network that is blind or not with one set of weights; learns from the measurement",
            "Jang et al. 2023, arXiv 2304.09507",
        ),
        "sdap": Entry(
            "priors.selfsupervised.blindspot:SubSampledBlindSpot",
            "a blind-spot network on random sub-samples; learns from the measurement",
            "Pan et al. 2023, arXiv 2307.16825",
        ),
    },
)

_own, _, _LAZY = lazy_loader.attach(
    __name__,
    {"residual", "schedules"},
    {
        "base": ["DiffusionPrior", "Prior"],
        "diffusion.edm": ["EDMPrior"],
        "diffusion.wrapped": ["wrap"],
        "analytic.gaussian_mixture": ["GaussianMixture"],
        "discrete.masked": ["MaskedPrior"],
        "residual.prior": ["ResidualPrior"],
        "files.loading": ["load"],
    },
)

__all__ = ["REGISTRY", "Gaussian", *_LAZY]


def __getattr__(name: str) -> Any:
    if name == "Gaussian":  # beside the noise law of that name the class is GaussianPrior
        from .analytic.gaussian import GaussianPrior

        return GaussianPrior
    return _own(name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
