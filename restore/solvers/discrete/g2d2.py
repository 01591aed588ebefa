"""G2D2: a law of the tokens for each time, fitted by gradients through relaxed draws; a baseline beside APS.

Murata et al. 2025, TMLR, "G2D2: Gradient-Guided Discrete Diffusion", repository sony/g2d2. At time t a token is hidden
with probability t; all are hidden at first. For t = t_0 > ... > t_T, s the next time:

    1  log p = log of the network's law of every token, at least -70                                 one network call
    2  log q starts at c log p + (1 - c) log q of the time before, normalised
    3  M steps of RAdam on log q, normalised after each, down the gradient of
           loss(A D(sum_k g_k e_k), y) + k KL(q | p),   g = softmax(log q + Gumbel numbers), new ones in each step
       with k = weight 10^(1 .. -1) and rate 10^(w/2 .. -w/2) as the times go on
    4  z ~ q, and every token of it is hidden with probability s: none is fixed for good         star-shaped noise

The loss is that of APS (`loss`, `perceptual`), so that both can be compared. Any operator with gradients, any
noise. Cost: `steps` network calls and steps x inner_steps passes forward and back through decoder and operator.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import torch
from torch import Tensor

from operators.common.randomness import Noise
from operators.common.settings import Fraction, NotNegative, Positive, Range, Steps
from priors.base import Prior
from priors.discrete.masked import MaskedPrior

from ..base import Mean, Solver, State
from ..parts.tokens import (
    TABLES,
    Canvas,
    Loss,
    Perceptual,
    check_perceptual,
    expect_masked,
    gradients,
    gumbel,
    times_of_masking,
    token_cost,
)

if TYPE_CHECKING:
    from ...problem import Problem

LEAST = -70.0  # log p


@dataclass(frozen=True)
class G2D2(Solver):
    """Gradient-guided discrete diffusion. Published rates: 10, spread 2 for super-resolution; 15, 1 for blur."""

    prior_kind: ClassVar[type[Prior] | str] = MaskedPrior
    usual_prior: ClassVar[str] = "tokens"
    needs_linear: ClassVar[bool] = False
    needs_gaussian: ClassVar[bool] = False

    steps: Annotated[Steps, "times visited, network calls"] = 100
    inner_steps: Annotated[int, Range(0, 10**6), "steps of RAdam at each time; 0: no guidance"] = 30
    rate: Annotated[Positive, "of RAdam, at the middle of the times"] = 10.0
    spread: Annotated[NotNegative, "w: decades that the rate falls over the times"] = 2.0
    weight: Annotated[NotNegative, "of KL(q | p), at the middle of the times"] = 3e-4
    forget: Annotated[Fraction, "c: share of the network's law in where log q starts"] = 0.3
    loss: Loss = "l1"
    perceptual: Perceptual = 0.0

    @property
    def width(self) -> int:
        return TABLES

    def iterate(self, problem: Problem, prior: MaskedPrior | None, noise: Noise) -> Iterator[State]:
        prior = expect_masked(prior, self)
        check_perceptual(problem, self.perceptual)
        canvas = Canvas.blank(problem, prior)
        everywhere = torch.arange(canvas.tokens.shape[1], device=problem.y.device).expand(len(problem.y), -1)
        times = times_of_masking(self.steps, 0.0)
        log_q: Tensor | None = None
        for step in range(self.steps):
            log_p = canvas.known_logits(everywhere).clamp_min(LEAST)
            start = log_p if log_q is None else self.forget * log_p + (1 - self.forget) * log_q
            log_q, cost = self.fitted(problem, canvas, log_p, torch.log_softmax(start, -1), noise, step)
            tokens = noise.categorical("tokens", log_q)
            picture = canvas.with_tokens(everywhere, tokens)
            x = canvas.legal(picture.seen)
            yield State(x=x, x0=x, estimate=x, step=step, info={"cost": Mean(cost)})
            hidden = noise.uniform("hidden", log_q[..., 0]) < times[step + 1]
            canvas = canvas.with_tokens(everywhere, torch.where(hidden, prior.mask, tokens))

    def fitted(
        self, problem: Problem, canvas: Canvas, log_p: Tensor, start: Tensor, noise: Noise, step: int
    ) -> tuple[Tensor, Tensor]:
        """log q after its inner steps (B x L x K), and the cost of each picture before the last of them (B)."""
        along = step / max(self.steps - 1, 1)
        weight = self.weight * 10 ** (1 - 2 * along)
        rate = self.rate * 10 ** (self.spread * (0.5 - along))
        cost = torch.zeros(len(start), dtype=start.dtype, device=start.device)
        if not len(start):
            return start, cost
        with gradients():
            log_q, log_p = start.clone().requires_grad_(), log_p.clone()
            codes = canvas.prior.codes().to(log_q)
            optimiser = torch.optim.RAdam([log_q], lr=rate)
            for _ in range(self.inner_steps):
                q = torch.log_softmax(log_q, -1)
                relaxed = torch.softmax(q + gumbel(noise, "relaxed", q), -1)
                cost = token_cost(problem, canvas.picture(relaxed @ codes), loss=self.loss, perceptual=self.perceptual)
                apart = (q.exp() * (q - log_p)).flatten(1).sum(1)
                (log_q.grad,) = torch.autograd.grad((cost + weight * apart).sum(), log_q)
                optimiser.step()
                with torch.no_grad():
                    log_q.copy_(torch.log_softmax(log_q, -1))
        return log_q.detach(), cost.detach()
