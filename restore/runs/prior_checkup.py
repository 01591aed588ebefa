"""Whether a denoiser behaves as the mean of a posterior, and whether pictures are those it knows.

The exact denoiser D(x) = E[x0 | x0 + sigma n = x] has a symmetric Jacobian J, and its mean squared error is
sigma^2 tr(J) / d (Manor, Michaeli 2024, arXiv 2309.13598). Both can be asked of a network without knowing its training
data: how far it is from symmetric says how far its score is from a gradient, and true over predicted error says how far
its error bars can be believed. No network is exact, so whether pictures are of its kind is told beside pictures that
are: where the errors that it does not predict are larger, they are not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

import priors
from operators import BadInput, NoiseSource, image_id
from priors.base import DiffusionPrior

from .. import io
from ..calibration.tweedie import asymmetry, differential
from .checkup import Finding

LEVELS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4)  # in picture units
PROBES = 2
MOST = 8  # pictures
SIDE = 96  # pixels of the middle of each that are looked at
WITHIN = 0.3  # relative difference of predicted and true error that a good denoiser keeps at most levels
CROOKED = 0.75  # asymmetry above which the score is far from a gradient: half of sqrt(2), which a shift has
STRANGE = 1.5  # times the true over predicted error of pictures of the prior's kind


@dataclass(frozen=True)
class LevelCheck:
    """What a prior does to a picture at one level. predicted, true: mean squared errors, in squared picture units."""

    sigma: float
    predicted: float
    true: float
    asymmetry: float

    @property
    def ratio(self) -> float:
        """True over predicted error: 1 for the exact denoiser of these pictures."""
        return self.true / self.predicted if self.predicted > 0 else math.inf


def examine_prior(name: str, input: Path | None, against: Path | None) -> list[Finding]:
    """Findings on a prior by name (or its file), over at most MOST pictures of `input`, beside those of `against`."""
    if input is None:
        raise BadInput("no pictures to look at", do="Give clean ones with --input.")
    prior = priors.load(name)
    if not isinstance(prior, DiffusionPrior):
        raise BadInput(f"{name} is no diffusion prior", do="Name one that denoises, such as natural.")
    known = () if against is None else check_levels(prior, _pictures(against))
    return findings(check_levels(prior, _pictures(input)), known)


def _pictures(place: Path) -> list[Tensor]:
    """The middles (1 x C x SIDE x SIDE at most) of the first pictures of a file or folder."""
    found = []
    for path in io.expand(place)[0][:MOST]:
        picture = io.read(path).data[None]
        high, wide = ((n - min(n, SIDE)) // 2 for n in picture.shape[-2:])
        found.append(picture[..., high : high + SIDE, wide : wide + SIDE])
    return found


def check_levels(
    prior: DiffusionPrior, pictures: Sequence[Tensor], *, levels: Sequence[float] = LEVELS, seed: int = 0
) -> list[LevelCheck]:
    """One row a level, over all pictures (each 1 x C x ..., in the prior's picture units, clean).

    BadInput without pictures, and for a prior that is no denoiser.
    """
    if not isinstance(prior, DiffusionPrior):
        raise BadInput(f"{type(prior).__name__} is no diffusion prior", do="Name one that denoises, such as natural.")
    if not pictures:
        raise BadInput("no pictures to look at", do="Give clean ones with --input.")
    return [_level(prior, pictures, sigma, seed) for sigma in levels]


def _level(prior: DiffusionPrior, pictures: Sequence[Tensor], sigma: float, seed: int) -> LevelCheck:
    predicted, true, crooked = 0.0, 0.0, 0.0
    with torch.inference_mode():
        for clean in pictures:
            source = NoiseSource(seed, [image_id(clean[0])])
            x = clean + sigma * source.normal("noise", like=clean)
            denoised = prior.denoise(x, sigma)
            jacobian = differential(lambda point: prior.denoise(point, sigma), x, sigma)
            trace = 0.0
            for _ in range(PROBES):
                probe = torch.where(source.normal("probe", like=x) < 0, -1.0, 1.0).to(x)
                trace += float((probe * jacobian(probe)).double().mean()) / PROBES
            predicted += sigma**2 * trace / len(pictures)
            true += float((denoised - clean).double().square().mean()) / len(pictures)
            crooked += asymmetry(jacobian, x) / len(pictures)
    return LevelCheck(sigma, predicted, true, crooked)


def findings(rows: Sequence[LevelCheck], against: Sequence[LevelCheck] = ()) -> list[Finding]:
    """The rows as lines, and verdicts in words. against: the rows of pictures of the prior's kind, same levels."""
    lines = [*(_line(row) for row in rows), _error_bars(rows), _symmetry(rows)]
    return [*lines, _domain(rows, against)] if against else lines


def _line(row: LevelCheck) -> Finding:
    errors = f"error {math.sqrt(row.true):.4g}, predicted {math.sqrt(max(row.predicted, 0)):.4g}"
    text = f"{errors} (squares differ by a factor {row.ratio:.2f}), asymmetry {row.asymmetry:.2f}"
    return Finding(f"sigma {row.sigma:g}", "ok" if abs(row.ratio - 1) <= WITHIN else "wrong", text)


def _error_bars(rows: Sequence[LevelCheck]) -> Finding:
    good = sum(abs(row.ratio - 1) <= WITHIN for row in rows)
    text = f"the squared error is predicted within {100 * WITHIN:.0f} % at {good} of {len(rows)} levels"
    return Finding("error bars", "ok" if 2 * good > len(rows) else "wrong", text)


def _symmetry(rows: Sequence[LevelCheck]) -> Finding:
    worst = max(row.asymmetry for row in rows)
    if worst <= CROOKED:
        return Finding("symmetry", "ok", f"|J - J^T| / |J| up to {worst:.2f} (0: the score is a gradient)")
    text = f"|J - J^T| / |J| up to {worst:.2f}: its score is far from a gradient, and error bars from it are rough"
    return Finding("symmetry", "wrong", text)


def _domain(rows: Sequence[LevelCheck], against: Sequence[LevelCheck]) -> Finding:
    ratios = sorted(row.ratio / max(known.ratio, 1e-12) for row, known in zip(rows, against, strict=True))
    middle = ratios[len(ratios) // 2]
    text = f"true over predicted error is {middle:.2f} times that of the pictures it is compared with"
    if middle > STRANGE:
        return Finding("domain", "wrong", f"{text}: these pictures are not of its kind")
    return Finding("domain", "ok", f"{text}: nothing says that these pictures are not of its kind")
