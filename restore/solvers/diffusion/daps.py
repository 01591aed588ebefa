"""DAPS: decoupled annealing; each noise level starts from a fresh draw of the clean picture given y.

Zhang, Chu, Berner, Meng, Anandkumar, Song 2025, "Improving Diffusion Inverse Problem Solving with Decoupled Noise
Annealing", CVPR, arXiv 2407.01521 (algorithm 1), repository zhangbingliang2019/DAPS. At levels s_0 > ... > s_{n-1},
s_n = 0, from x = first picture + s_0 n:

    h = Phi(x; s_k)                     the probability flow from s_k to almost 0                   (section 3.2)
    z ~ p(z | h, y) ~ p(y | z) N(z; h, s_k^2 I)                                                       (equation 7)
    x = z + s_{k+1} n                                                                                (proposition 1)

How z is drawn, `inner`:
exact     one Gaussian draw for a linear operator: data and mean are perturbed and the least squares problem is solved.
langevin  z <- z + lr g + sqrt(2 lr) n,  g = grad log p(y | z) + (h - z) / s_k^2,  `inner_steps` times    (equation 8)
hmc       v <- m v + sqrt(lr) g + sqrt(2 (1 - m)) n;  z <- z + sqrt(lr) v      (Hamiltonian with friction; appendix)

N(h, s_k^2 I) is right for pixels that know nothing of one another. Of photographs a denoiser leaves far less open, and
what z has too much of it is noise that the next level does not expect. The published Langevin iteration stops long
before it has spread that far. Here `temperature` scales all noise of the draw: 1 is the draw, 0 its mean.

The published answer is z of the last level, whose Langevin iteration is too short to fill N(h, s_{n-1}^2). Ours is,
unless `answer` is "sample", the mean of that last draw. The paper starts at s_0 = 100 from pure noise; ours starts at
`first` from a picture that agrees with the measurement: a few levels do not find a photograph otherwise.

Published tau: the released code takes grad |A z - y|^2 without 1/2, so its tau is sqrt(2) times `tau` here; it is 0.01
where y has noise 0.05, a likelihood that is trusted more than it should be. `tau` None is the noise of y.
`lr` None is `share` / (2 |A|^2 / tau^2 + 1 / s_k^2); a number is the published kind, and falls to `lr_ratio` of it.

Any operator; any noise (another law than Gaussian is met by Langevin under its own likelihood with `tau` None).
Cost: `steps` x `ode_steps` network calls; `inner_steps` applications of A and its adjoint for each level, or one solve.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from operators import BadInput
from operators.common.randomness import Noise
from operators.common.settings import Fraction, NotNegative, Positive, Steps, at_most
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
class DAPS(Solver):
    """DAPS. Published values: presets "paper" (Langevin, super-resolution by 4) and "hmc".

    Published, Langevin, 100 inner steps: lr 1e-4 (super-resolution, Gaussian blur, random mask), 5e-5 (box, motion
    blur, phase retrieval), 2e-5 (HDR), 1e-5 (non-linear blur, 200 inner steps). HMC (inner steps, lr, momentum):
    super-resolution 12, 1.04e-4, 0.90; Gaussian blur 82, 4.04e-5, 0.10; motion blur 96, 3.69e-5, 0.11;
    box 84, 1.15e-5, 0.003; random mask 11, 3.56e-5, 0.80; HDR 100, 2.18e-5, 0.23; phase retrieval 62, 9.75e-6, 0.73.
    """

    needs_linear: ClassVar[bool] = False
    needs_gaussian: ClassVar[bool] = False
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        name: {
            "steps": 200,
            "ode_steps": 5,
            "first": 100.0,
            "last": 0.1,
            "ode_last": 0.01,
            "inner": inner,
            "temperature": 1.0,
            "tau": 0.01 / math.sqrt(2),
            "lr_ratio": 0.01,
            "answer": "sample",
            "start": "zero",
            **settings,
        }
        for name, inner, settings in (
            ("paper", "langevin", {"inner_steps": 100, "lr": 1e-4}),
            ("hmc", "hmc", {"inner_steps": 12, "lr": 1.04e-4, "momentum": 0.90}),
        )
    }

    steps: Annotated[Steps, "noise levels (published 200)"] = 25
    ode_steps: Annotated[Steps, "network calls at each level (published 5)"] = 2
    first: Annotated[Positive, "highest noise level, native units (published 100)"] = 1.0
    last: Annotated[Positive, "lowest noise level, at most `first` (published 0.1)"] = 0.02
    ode_last: Annotated[Positive, "where the flow ends, at most half the level it started from"] = 0.005
    inner: Annotated[
        Literal["auto", "exact", "langevin", "hmc"],
        "how z is drawn; auto: exact for linear operators under Gaussian noise, else langevin",
    ] = "auto"
    inner_steps: Annotated[Steps, "of langevin and hmc"] = 50
    lr: Annotated[Positive | None, "step of langevin and hmc; None: from the gain of the operator"] = None
    share: Annotated[Positive, "of the largest stable step, where lr is None"] = 0.5
    lr_ratio: Annotated[Fraction, "of a given lr that is left at the last level"] = 1.0
    momentum: Annotated[Fraction, "m of hmc"] = 0.9
    temperature: Annotated[NotNegative, "noise of the draw of z: 1: as published, 0: its mean"] = 0.1
    tau: Annotated[Positive | None, "noise assumed in y, native units; None: its own"] = None
    sigma_floor: Annotated[Positive, "least noise assumed in y, native units, where tau is None"] = 0.002
    start: Start = "estimate"
    answer: Annotated[Literal["mean", "sample"], "of the last draw: its mean, or itself as published"] = "mean"

    def __post_init__(self) -> None:
        at_most("last", self.last, "first", self.first)

    def levels(self) -> list[float]:
        """s_0 ... s_{n-1} and 0, evenly spaced in s^(1/7)."""
        ladder = karras_sigmas(self.steps + 1, sigma_min=self.last, sigma_max=self.first)
        return [*ladder[: self.steps].tolist(), 0.0]

    def iterate(self, problem: Problem, prior: DiffusionPrior | None, noise: Noise) -> Iterator[State]:
        prior = expect_prior(prior, self)
        inner = self.way(problem)
        levels = self.levels()
        tau = self.tau if self.tau is not None else max(self.sigma_floor, problem.sigma)
        first = start_picture(problem, self.start)
        x = first + levels[0] * noise.normal("start", like=first)
        for step, (level, following) in enumerate(pairwise(levels)):
            flow = karras_sigmas(self.ode_steps + 1, sigma_min=min(self.ode_last, level / 2), sigma_max=level)
            h = reversed_from(prior, x, flow[:-1].tolist())
            if inner == "exact":
                z = drawn_exactly(problem, h, level, noise, sigma=tau, temperature=self.temperature)
            else:
                falling = 1 + step / len(levels) * (self.lr_ratio - 1)
                z = wandered(
                    problem,
                    h,
                    level,
                    noise,
                    sigma=tau,
                    steps=self.inner_steps,
                    rate=None if self.lr is None else falling * self.lr,
                    share=self.share,
                    temperature=self.temperature,
                    momentum=self.momentum if inner == "hmc" else None,
                )
            estimate = toward_measurement(problem, h, tau**2 / level**2) if self._ends_in_mean(problem) else z
            x = z + following * noise.normal("step", like=z)
            yield State(x=x, x0=h, estimate=estimate, step=step, sigma=following)

    def way(self, problem: Problem) -> str:
        """How z is drawn for a problem; BadInput for an exact draw of what is not linear and Gaussian."""
        exact = isinstance(problem.operator, LinearOperator) and isinstance(problem.noise, Gaussian)
        if self.inner == "exact" and not exact:
            raise BadInput(
                f"inner is 'exact' for {type(problem.operator).__name__} under {type(problem.noise).__name__} noise",
                wanted="a linear operator and Gaussian noise",
                do="Take inner=langevin, or auto.",
            )
        return ("exact" if exact else "langevin") if self.inner == "auto" else self.inner

    def _ends_in_mean(self, problem: Problem) -> bool:
        return self.answer == "mean" and self.way(problem) == "exact"
