"""APS step by step against hand computation, and whole against tokens whose posterior is enumerated."""

from __future__ import annotations

import dataclasses
import itertools
import sys
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

import operators
import restore
from operators import BadInput
from operators.common.randomness import NoiseSource
from operators.core.base import LinearOperator
from operators.noise import Gaussian, Poisson
from priors.analytic.gaussian import GaussianPrior
from priors.discrete.chain import TokenChain
from priors.discrete.masked import MaskedPrior
from restore.problem import Problem
from restore.solvers.base import Solver
from restore.solvers.discrete.aps import APS, nucleus
from restore.solvers.discrete.g2d2 import G2D2
from restore.solvers.parts.adam import Adam
from restore.solvers.parts.tokens import Canvas, revealed, times_of_masking

VALUES = 4
SIDE = 2  # tokens, and pixels of one
STATES = VALUES**4
DRAWS = 3000


class Blind(LinearOperator):
    """Zero, whatever it looks at."""

    def _forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)

    _adjoint = _forward


def chain(*, colours: int = 1) -> TokenChain:
    """2 x 2 tokens of four gray levels each, neighbours alike, 2 x 2 pixels a token."""
    levels = torch.arange(VALUES, dtype=torch.float64)
    transition = torch.softmax(-0.7 * (levels[:, None] - levels) ** 2, dim=1)
    first = torch.tensor([0.45, 0.25, 0.2, 0.1], dtype=torch.float64)
    codes = torch.linspace(-1, 1, VALUES, dtype=torch.float64)[:, None]
    return TokenChain((SIDE, SIDE), first, transition, codes, torch.ones(1, colours, SIDE, SIDE))


TRUE = torch.tensor([[[0, 1], [2, 2]]])


def problem(*, missing: float = 0.0, sigma: float = 0.0, copies: int = 1, prior: TokenChain | None = None) -> Problem:
    x = (chain() if prior is None else prior).decode(TRUE)
    mask = operators.Mask(tuple(x.shape[1:]), missing=missing)
    clean = mask(x)
    y = clean + sigma * NoiseSource(3, ["picture"]).normal("noise", clean) if sigma else clean
    y = y if mask.observed is None else mask.observed * y
    return Problem(y, mask, Gaussian(sigma=sigma), image_ids=("picture",)).repeated(copies)


def run(solver: Solver, what: Problem, prior: MaskedPrior, *, seed: int = 0) -> list:
    source = NoiseSource(seed, what.image_ids, sample=list(range(what.copies)))
    return list(solver.iterate(what, prior, source))


def counts(tokens: Tensor) -> Tensor:
    index = (tokens.flatten(1) * VALUES ** torch.arange(3, -1, -1)).sum(1)
    return torch.bincount(index, minlength=STATES).double()


def chi_square(drawn: Tensor, p: Tensor) -> float:
    """In standard deviations over its mean, states that are expected under five times taken together."""
    expected = p * drawn.sum()
    rare = expected < 5
    pairs = [torch.cat([part[~rare], part[rare].sum()[None]]) for part in (drawn, expected)]
    cells = len(pairs[0])
    value = float(((pairs[0] - pairs[1]) ** 2 / pairs[1]).sum())
    return (value - (cells - 1)) / (2 * (cells - 1)) ** 0.5


# -- the prior of the oracle ------------------------------------------------------------------------------------------


def test_the_chain_knows_its_hidden_tokens_exactly() -> None:
    prior = chain()
    states, p = prior.states(), prior.log_prob(prior.states()).exp()
    assert float(p.sum()) == pytest.approx(1, abs=1e-12)
    some = torch.tensor([[[prior.mask, 3], [prior.mask, prior.mask]]])
    shares = prior.probabilities(some)
    agrees = (states[:, 0, 1] == 3).double() * p
    for row, column in ((0, 0), (1, 0), (1, 1)):
        expected = torch.stack([agrees[states[:, row, column] == k].sum() for k in range(VALUES)]) / agrees.sum()
        torch.testing.assert_close(shares[0, :, row, column], expected, rtol=0, atol=1e-12)


