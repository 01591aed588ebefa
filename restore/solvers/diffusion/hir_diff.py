"""HIR-Diff: a hyperspectral picture restored through three of its bands, by a prior of colour pictures.

Pang, Rui, Cui, Wang, Meng, Cao 2024, "HIR-Diff: Unsupervised Hyperspectral Image Restoration Via Improved Diffusion
Models", CVPR, arXiv 2402.15865 (algorithm 1), repository LiPang/HIRDiff. The picture is X = E a, a its three bands
chosen by a strong rank-revealing QR of the leading singular vectors of a first picture, so that E is the identity on
them and no entry exceeds 1.2. On the exponential schedule, from one visited time to the next (alpha', sigma'):

    a0 = E[a | a_t], clipped;   a' = alpha' a0 + sigma' (a_t - alpha a0) / sigma                   (DDIM, equation 15)
    a  = a' - grad_{a_t} L,     L = eta1 |y - A E a0|^2 / n + eta2 TV(E a0) / n                     (equation 13)

TV is the sum of absolute circular differences along rows, columns and bands, n the numbers of the picture (of the
measurement where entries are missing); values in [0, 1]. Rule "loss" has these strengths, which belong to one size.
Rule "bayes" (default) takes k grad |y - A E a0|^2 / 2 with k of `dps`, rule "variance", |A|^2 |E|^2 for its gain.

The first picture is that of `start` (the release: y itself). Pictures of at most three bands are not reduced. The
release keeps, over all steps, the picture nearest to the truth; ours is the last one, and its schedule begins at
alpha^2 = 0.325 from pure noise, ours from the first picture.

Linear operators, Gaussian noise or its stand-in. Cost: `steps` network calls, each with one backward pass.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from operators import BadInput
from operators.common.randomness import Noise
from operators.common.settings import NotNegative, Positive, Range
from operators.common.space import Affine

from ..base import Solver, State, expect_prior
from ..parts.bands import mixture
from ..parts.reverse import in_range
from ..parts.start import Start, start_picture

if TYPE_CHECKING:
    from priors.base import DiffusionPrior

    from ...problem import Problem

RANK = 3
TIMES = 1000


@dataclass(frozen=True)
class HIRDiff(Solver):
    """HIR-Diff. Published values: preset "paper" (denoising, sigma 50/255)."""

    differentiates: ClassVar[bool] = True
    prior_channels: ClassVar[int | None] = RANK
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {"steps": 20, "rule": "loss", "eta1": 16.0 * 16384, "eta2": 10.0 * 512, "bend": 8.0, "highest": 950}
    }

    steps: Annotated[int, Range(1, TIMES), "times visited, network calls"] = 20
    rule: Annotated[Literal["bayes", "loss"], "what scales the guidance; loss: as published"] = "bayes"
    zeta: Annotated[NotNegative, "strength of rule bayes; 1: Bayes' rule"] = 1.0
    eta1: Annotated[NotNegative, "weight of the data in rule loss (published 500 to 16 times 16384)"] = 262144.0
    eta2: Annotated[NotNegative, "weight of total variation in rule loss (published 6 to 12 times 512)"] = 5120.0
    prior_std: Annotated[Positive, "standard deviation of pictures in native units, for rule bayes"] = 0.5
    bend: Annotated[Positive, "k of the exponential schedule (published 8; 5 for inpainting)"] = 8.0
    highest: Annotated[int, Range(0, TIMES - 1), "where it begins (published 950)"] = 800
    start: Start = "estimate"

    def alpha_bars(self) -> np.ndarray:
        """alpha^2 at j = 0 ... 1000; the first is the clean picture."""
        rising = 1 - np.exp(-self.bend * np.arange(TIMES + 1) / TIMES)
        falling = rising[::-1]
        scaled = (falling - falling.min()) / (falling.max() - falling.min())
        return scaled * (1 - 1e-3) + 1e-3  # type: ignore[no-any-return]

    def indices(self) -> list[int]:
        """Indices into `alpha_bars`, falling; the clean picture follows the last."""
        return sorted({round(j) + 1 for j in np.linspace(self.highest, 0, self.steps)}, reverse=True)

    def iterate(self, problem: Problem, prior: DiffusionPrior | None, noise: Noise) -> Iterator[State]:
        prior = expect_prior(prior, self)
        if problem.y.is_complex() or problem.linear.complex_input or len(problem.operator.input_shape) != 3:
            raise BadInput("hir-diff works on real pictures of bands x rows x columns", do="Choose tv or diffpir.")
        whole = start_picture(problem, self.start)
        mixing, offset, first = reduced(problem, whole)
        gain = problem.linear.norm() ** 2
        power = gain * torch.linalg.matrix_norm(mixing, 2).square()
        alpha_bars = self.alpha_bars()
        visited = [float(alpha_bars[j]) for j in self.indices()]
        a = math.sqrt(visited[0]) * first + math.sqrt(1 - visited[0]) * noise.normal("start", like=first)
        for step, (now, following) in enumerate(zip(visited, [*visited[1:], 1.0], strict=True)):
            alpha, sigma = math.sqrt(now), math.sqrt(1 - now)
            with torch.enable_grad():
                point = a.detach().requires_grad_()
                a0 = in_range(prior, prior.denoise(point / alpha, sigma / alpha))
                picture = mixed(mixing, a0) + offset
                cost = self.cost(problem, picture)
                slope = torch.autograd.grad(cost.sum(), point)[0]
            a0 = a0.detach()
            ahead = math.sqrt(1 - following) / sigma
            of_x0 = math.sqrt(following) - ahead * alpha
            weight: float | Tensor = 1.0
            if self.rule == "bayes":
                level = sigma / alpha
                open_ = (level * self.prior_std) ** 2 / (level**2 + self.prior_std**2)
                left = (problem.sigma**2 + power * open_).clamp_min(1e-12)
                weight = (self.zeta * of_x0 * sigma * level / left).reshape(-1, 1, 1, 1)
            a = of_x0 * a0 + ahead * a - weight * slope
            shown = in_range(prior, a) if following == 1.0 else a0
            states = [mixed(mixing, v) + offset for v in (a, a0, shown)]
            level = math.sqrt((1 - following) / following)
            yield State(x=states[0], x0=states[1], estimate=states[2], step=step, sigma=level)

    def cost(self, problem: Problem, picture: Tensor) -> Tensor:
        """What is descended, for each picture (B): |y - A X|^2 / 2, or L of the box above."""
        square = (problem.residual(picture) ** 2).flatten(1).sum(1)
        if self.rule == "bayes":
            return square / 2
        scale = problem.scale  # of native values in [0, 1]
        missing = problem.operator.observed is not None
        count = problem.observed_count if missing else math.prod(picture.shape[1:])
        return self.eta1 * scale**2 * square / max(count, 1) + self.eta2 * scale * _variation(picture, opened=missing)


def reduced(problem: Problem, whole: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """E (B x C x 3), the offset it leaves in native units (B x C x 1 x 1), and the three bands of each picture."""
    space = problem.space
    shift, scale = (space.shift, space.scale) if isinstance(space, Affine) else (0.0, 1.0)
    rank = min(RANK, whole.shape[1])
    if not len(whole):
        none = whole.new_zeros(0, whole.shape[1], rank)
        return none, none[..., :1, None], whole[:, :rank]
    found = [mixture(shift + scale * picture, rank) for picture in whole]
    mixing = torch.stack([e for _, e in found])
    # X = E a in units where black is 0: shift + scale x = E (shift + scale a).
    offset = (shift / scale * (mixing.sum(2) - 1))[..., None, None]
    return mixing, offset, torch.stack([p[bands] for p, (bands, _) in zip(whole, found, strict=True)])


def mixed(mixing: Tensor, a: Tensor) -> Tensor:
    """E a."""
    return torch.einsum("bcr,brhw->bchw", mixing, a)


def _variation(picture: Tensor, *, opened: bool) -> Tensor:
    """Absolute differences along bands, rows and columns (B): circular by all numbers, or open by their own counts."""
    if not opened:
        return torch.stack([(picture.roll(-1, d) - picture).abs().flatten(1).sum(1) for d in (1, 2, 3)]).sum(
            0
        ) / math.prod(picture.shape[1:])
    parts = [picture.diff(dim=d).abs().flatten(1) for d in (1, 2, 3)]
    return torch.stack([p.sum(1) / max(p.shape[1], 1) for p in parts]).sum(0)
