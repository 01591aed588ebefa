"""PnP-DM: split Gibbs sampling; a draw given the measurement alternates with a denoising diffusion.

Wu, Sun, Chen, Zhang, Yue, Bouman 2024, "Principled Probabilistic Imaging using Diffusion Models as Plug-and-Play
Priors", NeurIPS, arXiv 2405.18782 (algorithm 1), repository zihuiwu/PnP-DM-public. The joint law

    pi(x, z) ~ p(x) p(y | z) exp(-|x - z|^2 / (2 rho^2))                                                (equation 4)

is sampled in turns while rho_k = max(rho_0 decay^k, rho_min) falls:

    z ~ p(y | z) exp(-|z - x|^2 / (2 rho_k^2))            exactly for linear operators under Gaussian noise, else
                                                          by `inner_steps` of Langevin from x        (likelihood step)
    x ~ p(x) exp(-|x - z|^2 / (2 rho_k^2))                reverse diffusion from z at level rho_k to 0     (prior step)

For fixed rho the law of x is the posterior under noise of covariance sigma^2 I + rho^2 A A^H instead of sigma^2 I: the
published rho_min of 0.3 is six times the published noise.

The published prior step runs down the levels of one fixed grid that lie below rho_k, without rescaling z: `grid`
levels from 80 to 0.002. Ours spends `prior_steps` calls on levels that start at rho_k. The published answers are 20
states of one chain after 40; those of one chain resemble one another, so that here each sample is a chain of its own.
answer "sample": the last x. "mean": the mean of the last half of the x, nearer to the truth and no draw. "consistent":
x of the last prior step after a likelihood step without noise.

Any operator; any noise (another law than Gaussian is met by Langevin under its own likelihood). Cost: `steps` x
`prior_steps` network calls and a solve for each step.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from operators.common.randomness import Noise
from operators.common.settings import Fraction, Positive, Range, Steps, at_most
from operators.core.base import LinearOperator
from operators.noise import Gaussian
from priors.schedules import karras_sigmas

from ..base import Solver, State, expect_prior
from ..parts.conditional import drawn_exactly, wandered
from ..parts.reverse import reversed_from
from ..parts.start import Start, start_picture, toward_measurement

if TYPE_CHECKING:
    from priors.base import DiffusionPrior

    from ...problem import Problem


@dataclass(frozen=True)
class PnPDM(Solver):
    """PnP-DM. Published values: preset "paper" (linear tasks; rho_min 0.1 for phase retrieval)."""

    needs_linear: ClassVar[bool] = False
    needs_gaussian: ClassVar[bool] = False
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {
            "steps": 100,
            "first": 10.0,
            "last": 0.3,
            "decay": 0.9,
            "grid": 100,
            "prior": "sde",
            "inner_steps": 100,
            "lr": 1e-4,
            "temperature": 1.0,
            "answer": "sample",
            "start": "pinv",
        },
    }

    steps: Annotated[Steps, "turns (published 100)"] = 25
    first: Annotated[Positive, "rho_0, native units (published 10)"] = 0.3
    last: Annotated[Positive, "rho_min, at most `first` (published 0.3; 0.1 for phase retrieval)"] = 0.1
    decay: Annotated[
        float | None,
        Range(above=0, high=1),
        "factor of rho (published 0.9); None: reaches `last` at the end",
    ] = None
    prior_steps: Annotated[Steps, "network calls of a prior step, where `grid` is None"] = 2
    grid: Annotated[int | None, Range(2), "levels from 80 to 0.002 of the published fixed grid"] = None
    prior: Annotated[Literal["ode", "sde"], "the prior step: probability flow, or stochastic as published"] = "ode"
    inner_steps: Annotated[Steps, "of Langevin, where the draw of z is not exact"] = 50
    lr: Annotated[Positive | None, "step of Langevin (published 1e-4); None: from the gain of the operator"] = None
    share: Annotated[Positive, "of the largest stable step, where lr is None"] = 0.5
    temperature: Annotated[Fraction, "noise of the draw of z; 1: as published, 0: its mean"] = 1.0
    sigma_floor: Annotated[Positive, "least noise assumed in y, native units"] = 0.002
    start: Start = "estimate"
    answer: Annotated[Literal["sample", "mean", "consistent"], "last x, mean of the last half, or after data"] = (
        "consistent"
    )

    def __post_init__(self) -> None:
        at_most("last", self.last, "first", self.first)

    def strengths(self) -> list[float]:
        """rho_k of each turn."""
        decay = self.decay
        if decay is None:
            decay = (self.last / self.first) ** (1 / max(self.steps - 1, 1))
        return [max(self.first * decay**k, self.last) for k in range(self.steps)]

    def levels(self, rho: float) -> Sequence[float]:
        """Noise levels of a prior step, from rho (or the highest of the fixed grid below it) to 0."""
        if self.grid is None:
            return karras_sigmas(self.prior_steps, sigma_min=rho / 20, sigma_max=rho).tolist()  # type: ignore[no-any-return]
        return [level for level in karras_sigmas(self.grid).tolist() if level < rho]

    def iterate(self, problem: Problem, prior: DiffusionPrior | None, noise: Noise) -> Iterator[State]:
        prior = expect_prior(prior, self)
        exact = isinstance(problem.operator, LinearOperator) and isinstance(problem.noise, Gaussian)
        sigma = max(self.sigma_floor, problem.sigma)
        x = start_picture(problem, self.start)
        total, kept = x * 0, 0
        for step, rho in enumerate(self.strengths()):
            if exact:
                z = drawn_exactly(problem, x, rho, noise, sigma=sigma, temperature=self.temperature)
            else:
                z = wandered(
                    problem,
                    x,
                    rho,
                    noise,
                    sigma=sigma,
                    steps=self.inner_steps,
                    rate=self.lr,
                    share=self.share,
                    temperature=self.temperature,
                )
            x = reversed_from(prior, z, self.levels(rho), noise if self.prior == "sde" else None)
            if step >= self.steps // 2:
                total, kept = total + x, kept + 1
            estimate = x
            if self.answer == "consistent" and exact:
                estimate = toward_measurement(problem, x, sigma**2 / rho**2)
            elif self.answer == "mean" and kept:
                estimate = total / kept
            yield State(x=z, x0=x, estimate=estimate, step=step, sigma=rho)