def test_the_chain_decodes_and_encodes() -> None:
    prior = chain(colours=3)
    states = prior.states()
    assert torch.equal(prior.encode(prior.decode(states)), states)
    assert torch.equal(prior.encode(prior.decode(states)[..., :3, :4]), states)  # an odd side: the patch is cut
    assert prior.picture(prior.vectors(states[:1]), (1, 3, 4)).shape == (1, 1, 3, 4)
    drawn = prior.sample(4000, NoiseSource(0, [str(k) for k in range(4000)]))
    assert abs(chi_square(counts(drawn), prior.log_prob(states).exp())) < 4


# -- one step, by hand ------------------------------------------------------------------------------------------------


def test_the_gradient_reaches_every_logit_as_the_formula_says() -> None:
    prior, solver = chain(), APS(temperature=0.7)
    canvas = Canvas.blank(problem(), prior)
    generator = torch.Generator().manual_seed(0)
    phi = torch.randn(1, 4, VALUES, generator=generator, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(1, 4, 1, generator=generator, dtype=torch.float64)  # dL / de
    e = solver.expectation(phi, canvas, NoiseSource(0, ["a"]), 0)
    (slope,) = torch.autograd.grad((e * weights).sum(), phi)
    p = torch.softmax(phi.detach() / 0.7, -1)
    codes = prior.codes()
    mean = p @ codes
    by_hand = p * ((codes[:, 0] - mean) * weights) / 0.7
    torch.testing.assert_close(slope, by_hand, rtol=0, atol=1e-14)
    nearest = codes[(mean - codes[:, 0]).abs().argmin(-1)]
    torch.testing.assert_close(e.detach(), nearest, rtol=0, atol=1e-15)


def test_an_inner_step_is_adam_on_the_stated_loss() -> None:
    """The first step of Adam moves a logit by the rate, against the sign of p_k (e_k - ebar) dL/de."""
    prior, what = chain(), problem()
    canvas = Canvas.blank(what, prior)
    places = canvas.places
    logits = canvas.logits(places)
    solver = APS(inner_steps=1, rate=0.2)
    phi, cost = solver.optimised(what, canvas, places, logits, logits, NoiseSource(0, ["a"]), 0)
    p, codes = logits.exp(), prior.codes()
    mean = p @ codes
    nearest = codes[(mean - codes[:, 0]).abs().argmin(-1)][..., 0]
    truth = codes[TRUE.flatten(1)][..., 0]
    slope = p * (codes[:, 0] - mean) * torch.sign(nearest - truth)[..., None]
    torch.testing.assert_close(phi, logits - 0.2 * torch.sign(slope), rtol=0, atol=1e-4)
    assert float(cost) == pytest.approx(float((nearest - truth).abs().mean()), abs=1e-12)


def test_adam_is_torchs() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(5, 3, generator=generator, dtype=torch.float64)
    theirs = x.clone().requires_grad_()
    optimiser, ours = torch.optim.Adam([theirs], lr=0.3), Adam(x, rate=0.3)
    for _ in range(20):
        theirs.grad = torch.randn(5, 3, generator=generator, dtype=torch.float64)
        x = ours.stepped(x, theirs.grad)
        optimiser.step()
        torch.testing.assert_close(x, theirs.detach(), rtol=0, atol=1e-12)


TABLE = torch.tensor([[[0.1, 2.0, 1.9], [3.0, 0.0, 0.0], [0.0, 0.5, 1.0]]], dtype=torch.float64)
NETWORK = torch.log_softmax(torch.tensor([[[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [4.0, 0.0, 0.0]]]).double(), -1)
CHOSEN = torch.tensor([[1, 0, 0]])


@pytest.mark.parametrize(
    ("anchor", "order"),
    [
        ("logit", [1, 0, 2]),
        ("probability", [1, 0, 2]),
        ("margin", [1, 2, 0]),
        ("entropy", [2, 1, 0]),
        ("prior", [2, 0, 1]),
    ],
)
def test_anchors_are_ordered_by_what_the_setting_names(anchor: str, order: list[int]) -> None:
    values = APS(anchor=anchor).confidence(TABLE, NETWORK, CHOSEN, NoiseSource(0, ["a"]), 0)
    assert values.argsort(dim=1, descending=True)[0].tolist() == order


def test_confidences_by_hand() -> None:
    values = APS().confidence(TABLE, NETWORK, CHOSEN, NoiseSource(0, ["a"]), 0)
    assert values[0].tolist() == [2.0, 3.0, 0.0]  # the optimised logit of the chosen token, before any softmax
    soft = torch.softmax(TABLE[0, 0], 0)
    margin = APS(anchor="margin").confidence(TABLE, NETWORK, CHOSEN, NoiseSource(0, ["a"]), 0)
    assert float(margin[0, 0]) == pytest.approx(float(soft[1] - soft[2]), abs=1e-12)


def test_a_temperature_draws_the_anchors_with_softmax_probabilities() -> None:
    count = 4000
    table, network, chosen = (part.expand(count, *part.shape[1:]) for part in (TABLE, NETWORK, CHOSEN))
    source = NoiseSource(0, [str(k) for k in range(count)])
    values = APS(anchor_temperature=2.0).confidence(table, network, chosen, source, 0)
    share = torch.bincount(values.argmax(1), minlength=3).double() / count
    expected = torch.softmax(torch.tensor([2.0, 3.0, 0.0]).double() / 2, 0)
    assert float((share - expected).abs().max()) < 4 * 0.5 / count**0.5


def test_the_nucleus_by_hand() -> None:
    p = torch.tensor([0.1, 0.5, 0.15, 0.25])
    assert nucleus(p, 0.7).tolist() == pytest.approx([0, 0.5, 0, 0.25])  # 0.5 alone is less than 0.7
    assert nucleus(p, 1.0).tolist() == pytest.approx(p.tolist())
    assert nucleus(p, 0.1).tolist() == pytest.approx([0, 0.5, 0, 0])


# -- the loop ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("steps", "last"), [(4, 0.0), (4, 1e-3), (3, 1e-3), (7, 1e-3), (1, 0.5)])
def test_as_many_tokens_stay_hidden_as_the_schedule_says(steps: int, last: float) -> None:
    states = run(APS(steps=steps, inner_steps=0, last_time=last), problem(), chain())
    expected, hidden = [], 4
    for k in range(steps):
        t, s = (1 - (1 - last) * j / steps for j in (k, k + 1))
        hidden = 0 if k == steps - 1 else hidden - int(hidden * (1 - s / t) + 1e-9)
        expected.append(float(hidden))
        if not hidden:
            break
    assert [state.info["hidden"] for state in states] == expected
    assert times_of_masking(steps, last)[-1] == pytest.approx(last)


def test_a_token_a_step_where_there_are_as_many_steps_as_tokens() -> None:
    for count in range(1, 200):
        times, hidden = times_of_masking(count, 0.0), count
        for t, s in itertools.pairwise(times):
            assert revealed(hidden, t, s) == 1
            hidden -= 1


class Spy(TokenChain):
    """Remembers what it was asked."""

    def logits(self, tokens: Tensor) -> Tensor:
        self.__dict__.setdefault("asked", []).append(tokens.clone())
        return super().logits(tokens)


def test_anchors_stay_and_are_what_the_network_sees_next() -> None:
    base = chain()
    prior = Spy((SIDE, SIDE), base.first, base.transition, base.table, base.basis)
    states = run(APS(steps=4, inner_steps=3, last_time=0.0), problem(), prior)
    asked = torch.cat(prior.__dict__["asked"]).flatten(1)
    assert (asked == prior.mask).sum(1).tolist() == [4, 3, 2, 1]
    final = prior.encode(states[-1].estimate).flatten(1)
    for before, after in itertools.pairwise(asked):
        known = before != prior.mask
        assert torch.equal(before[known], after[known])
    assert bool(((asked == final) | (asked == prior.mask)).all())


def test_the_most_confident_token_is_the_one_that_stays() -> None:
    base = chain()
    prior = Spy((SIDE, SIDE), base.first, base.transition, base.table, base.basis)
    solver, what = APS(steps=4, inner_steps=3, last_time=0.0, draw="argmax"), problem()
    run(solver, what, prior)
    canvas = Canvas.blank(what, base)
    logits = canvas.logits(canvas.places)
    phi, _ = solver.optimised(what, canvas, canvas.places, logits, logits, NoiseSource(0, ["a"]), 0)
    second = prior.__dict__["asked"][1].flatten()
    kept = int((second != base.mask).nonzero())
    assert kept == int(phi.amax(-1).argmax()) and int(second[kept]) == int(phi[0, kept].argmax())


def test_a_schedule_of_inner_steps_is_a_method() -> None:
    @dataclass(frozen=True)
    class Late(APS):
        def inner(self, step: int) -> int:
            return 5 if step else 0

    first = run(Late(steps=2), problem(), chain())[0]
    assert first.estimate.equal(run(APS(steps=2, inner_steps=0), problem(), chain())[0].estimate)


# -- laws of what is drawn --------------------------------------------------------------------------------------------

PRIOR_ORDERS = {"random": {"anchor": "random"}, "entropy": {"anchor": "entropy"}}


@pytest.mark.parametrize("order", PRIOR_ORDERS)
@pytest.mark.parametrize("inner_steps", [0, 5])
def test_without_a_measurement_the_prior_is_sampled(order: str, inner_steps: int) -> None:
    """A token at a time, in an order that does not look at the drawn values: the chain rule. Nothing is pulled."""
    prior, what = chain(), problem(copies=DRAWS)
    what = dataclasses.replace(what, y=torch.zeros_like(what.y), operator=Blind((1, 4, 4), (1, 4, 4)))
    solver = APS(steps=4, inner_steps=inner_steps, last_time=0.0, **PRIOR_ORDERS[order])
    drawn = counts(prior.encode(run(solver, what, prior)[-1].estimate))
    p = prior.log_prob(prior.states()).exp()
    assert abs(chi_square(drawn, p)) < 4
    together = APS(steps=1, inner_steps=0)  # all at once they are independent, which the law is not
    assert chi_square(counts(prior.encode(run(together, what, prior)[-1].estimate)), p) > 20


def test_anchors_by_confidence_favour_likely_pictures() -> None:
    """A stated bias: what is likely is kept, so that likely pictures come up too often."""
    prior, what = chain(), problem(copies=DRAWS)
    p = prior.log_prob(prior.states()).exp()
    drawn = prior.encode(run(APS(steps=4, inner_steps=0, last_time=0.0), what, prior)[-1].estimate)
    assert chi_square(counts(drawn), p) > 20
    exact = float((p * p.log()).sum())
    assert float(prior.log_prob(drawn).mean()) > exact + 0.2


def test_it_recovers_tokens_that_the_measurement_tells() -> None:
    prior = chain()
    states = prior.states()[:: STATES // 16]
    x = prior.decode(states)
    what = Problem(x, operators.build("identity", (1, 4, 4)), Gaussian(sigma=0.0))
    for settings in ({"draw": "nearest"}, {"keep_best": True, "draw": "nearest"}, {"quantise": "none"}):
        solver = APS(steps=4, inner_steps=40, rate=0.5, **settings)
        out = list(solver.iterate(what, prior, NoiseSource(0, what.image_ids)))[-1].estimate
        assert torch.equal(prior.encode(out), states), settings


GENTLE = {"inner_steps": 20, "rate": 0.1}
SAMPLERS: dict[str, Solver] = {
    "unguided, a token at a time": APS(steps=4, inner_steps=0, last_time=0.0, anchor="random"),
    "aps, 20 steps of 0.1": APS(**GENTLE),
    "aps, 20 steps of 0.1, nearest code": APS(draw="nearest", **GENTLE),
    "g2d2, 5 times": G2D2(steps=5, inner_steps=10, rate=0.5, loss="likelihood", weight=1.0, spread=0.0),
}


def test_guidance_brings_the_draws_nearer_to_the_posterior_and_not_all_the_way() -> None:
    """Total variation to the enumerated posterior of 256 states, half of the pixels seen under noise of 0.3."""
    draws = 800
    prior, what = chain(), problem(missing=0.5, sigma=0.3, copies=draws)
    alone = problem(missing=0.5, sigma=0.3)

    def likelihood(pictures: Tensor) -> Tensor:
        many = dataclasses.replace(alone.repeated(len(pictures)), copies=1)
        return many.log_likelihood(pictures)

    posterior = prior.posterior(likelihood)
    exact = torch.multinomial(posterior, draws, replacement=True, generator=torch.Generator().manual_seed(0))
    floor = float((torch.bincount(exact, minlength=STATES) / draws - posterior).abs().sum() / 2)
    found = {"exact draws": floor}
    for name, solver in SAMPLERS.items():
        share = counts(prior.encode(run(solver, what, prior)[-1].estimate)) / draws
        found[name] = float((share - posterior).abs().sum() / 2)
    for name, distance in found.items():
        sys.stdout.write(f"{distance:.3f}  {name}\n")
    unguided, guided = found["unguided, a token at a time"], found["aps, 20 steps of 0.1"]
    assert floor < 0.1 and 0.1 < guided < unguided - 0.1
    assert found["g2d2, 5 times"] < unguided - 0.1


# -- beside the preset ------------------------------------------------------------------------------------------------


def test_other_noise_and_operators_that_are_not_linear() -> None:
    prior = chain()
    x = prior.decode(TRUE) + 2
    what = Problem(x * 50, operators.build("identity", (1, 4, 4)), Poisson(peak=1.0))
    lifted = TokenChain((2, 2), prior.first, prior.transition, prior.table * 50, prior.basis, offset=100.0)
    out = list(
        APS(steps=4, inner_steps=30, loss="likelihood", draw="nearest", rate=0.5).iterate(
            what, lifted, NoiseSource(0, what.image_ids)
        )
    )[-1].estimate
    assert torch.equal(lifted.encode(out), TRUE)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_driver_runs_it_on_odd_sizes_and_counts_network_calls(dtype: torch.dtype) -> None:
    prior = chain()
    y = prior.decode(TRUE)[..., :3, :4].to(dtype)
    what = Problem(y, operators.build("identity", (1, 3, 4)), Gaussian(sigma=0.1))
    result = restore.solve(what, prior, APS(steps=4, last_time=0.0, inner_steps=4), samples=2)
    assert result.estimate.shape == y.shape and result.estimate.dtype == dtype
    assert result.nfe == 4 and not bool((result.samples[0] - result.samples[1]).isnan().any())


def test_it_takes_the_embedded_tokens_where_nobody_names_a_prior() -> None:
    task = restore.tasks.load("denoise")
    assert (task.prior_for("aps"), task.prior_for("diffpir")) == ("tokens", task.prior)
    assert task.override({"solver.name": "aps"}).prior == "tokens"
    gray = torch.rand(1, 1, 21, 18, generator=torch.Generator().manual_seed(0))
    what = Problem(gray, operators.build("identity", (1, 21, 18)), Gaussian(sigma=0.1))
    result = restore.solve(what, solver=APS(steps=2, inner_steps=2))
    assert result.provenance["prior"]["name"] == "tokens" and result.estimate.shape == gray.shape
    assert float(result.estimate.min()) >= 0 and float(result.estimate.max()) <= 1


def test_a_weight_on_the_prior_keeps_the_logits_near_the_network() -> None:
    prior, what = chain(), problem()
    canvas = Canvas.blank(what, prior)
    logits = canvas.logits(canvas.places)
    kept = []
    for weight in (0.0, 10.0):
        solver = APS(inner_steps=20, rate=0.05, prior_weight=weight)
        phi, _ = solver.optimised(what, canvas, canvas.places, logits, logits, NoiseSource(0, ["a"]), 0)
        kept.append(float(solver.divergence(phi, logits)))
    assert kept[1] < 0.1 * kept[0] and float(APS().divergence(logits, logits).abs()) < 1e-12


def test_what_it_cannot_take_is_refused_before_any_work() -> None:
    class Wordless(MaskedPrior):
        name = "wordless"

        def logits(self, tokens: Tensor) -> Tensor:
            raise AssertionError("it was asked")

    source = NoiseSource(0, ["picture"])
    with pytest.raises(BadInput, match="wordless stand for no vectors"):
        next(APS().iterate(problem(), Wordless(4), source))
    with pytest.raises(BadInput, match="given a diffusion prior"):
        next(APS().iterate(problem(), GaussianPrior(torch.zeros(1, 4, 4), std=torch.ones(1, 4, 4)), source))
    with pytest.raises(BadInput, match="perceptual is 1"):
        next(APS(perceptual=1.0).iterate(problem(), chain(), source))
    with pytest.raises(BadInput, match="probabilities"):
        TokenChain((2, 2), torch.ones(4), torch.ones(4, 4), torch.ones(4, 1), torch.ones(1, 1, 2, 2))
