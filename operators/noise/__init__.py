"""Noise laws: y given the clean measurement z = A(x). `noise.build("gaussian", sigma=0.1)` makes one by name."""

from __future__ import annotations

from typing import Any

import lazy_loader

from ..common.registry import Entry, Registry
from .base import NoiseModel

REGISTRY = Registry(
    "noise",
    {
        "gaussian": Entry("operators.noise.gaussian:Gaussian", "y = z + sigma n"),
        "poisson": Entry("operators.noise.poisson:Poisson", "photon counts scaled back: y = Poisson(peak z) / peak"),
        "poisson-gaussian": Entry(
            "operators.noise.poisson_gaussian:PoissonGaussian",
            "photon counts and read-out noise: y = Poisson(peak z) / peak + sigma n",
            "A. Foi et al. 2008, doi:10.1109/TIP.2008.2001399",
        ),
        "gamma": Entry(
            "operators.noise.gamma:Gamma",
            "multiplicative speckle of L looks: y = z g, g ~ Gamma(L, 1 / L)",
            "J. Goodman 1976, doi:10.1364/JOSA.66.001145",
        ),
        "rician": Entry(
            "operators.noise.rician:Rician",
            "magnitude of complex Gaussian data: y = |z + sigma (n1 + i n2)|",
            "H. Gudbjartsson, S. Patz 1995, doi:10.1002/mrm.1910340618",
        ),
        "laplace": Entry("operators.noise.laplace:Laplace", "heavy tails: y = z + n, n of density exp(-|n| / b) / 2b"),
        "quantised": Entry(
            "operators.noise.quantised:Quantised",
            "noise, then rounding to 2^bits levels in [0, 1]; saturated pixels have a one-sided likelihood",
            "A. Zymnis, S. Boyd, E. Candes 2010, doi:10.1109/LSP.2009.2035667",
        ),
        "salt-and-pepper": Entry(
            "operators.noise.salt_and_pepper:SaltAndPepper", "a share of the pixels replaced by black or white"
        ),
        "transmission": Entry(
            "operators.noise.transmission:Transmission",
            "X-ray counts after the logarithm: y = -log(Poisson(photons exp(-z)) / photons)",
            "J. Fessler 2000, ISBN 978-0819436221",
        ),
    },
)

__getattr__, _, _LAZY = lazy_loader.attach(
    __name__,
    submod_attrs={
        "gaussian": ["Gaussian"],
        "poisson": ["Poisson"],
        "poisson_gaussian": ["PoissonGaussian"],
        "gamma": ["Gamma"],
        "transmission": ["Transmission"],
        "laplace": ["Laplace"],
        "quantised": ["Quantised"],
        "rician": ["Rician"],
        "salt_and_pepper": ["SaltAndPepper"],
    },
)

__all__ = ["REGISTRY", "NoiseModel", "build", *_LAZY]


def build(name: str, **parameters: Any) -> NoiseModel:
    """A noise model by its registry name; BadInput or BadType with a suggestion for an unknown name or parameter."""
    model: NoiseModel = REGISTRY.build(name, **parameters)
    return model


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
