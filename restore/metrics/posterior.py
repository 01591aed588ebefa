"""Is the spread of posterior samples honest? Coverage of central intervals, ranked probability and energy scores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor

from operators.common.errors import BadInput
from operators.common.settings import Range

from .base import Metric
from .checks import check_pair
from .convention import Option
from .directions import Measure
from .evidence import Evidence, Need


@dataclass(frozen=True)
class Coverage(Metric):
    """Share of pixels whose truth lies in the central interval of the samples."""

    FAMILY: ClassVar[str] = "coverage"
    NEEDS: ClassVar[tuple[Need, ...]] = ("truth", "samples")
    OPTIONS: ClassVar[tuple[Option, ...]] = (Option("level", number=float),)

    level: Annotated[float, Range(above=0, below=100), "of the interval, in percent"] = 90.0

    @property
    def name(self) -> str:
        return f"{self.FAMILY}[{self.level:.15g}]"

    @property
    def measure(self) -> Measure:
        return Measure(target=self.level / 100)

    def of(self, evidence: Evidence) -> Tensor:
        return coverage(*evidence.drawn(), self.level / 100)


@dataclass(frozen=True)
class CRPS(Metric):
    """Continuous ranked probability score of the samples, mean over pixels, in the picture's units."""

    FAMILY: ClassVar[str] = "crps"
    NEEDS: ClassVar[tuple[Need, ...]] = ("truth", "samples")
    OPTIONS: ClassVar[tuple[Option, ...]] = (Option("space", words=("any",)),)

    space: Annotated[Literal["any"], "values as they are"] = "any"

    def of(self, evidence: Evidence) -> Tensor:
        return crps(*evidence.drawn())


@dataclass(frozen=True)
class Energy(Metric):
    """Energy score of the samples: like CRPS, but of whole pictures, by the root mean square over their pixels."""

    FAMILY: ClassVar[str] = "energy"
    NEEDS: ClassVar[tuple[Need, ...]] = ("truth", "samples")
    OPTIONS: ClassVar[tuple[Option, ...]] = (Option("space", words=("any",)),)

    space: Annotated[Literal["any"], "values as they are"] = "any"

    def of(self, evidence: Evidence) -> Tensor:
        return energy_score(*evidence.drawn())


def coverage(samples: Tensor, truth: Tensor, level: float, *, where: Tensor | None = None) -> Tensor:
    """Share of pixels whose truth lies in the central `level` interval of the samples, B numbers in float64.

    samples: S x B x C x H x W, S >= 2, real or complex (parts count apart). truth: B x C x H x W. level: in (0, 1), 0.9
    for the 90 % interval. where: boolean, broadcastable to the truth; only these pixels count (the unobserved, say).

    The interval is mean +- t sqrt(1 + 1/S) std, t the quantile of Student's law with S - 1 degrees of freedom: if the
    truth is one more draw from the samples' law and that law is Gaussian, it holds the truth with probability `level`
    exactly, for any S. Empirical quantiles of a handful of samples, or mean +- z std, promise less than they say.
    """
    from scipy.stats import t as student

    if not 0 < level < 1:
        raise BadInput(f"coverage level {level!r}", wanted="a number between 0 and 1, such as 0.9")
    drawn, target = _prepare(samples, truth, least=2)
    count = drawn.shape[0]
    half = float(student.ppf((1 + level) / 2, count - 1)) * math.sqrt(1 + 1 / count) * drawn.std(dim=0, correction=1)
    # Pixels that every sample agrees on (observed ones) may differ from the truth by float32 rounding.
    rounding = 1e-6 * (1 + target.abs())
    inside = ((target - drawn.mean(dim=0)).abs() <= half + rounding).double()
    return _mean_where(inside, truth, where)


def coverages(
    samples: Tensor, truth: Tensor, *, levels: Sequence[int] = (50, 90), where: Tensor | None = None
) -> dict[str, float]:
    """Coverage at levels in percent, mean over the batch: `{"50": 0.49, "90": 0.91}`."""
    return {str(level): float(coverage(samples, truth, level / 100, where=where).mean()) for level in levels}


