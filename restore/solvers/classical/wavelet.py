"""Sparse wavelet reconstruction by FISTA.

Beck, Teboulle 2009, "A Fast Iterative Shrinkage-Thresholding Algorithm for Linear Inverse Problems",
doi:10.1137/080716542; for wavelets Daubechies, Defrise, De Mol 2004, doi:10.1002/cpa.20042.

    min_c 1/2 |A W^T c - y|^2 + w |details of c|_1,   W an orthonormal wavelet transform, x = W^T c
    c <- soft(v - (1 / |A|^2) W A^H (A W^T v - y), w / |A|^2),   v = c + momentum (c - c_previous)

The threshold comes down in stages, each begun where the last one ended. weight None: the discrepancy principle chooses
w. Pictures whose sides 2^levels does not divide are continued beyond the border, where nothing is observed.
Any linear operator, real or complex pictures, Gaussian noise or its stand-in, sigma 0 included. No network.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from operators.common.randomness import Noise
from operators.common.settings import NotNegative, Steps
from priors.regularisers.wavelet import Family, Wavelets, soft_threshold

from ..base import Mean, Solver, State
from ..parts.discrepancy import Search, over_pixels, per_picture
from ..parts.start import start_estimate

if TYPE_CHECKING:
    from priors.base import DiffusionPrior

    from ...problem import Problem


@dataclass(frozen=True)
class Wavelet(Solver):
    """Sparse wavelet coefficients. Weights are in units of |A|^2 times the picture."""

    draws: ClassVar[bool] = False
    needs_prior: ClassVar[bool] = False

    weight: Annotated[NotNegative | None, "w above; none: by the discrepancy principle"] = None
    noise_free_weight: Annotated[NotNegative, "w where sigma is 0, relative to the largest detail"] = 1e-3
    family: Family = "db4"
    levels: Annotated[Steps, "most levels"] = 4
    steps: Annotated[Steps, "most stages"] = 10
    iterations: Annotated[Steps, "FISTA iterations in a stage"] = 15

    def iterate(self, problem: Problem, prior: DiffusionPrior | None, noise: Noise) -> Iterator[State]:
        frame = Frame(problem.operator.input_shape, self.family, self.levels)
        bound = max(problem.linear.norm() ** 2, 1e-12)
        x = start_estimate(problem)
        c = frame.analysis(x)
        largest = (frame.details(c) * c.abs()).flatten(1).amax(1).double().cpu().clamp_min(1e-12)
        fixed = self.weight is not None or problem.sigma == 0
        search = Search(problem, first=0.1, fixed=fixed, steps=self.steps)
        strengths = self._stages(largest, bound) if fixed else iter(search)
        for step, strength in enumerate(strengths):
            further = self._stage(problem, frame, c, per_picture(strength * largest, c), bound)
            # A picture whose strength fits keeps its coefficients, however long its neighbours go on.
            c = torch.where(over_pixels(search.searching, c).to(c.device), further, c)
            x = frame.synthesis(c)
            search.tell(x)
            yield State(x=x, x0=x, estimate=x, step=step, info={"weight": Mean(strength * largest * bound)})

    def _stages(self, largest: Tensor, bound: float) -> Iterator[Tensor]:
        """Thresholds relative to the largest detail, from a tenth of it (or more) down to the one asked for."""
        relative = torch.full_like(largest, self.noise_free_weight)
        target = relative if self.weight is None else self.weight / (bound * largest)
        first = target.clamp_min(0.1)
        floor = target.clamp_min(1e-12)
        for stage in range(1, self.steps):
            yield first * (floor / first) ** (stage / self.steps)
        yield target

    def _stage(self, problem: Problem, frame: Frame, c: Tensor, threshold: Tensor, bound: float) -> Tensor:
        """`iterations` of FISTA from c; threshold: w / |A|^2 for each picture."""
        shrink = threshold * frame.details(c)
        ahead, momentum = c, 1.0
        for _ in range(self.iterations):
            pull = problem.linear.adjoint(problem.residual(frame.synthesis(ahead)))
            previous, c = c, soft_threshold(ahead + frame.embed(pull) / bound, shrink)
            following = (1 + math.sqrt(1 + 4 * momentum**2)) / 2
            ahead = c + (momentum - 1) / following * (c - previous)
            momentum = following
        return c


class Frame:
    """x = crop(W^T c) for pictures of any size: coefficients live on a grid that 2^levels divides."""

    def __init__(self, shape: tuple[int, ...], family: str, levels: int) -> None:
        self.shape = shape
        height, width = shape[-2:]
        fitting = max(1, min(levels, int(math.log2(max(min(height, width), 2)))))
        self.wavelets = Wavelets(family, fitting)
        self.padding = (0, -width % 2**fitting, 0, -height % 2**fitting)

    def analysis(self, x: Tensor) -> Tensor:
        """Coefficients of x, continued by its border pixels (B x channels x H' x W')."""
        flat = self._planes(x)
        if x.is_complex():
            return self.wavelets.forward(
                torch.complex(*(F.pad(p, self.padding, "replicate") for p in (flat.real, flat.imag)))
            )
        return self.wavelets.forward(F.pad(flat, self.padding, mode="replicate"))

    def embed(self, x: Tensor) -> Tensor:
        """The adjoint of `synthesis`: coefficients of x continued by zeros."""
        return self.wavelets.forward(F.pad(self._planes(x), self.padding))

    def synthesis(self, c: Tensor) -> Tensor:
        """The picture of coefficients (B x shape)."""
        height, width = self.shape[-2:]
        return self.wavelets.inverse(c)[..., :height, :width].reshape(c.shape[0], *self.shape)

    def details(self, c: Tensor) -> Tensor:
        """1 at detail coefficients, 0 at coarse ones (H' x W')."""
        return self.wavelets.details(c.shape[-2:]).to(device=c.device, dtype=c.real.dtype)

    @staticmethod
    def _planes(x: Tensor) -> Tensor:
        return x.flatten(1, -3) if x.ndim > 3 else x[:, None]
