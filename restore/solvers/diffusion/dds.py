"""DDS: a few conjugate gradients at every step of a diffusion.

Chung, Lee, Ye 2024, "Decomposed Diffusion Sampler for Accelerating Large-Scale Inverse Problems", arXiv 2303.05754,
repository HJ-harry/DDS. At descending times t, u being the next one:

    x0  = E[x0 | x_t],   e the noise prediction
    x0' = K conjugate gradients from x0 on                                                            (eq. 14 to 16)
          (A^H A + rho) x = A^H y + rho x0        data "proximal";  rho = 1 / gamma
          A^H A x = A^H y                         data "early-stopped", for noise-free y: the start carries the prior
          or x0 - A^+ (A x0 - y)                  data "projection", one-coil Cartesian MRI
    x_u = alpha_u x0' + sigma_u (eta z + sqrt(1 - eta^2) e)

K steps stay in the Krylov space of A^H A and the residual, so no gradient passes through the network. The published
rho is 1 at every time and noise level. By default (`rho` 0) it is Bayes' rule instead: sigma^2 / r_t^2 with r_t^2 =
s^2 sigma_t^2 / (alpha_t^2 s^2 + sigma_t^2), s = `prior_std`. Inner products are Hermitian and each picture's own (the
released ones are neither conjugated nor apart). The paper starts from N(0, I) at time 999; ours nearer.

Linear operators, complex ones included, Gaussian noise or its stand-in. Cost: `steps` network calls and K + 1
applications of A^H A each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from torch import Tensor

from operators.common.randomness import Noise
from operators.common.settings import Fraction, NotNegative, Positive, Range, Steps
from operators.core.linear_solvers import conjugate_gradients

from ..base import Solver, State, expect_prior
from ..parts.ladder import TIMES, Beginning, Spacing, first_state, ladder, prediction, renoised, with_next

if TYPE_CHECKING:
    from priors.base import DiffusionPrior

    from ...problem import Problem


@dataclass(frozen=True)
class DDS(Solver):
    """DDS. Published values: preset "paper" (tomography and several coils), "one-coil" and "noise-free"."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {"steps": 50, "iterations": 5, "rho": 1.0, "eta": 0.85, "first_time": TIMES, "start": "noise"},
        "one-coil": {"steps": 50, "data": "projection", "eta": 0.85, "first_time": TIMES, "start": "noise"},
        "noise-free": {
            "steps": 50,
            "iterations": 5,
            "data": "early-stopped",
            "eta": 0.85,
            "first_time": TIMES,
            "start": "noise",
        },
    }

    steps: Annotated[int, Range(1, TIMES), "times visited, network calls"] = 50
    iterations: Annotated[Steps, "K, conjugate gradients at each time"] = 5
    data: Annotated[Literal["proximal", "early-stopped", "projection"], "the data step, see above"] = "proximal"
    rho: Annotated[NotNegative, "weight of x0, 1 / gamma; 0: by Bayes' rule"] = 0.0
    prior_std: Annotated[Positive, "standard deviation s of pictures in native units, for Bayes' rule"] = 0.5
    eta: Annotated[Fraction, "share of fresh noise in renoising (published 0.85)"] = 1.0
    first_time: Annotated[int, Range(1, TIMES), "times lie below this one"] = 200
    spacing: Spacing = "uniform"
    start: Beginning = "estimate"
    sigma_floor: Annotated[NotNegative, "least noise assumed in y, native units, for Bayes' rule"] = 0.002

    def iterate(self, problem: Problem, prior: DiffusionPrior | None, noise: Noise) -> Iterator[State]:
        prior = expect_prior(prior, self)
        times = ladder(self.steps, span=self.first_time, spacing=self.spacing)
        x = first_state(problem, prior, times[0], self.start, noise)
        for step, (t, u) in enumerate(with_next(times)):
            x0, e = prediction(prior, x, t)
            consistent = self.data_step(problem, x0, self.weight(problem, prior, t))
            x = renoised(prior, u, consistent, e, self.eta, noise)
            yield State(x=x, x0=x0, estimate=consistent, step=step, sigma=prior.sigma(u) / prior.alpha(u))

    def weight(self, problem: Problem, prior: DiffusionPrior, t: int) -> float:
        """rho of the box above."""
        if self.rho > 0:
            return self.rho
        alpha, sigma = prior.alpha(t), prior.sigma(t)
        left_open = (self.prior_std * sigma) ** 2 / ((alpha * self.prior_std) ** 2 + sigma**2)
        return max(problem.sigma, self.sigma_floor) ** 2 / left_open

    def data_step(self, problem: Problem, x0: Tensor, rho: float) -> Tensor:
        """x0'."""
        operator = problem.linear
        residual = problem.residual(x0)
        if self.data == "projection":
            return x0 + operator.pinv(residual)
        rho = rho if self.data == "proximal" else 0.0
        # As a correction of x0, from zero: the same iterates, without the rounding of a large right-hand side.
        right = operator.adjoint(residual)
        return (
            x0
            + conjugate_gradients(lambda d: operator.gram(d) + rho * d, right, rtol=1e-9, iterations=self.iterations).x
        )
