"""PSLD: posterior sampling with latent diffusion, the measurement met and the latent glued at every step.

Rout, Raoof, Daras, Caramanis, Dimakis, Shakkottai 2023, "Solving Linear Inverse Problems Provably via Posterior
Sampling with Latent Diffusion Models", arXiv 2307.00619, repository LituRout/PSLD. For t down to the end, with the
noise prediction e(z_t), encoder E and decoder D:

    z0 = (z_t - sigma_t e) / alpha_t                                                          (Tweedie)
    z' = alpha_u z0 + c1 n + c2 e                                                             (DDIM, eta)
    z_u = z' - omega grad |y - A D(z0)| - gamma grad |E(D(z0) + A^+ (y - A D(z0))) - z0|      (gradients at z_t)

The second gradient is the gluing objective of the paper: of all latents that explain y, those are wanted that encoder
and decoder leave alone once the picture agrees with y. Both norms are those of one picture; the released code takes
them over the whole batch, so that there a picture's step depends on the others beside it.

Where the release departs from the paper: its `transpose` is the identity for blur and nearest enlargement for
super-resolution, neither of which is A^T. Glue needs a picture that agrees with y, so A^+ stands here, which is the
paper's A^T wherever A A^T = I (masks); `glue` "adjoint" puts A^T there for every operator, which for a blur asks for
less than a deconvolution. The release ends at time 0, a small noise above the clean latent (`last_time` 0, as in
preset "paper"); here the last step ends in z0.

With a prior of pictures E and D are the identity. Any operator with gamma 0, a linear one otherwise. Cost: `steps`
network calls, each with one backward pass through network, decoder and encoder.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import torch
from torch import Tensor

from operators.common.randomness import Noise
from operators.common.settings import Fraction, NotNegative, Range
from priors.schedules import eps_from_x0

from ..base import Mean, Solver, State, expect_prior
from ..parts.ladder import CLEAN, TIMES, ddim_step, strided
from ..parts.latents import Glue, check_glue, glued, lengths

if TYPE_CHECKING:
    from priors.base import DiffusionPrior

    from ...problem import Problem

LAST_TIME = TIMES - 1


@dataclass(frozen=True)
class PSLD(Solver):
    """PSLD. Published values: preset "paper".

    Published gamma and omega: 0.1 and 0.1 for masks and blur, 0.1 and 0.9 for super-resolution, with 1000 steps at 256
    x 256 and eta 1. A gradient of a norm does not grow with the picture or shrink with the number of steps: fewer steps
    need larger weights.
    """

    differentiates: ClassVar[bool] = True
    needs_linear: ClassVar[bool] = False
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {
            "steps": 1000,
            "eta": 1.0,
            "omega": 0.1,
            "gamma": 0.1,
            "glue": "adjoint",
            "first_time": LAST_TIME,
            "last_time": 0,
        },
    }

    steps: Annotated[int, Range(1, TIMES), "times visited, network calls"] = 50
    omega: Annotated[NotNegative, "weight of the distance to the measurement"] = 1.0
    gamma: Annotated[NotNegative, "weight of the gluing distance"] = 0.1
    glue: Annotated[Glue, "what carries a residual back to a picture: A^+, or the paper's A^T"] = "pinv"
    eta: Annotated[Fraction, "fresh noise of a step; 0: deterministic, 1: ancestral"] = 1.0
    first_time: Annotated[int, Range(1, LAST_TIME), "where the diffusion begins"] = 400
    last_time: Annotated[int, Range(CLEAN, 0), "where it ends; -1: the clean latent"] = CLEAN

    def times(self) -> list[int]:
        """Descending times, a whole stride apart, from at most `first_time` down to 1."""
        return sorted(
            {min(t + 1, self.first_time) for t in strided(self.steps, span=self.first_time + 1)}, reverse=True
        )

    def iterate(self, problem: Problem, prior: DiffusionPrior | None, noise: Noise) -> Iterator[State]:
        prior = expect_prior(prior, self)
        if self.gamma > 0:
            check_glue(problem, "gamma")
        shape = (len(problem.y), *problem.operator.input_shape)
        z = noise.normal("start", like=torch.zeros(shape, dtype=problem.y.real.dtype, device=problem.y.device))
        times = self.times()
        for step, (t, u) in enumerate(zip(times, [*times[1:], self.last_time], strict=True)):
            z0, slope, distance = self.guided(problem, prior, z, t)
            e = eps_from_x0(z, z0, prior.alpha(t), prior.sigma(t))
            z = ddim_step(prior, t, u, z0, e, self.eta, noise) - slope
            level = prior.sigma(u) / prior.alpha(u)
            last = step == len(times) - 1
            yield State(
                x=z,
                x0=z0,
                estimate=z if last else z0,
                step=step,
                sigma=level,
                info={"distance": Mean(distance)},
            )

    def guided(self, problem: Problem, prior: DiffusionPrior, z: Tensor, t: int) -> tuple[Tensor, Tensor, Tensor]:
        """z0, the gradient of omega E1 + gamma E2 at z, and E1 of each picture (B)."""
        with torch.enable_grad():
            point = z.detach().requires_grad_()
            z0 = prior.x0(point, t)
            distance = lengths(problem.residual(z0))  # E1
            cost = self.omega * distance
            if self.gamma > 0:
                cost = cost + self.gamma * lengths(glued(problem, z0, self.glue) - z0)  # E2
            slope = torch.autograd.grad(cost.sum(), point)[0]
        return z0.detach(), slope, distance.detach()
