"""APS: anchored posterior sampling with a masked prior of tokens.

L. Rout et al. 2025, arXiv 2510.02291, from its abstract, its public reviews and the language-model port that shares
its authors (atutej/entrgi): the algorithm box itself was not seen. The card says what these sources leave open.

A picture is L tokens of K values; the value k stands for the vector e_k, and D decodes vectors. At time t a token is
hidden with probability t. All are hidden at first; for t = t_0 > ... > t_T, s the next time:

    1  phi = log p(z_l = k | seen tokens) for the hidden l                               one network call, no gradient
    2  M steps of Adam on phi, down the gradient of
           |A x - y|_1 / m + w_p LPIPS(A x, y),   x = D(e)
       a  p = softmax(phi / tau)
       b  ebar_l = sum_k p_lk e_k                                                              quantised expectation
       c  q_l = the code nearest to ebar_l (for codes of signs, its signs)
       d  e_l = ebar_l + stopgrad(q_l - ebar_l), and the own code of a seen token
       so that dL/dphi_lk = p_lk (e_k - ebar_l)^T dL/de_l / tau: every entry of the table is reached
    3  z_l ~ p for the hidden l; the floor(n (1 - s / t)) of the n with the greatest confidence are kept, all at
       the last time, and the others hidden again                                                anchored remasking

The confidence of a token is its optimised logit phi_l,z: what agrees with the measurement and with the prior is fixed
early and is what the network sees next. With inner_steps = 0 the prior alone is sampled.

Any operator that can be differentiated, any noise. Cost: `steps` network calls and steps x inner_steps passes forward
and back through decoder and operator. The gradient does not enter the network.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import torch
from torch import Tensor

from operators.common.randomness import Noise
from operators.common.settings import NotNegative, Positive, Range, Steps
from priors.base import Prior
from priors.discrete.masked import MaskedPrior

from ..base import Mean, Solver, State
from ..parts.adam import Adam
from ..parts.tokens import (
    TABLES,
    Canvas,
    Loss,
    Perceptual,
    at,
    check_perceptual,
    expect_masked,
    gradients,
    gumbel,
    put,
    revealed,
    times_of_masking,
    token_cost,
)

if TYPE_CHECKING:
    from ...problem import Problem

Anchor = Annotated[
    Literal["logit", "probability", "margin", "entropy", "prior", "random"],
    "confidence of a token: its optimised logit or probability, its lead over the second, minus the entropy of the "
    "network's answer, the network's probability, none",
]
Quantise = Annotated[
    Literal["nearest", "sample", "none"], "code in step c: the nearest to ebar, one drawn from p, ebar itself"
]
Draw = Annotated[
    Literal["sample", "argmax", "nearest"], "the tokens: drawn from p, the likeliest, or the codes nearest to ebar"
]


@dataclass(frozen=True)
class APS(Solver):
    """Anchored posterior sampling."""

    prior_kind: ClassVar[type[Prior] | str] = MaskedPrior
    usual_prior: ClassVar[str] = "tokens"
    needs_linear: ClassVar[bool] = False
    needs_gaussian: ClassVar[bool] = False

    steps: Annotated[Steps, "times visited, network calls"] = 15
    inner_steps: Annotated[int, Range(0, 10**6), "steps of Adam at each time; 0: no guidance"] = 100
    rate: Annotated[Positive, "rate of Adam on the logits"] = 0.3
    temperature: Annotated[Positive, "tau of the softmax"] = 1.0
    quantise: Quantise = "nearest"
    top_p: Annotated[float, Range(above=0, high=1), "for quantise sample: share of p that may be drawn"] = 0.95
    draw: Draw = "sample"
    anchor: Anchor = "logit"
    anchor_temperature: Annotated[NotNegative, "of a draw of the anchors; 0: the most confident"] = 0.0
    last_time: Annotated[float, Range(0, below=1), "t_T; the hidden share falls from 1 to it, evenly"] = 1e-3
    keep_best: Annotated[bool, "take the phi of each picture that cost least, not the last one"] = False
    warm_start: Annotated[bool, "begin phi where the last time left it, not at the network's logits"] = False
    loss: Loss = "l1"
    perceptual: Perceptual = 0.0
    prior_weight: Annotated[NotNegative, "of KL(p | network's), which the published algorithm leaves out"] = 0.0

    @property
    def width(self) -> int:
        return TABLES

    def inner(self, step: int) -> int:
        """Steps of Adam at this one of the times (0-based); constant, as published. Override for a schedule."""
        return self.inner_steps

    def iterate(self, problem: Problem, prior: MaskedPrior | None, noise: Noise) -> Iterator[State]:
        prior = expect_masked(prior, self)
        canvas = Canvas.blank(problem, prior)
        check_perceptual(problem, self.perceptual)
        times = times_of_masking(self.steps, self.last_time)
        kept: Tensor | None = None
        for step in range(self.steps):
            places = canvas.places
            logits = canvas.logits(places)
            start = logits if kept is None or not self.warm_start else kept
            phi, cost = self.optimised(problem, canvas, places, logits, start, noise, step)
            chosen = self.tokens(phi, prior, noise, step)
            guess = canvas.with_tokens(places, chosen)
            hidden = places.shape[1]
            count = hidden if step == self.steps - 1 else revealed(hidden, times[step], times[step + 1])
            confidence = self.confidence(phi, logits, chosen, noise, step)
            order = torch.argsort(confidence, dim=1, descending=True, stable=True)
            anchors, others = order[:, :count], order[:, count:].sort(1).values
            canvas = canvas.with_tokens(at(places, anchors), at(chosen, anchors))
            kept = at(phi, others)
            picture = canvas.legal(guess.seen)
            info = {"cost": Mean(cost), "hidden": float(hidden - count)}
            yield State(x=picture, x0=picture, estimate=picture, step=step, info=info)
            if count == hidden:
                return

    def optimised(
        self,
        problem: Problem,
        canvas: Canvas,
        places: Tensor,
        logits: Tensor,
        start: Tensor,
        noise: Noise,
        step: int,
    ) -> tuple[Tensor, Tensor]:
        """phi after its inner steps (B x n x K), and the cost of each picture at the last that was looked at (B)."""
        cost = torch.zeros(len(start), dtype=start.dtype, device=start.device)
        if not places.shape[1]:
            return start, cost
        with gradients():
            phi, places, logits, seen = (part.clone() for part in (start, places, logits, canvas.seen))
            best, least = phi.clone(), torch.full_like(cost, float("inf"))
            adam = Adam(phi, rate=self.rate)
            for _ in range(self.inner(step)):
                phi.requires_grad_()
                e = self.expectation(phi, canvas, noise, step)
                x = canvas.picture(put(seen, places, e))
                cost = token_cost(problem, x, loss=self.loss, perceptual=self.perceptual)
                whole = cost + self.prior_weight * self.divergence(phi, logits) if self.prior_weight else cost
                (slope,) = torch.autograd.grad(whole.sum(), phi)
                if self.keep_best:
                    better = whole.detach() < least
                    best = torch.where(better[:, None, None], phi.detach(), best)
                    least = torch.where(better, whole.detach(), least)
                phi = adam.stepped(phi, slope)
        return (best, least) if self.keep_best and self.inner(step) else (phi.detach(), cost.detach())

    def expectation(self, phi: Tensor, canvas: Canvas, noise: Noise, step: int) -> Tensor:
        """e of the hidden tokens (B x n x D): steps a to d."""
        codes = canvas.prior.codes().to(phi)
        p = torch.softmax(phi / self.temperature, dim=-1)
        mean = p @ codes
        if self.quantise == "none":
            return mean
        if self.quantise == "nearest":
            nearest = canvas.prior.nearest(mean.detach().movedim(-1, 1))
        else:
            nearest = noise.categorical(f"codes {step}", nucleus(p.detach(), self.top_p).log())
        return mean + (codes[nearest] - mean).detach()

    def divergence(self, phi: Tensor, logits: Tensor) -> Tensor:
        """KL(softmax(phi / tau) | the network's) of each picture (B), in nats, over its hidden tokens."""
        q = torch.log_softmax(phi / self.temperature, dim=-1)
        return (q.exp() * (q - logits.clamp_min(torch.finfo(q.dtype).min))).flatten(1).sum(1)

    def tokens(self, phi: Tensor, prior: MaskedPrior, noise: Noise, step: int) -> Tensor:
        """A token for each hidden place (B x n)."""
        if self.draw == "argmax":
            return phi.argmax(-1)
        if self.draw == "nearest":
            mean = torch.softmax(phi / self.temperature, dim=-1) @ prior.codes().to(phi)
            return prior.nearest(mean.movedim(-1, 1))
        return noise.categorical(f"tokens {step}", phi / self.temperature)

    def confidence(self, phi: Tensor, logits: Tensor, chosen: Tensor, noise: Noise, step: int) -> Tensor:
        """What the hidden places are ordered by (B x n), the greatest first."""
        if self.anchor == "random":
            return noise.uniform(f"anchors {step}", phi[..., 0])
        if self.anchor == "logit":
            values = _of(phi, chosen)
        elif self.anchor == "probability":
            values = _of(torch.log_softmax(phi, -1), chosen).exp()
        elif self.anchor == "margin":
            best = torch.softmax(phi, -1).topk(2, dim=-1).values
            values = best[..., 0] - best[..., 1]
        elif self.anchor == "entropy":
            values = -torch.special.entr(logits.exp()).sum(-1)
        else:
            values = _of(logits, chosen).exp()
        if self.anchor_temperature == 0:
            return values
        return values / self.anchor_temperature + gumbel(noise, f"anchors {step}", values)


def nucleus(p: Tensor, share: float) -> Tensor:
    """p (... x K) cut to the likeliest values that together have `share` of it; not normalised."""
    ordered, order = p.sort(dim=-1, descending=True, stable=True)
    before = ordered.cumsum(-1) - ordered
    return torch.zeros_like(p).scatter(-1, order, torch.where(before < share, ordered, torch.zeros_like(ordered)))


def _of(table: Tensor, chosen: Tensor) -> Tensor:
    return table.gather(-1, chosen[..., None])[..., 0]