def crps(samples: Tensor, truth: Tensor, *, where: Tensor | None = None) -> Tensor:
    """Continuous ranked probability score, mean over pixels (B, float64), in the picture's units; less is better.

    mean_i |x_i - y| - sum_{i<j} |x_i - x_j| / (S (S - 1)): the "fair" estimate, unbiased for any number of samples
    (C. Ferro 2014, doi:10.1002/qj.2270). With one sample it is the absolute error. Shapes as for `coverage`, S >= 1.
    """
    drawn, target = _prepare(samples, truth, least=1)
    count = drawn.shape[0]
    score = (drawn - target).abs().mean(dim=0)
    if count > 1:
        # Sorted, the sum of pairwise distances is a weighted sum: S log S instead of S^2 work.
        ranks = 2 * torch.arange(1, count + 1, dtype=torch.float64, device=drawn.device) - count - 1
        spread = torch.tensordot(ranks, drawn.sort(dim=0).values, dims=([0], [0]))
        score = score - spread / (count * (count - 1))
    return _mean_where(score, truth, where)


def energy_score(samples: Tensor, truth: Tensor) -> Tensor:
    """mean_i |x_i - y| - sum_{i<j} |x_i - x_j| / (S (S - 1)), |.| the root mean square over pixels (B, float64).

    Gneiting, Raftery 2007, doi:10.1198/016214506000001437, in its fair form, unbiased for any number of samples; less
    is better. In many dimensions it hardly sees how pixels hang together: CRPS beside it tells more. Shapes as for
    `coverage`, S >= 2.
    """
    drawn, target = _prepare(samples, truth, least=2)
    count, pixels = drawn.shape[0], target[0].numel()
    flat = drawn.flatten(2).transpose(0, 1)  # B x S x pixels
    distance = (flat - target.flatten(1)[:, None]).norm(dim=-1).mean(1)
    apart = torch.cdist(flat, flat, compute_mode="donot_use_mm_for_euclid_dist").sum((1, 2)) / 2
    return (distance - apart / (count * (count - 1))) / math.sqrt(pixels)


def _prepare(samples: Tensor, truth: Tensor, *, least: int) -> tuple[Tensor, Tensor]:
    """Both on the CPU in float64, complex numbers as a last axis of two."""
    if samples.ndim != truth.ndim + 1 or samples.shape[1:] != truth.shape:
        raise BadInput(
            f"samples have shape {tuple(samples.shape)}", wanted=f"S x {tuple(truth.shape)}, the shape of the truth"
        )
    if samples.shape[0] < least:
        raise BadInput(f"{samples.shape[0]} samples", wanted=f"{least} or more", do="Run with --samples 2 or more.")
    for sample in samples:
        check_pair(sample, truth)
    drawn, target = samples.detach(), truth.detach()
    if target.is_complex():
        drawn, target = torch.view_as_real(drawn), torch.view_as_real(target)
    return drawn.to(device="cpu", dtype=torch.float64), target.to(device="cpu", dtype=torch.float64)


def _mean_where(x: Tensor, truth: Tensor, where: Tensor | None) -> Tensor:
    """Mean of each batch entry over the pixels that count."""
    if where is None:
        return x.flatten(1).mean(1)
    try:
        counted = where.to("cpu").expand(truth.shape)
    except RuntimeError as error:
        raise BadInput(
            f"where has shape {tuple(where.shape)}", wanted=f"broadcastable to {tuple(truth.shape)}"
        ) from error
    weights = counted.reshape(counted.shape + (1,) * (x.ndim - counted.ndim)).expand(x.shape).to(x.dtype)
    counts = weights.flatten(1).sum(1)
    if bool((counts == 0).any()):
        raise BadInput("`where` leaves no pixel to count")
    return (x * weights).flatten(1).sum(1) / counts
