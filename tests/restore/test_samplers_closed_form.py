"""Posterior samplers on Gaussian priors, where a run without noise is the mean of all runs.

A Gaussian prior without a legal range makes every step affine in the noise, so that drawing zeros gives the mean over
all draws, and its distance to the posterior mean is the bias of the method, without any error of sampling.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

import operators
from operators import BadInput
from operators.blurring.blur import Blur
from operators.common.randomness import NoiseSource
from operators.core.base import LinearOperator
from operators.missing.mask import Mask
from operators.noise import Gaussian as GaussianNoise
from priors.analytic.gaussian import GaussianPrior
from restore import solvers
from restore.problem import Problem
from restore.runs.matching import check_fit
from restore.solvers.diffusion.ddnm import DDNM, travelled
from restore.solvers.diffusion.ddrm import DDRM
from restore.solvers.diffusion.pigdm import PiGDM
from restore.solvers.diffusion.red_diff import REDDiff
from restore.solvers.diffusion.tmpd import EXACT_UP_TO, TMPD
from restore.solvers.parts.ladder import ladder, strided
from restore.solvers.parts.spectral import spectrum

SIDE = 6
SHAPE = (1, SIDE, SIDE)
PIXELS = SIDE * SIDE


class Silent:
    """A source of noise that is always zero."""

    def normal(self, stream: str, like: Tensor) -> Tensor:
        return torch.zeros_like(like)

    def skip(self, stream: str, like: Tensor) -> None:
        """Nothing to skip."""


class Dense(LinearOperator):
    """A dense matrix on the flattened picture."""

    def __init__(self, matrix: Tensor) -> None:
        super().__init__(SHAPE, (len(matrix),))
        self.register_buffer("matrix", matrix)

    def _forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.constant("matrix", x).T

    def _adjoint(self, y: Tensor) -> Tensor:
        return (y @ self.constant("matrix", y)).reshape(-1, *SHAPE)

    def pinv(self, y: Tensor, *, rtol: float = 1e-3) -> Tensor:
        return (y @ torch.linalg.pinv(self.constant("matrix", y)).T).reshape(-1, *SHAPE)


def _white(std: float = 0.5) -> GaussianPrior:
    return GaussianPrior(torch.full(SHAPE, 0.1, dtype=torch.float64), std=std)


def _correlated() -> GaussianPrior:
    where = torch.cartesian_prod(torch.arange(SIDE), torch.arange(SIDE)).double()
    covariance = 0.25 * torch.exp(-(torch.cdist(where, where) ** 2) / 4.5)
    covariance = covariance + 0.01 * torch.eye(PIXELS, dtype=torch.float64)
    return GaussianPrior(torch.full(SHAPE, 0.1, dtype=torch.float64), covariance=covariance)


def _mixing(rows: int = 12) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(rows, PIXELS, generator=generator, dtype=torch.float64) / PIXELS**0.5


def _problem(prior: GaussianPrior, sigma: float, operator: LinearOperator | None = None) -> Problem:
    operator = Dense(_mixing()) if operator is None else operator
    clean = operator(prior.sample(2, NoiseSource(0, ["a", "b"])))
    y = clean + sigma * NoiseSource(1, ["a", "b"]).normal("noise", clean)
    return Problem(y, operator, GaussianNoise(sigma=sigma), image_ids=("a", "b"))


def _bias(name: str, prior: GaussianPrior, problem: Problem, **settings: Any) -> float:
    """Distance of the mean of all runs to the posterior mean, in posterior standard deviations."""
    posterior = prior.posterior(problem)
    mean = list(solvers.build(name, **settings).iterate(problem, prior, Silent()))[-1].estimate
    return float((mean - posterior.mean).norm() / posterior.std.norm())


def _given(prior: GaussianPrior, problem: Problem, x: Tensor, t: int) -> Tensor:
    """E[x0 | x_t, y]: both are measurements of x0."""
    matrix = problem.operator.matrix
    alpha, sigma = prior.alpha(t), prior.sigma(t)
    precision = torch.linalg.inv(prior.covariance)
    total = precision + alpha**2 / sigma**2 * torch.eye(PIXELS) + matrix.T @ matrix / problem.sigma**2
    right = precision @ prior.mean.flatten() + alpha / sigma**2 * x.flatten(1) + problem.y @ matrix / problem.sigma**2
    return torch.linalg.solve(total, right.T).T.reshape(x.shape)


@pytest.mark.parametrize("t", [20, 300, 900])
def test_pigdm_is_exact_for_white_pictures(t):
    prior = _white()
    problem = _problem(prior, 0.1)
    x = NoiseSource(2, ["a", "b"]).normal("x", torch.zeros(2, *SHAPE, dtype=torch.float64))
    solver = PiGDM(prior_std=0.5)
    x0, g = solver.guidance(problem, prior, x, t)
    moved = x0 + prior.sigma(t) ** 2 / (prior.alpha(t) * solver.left_open(prior, t)) * g
    torch.testing.assert_close(moved, _given(prior, problem, x, t), rtol=0, atol=1e-7)


@pytest.mark.parametrize("t", [20, 300, 900])
def test_full_tmpd_is_exact_for_correlated_pictures(t):
    prior = _correlated()
    problem = _problem(prior, 0.1)
    x = NoiseSource(2, ["a", "b"]).normal("x", torch.zeros(2, *SHAPE, dtype=torch.float64))
    found = TMPD(kind="full").projected(problem, prior, x, t, Silent())
    torch.testing.assert_close(found, _given(prior, problem, x, t), rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    ("name", "prior", "settings"),
    [
        ("pigdm", _white(), {"eta": 1.0}),
        ("pigdm", _white(), {"eta": 0.0}),
        ("tmpd", _correlated(), {"kind": "full"}),
        ("flowchef", _white(), {}),
    ],
)
def test_mean_of_exact_methods_is_the_posterior_mean(name, prior, settings):
    problem = _problem(prior, 0.1)
    begin = {"first_time": 0.999} if name == "flowchef" else {"first_time": 1000}
    for steps in (25, 400):
        assert _bias(name, prior, problem, steps=steps, start="zero", **begin, **settings) < 0.006


def test_spread_of_pigdm_comes_to_that_of_the_posterior_as_steps_grow():
    prior, chains = _white(), 400
    problem = _problem(prior, 0.1)
    many = dataclasses.replace(
        problem, y=problem.y.repeat_interleave(chains, 0), image_ids=tuple(str(k) for k in range(2 * chains))
    )
    posterior = prior.posterior(problem)

    def excess(steps: int) -> float:
        solver = PiGDM(steps=steps, first_time=1000, start="noise")
        last = list(solver.iterate(many, prior, NoiseSource(0, many.image_ids)))[-1].estimate
        spread = last.reshape(2, chains, *SHAPE).std(1)
        return abs(float(spread.norm() / posterior.std.norm()) - 1)

    few, enough = excess(10), excess(500)
    print(f"\nspread off by {few:.3f} with 10 steps, {enough:.3f} with 500")  # noqa: T201 - what -s shows
    assert enough < 0.03  # 400 chains know it to 0.006
    assert enough < few / 3


# What is left with many steps, in posterior standard deviations, on a correlated prior: the approximation itself.
STATED = {
    ("pigdm", "bayes"): ({}, 0.44),
    ("tmpd", "row-sum"): ({"kind": "row-sum"}, 0.32),
    ("tmpd", "diagonal"): ({"kind": "diagonal"}, 0.42),
    ("ddrm", ""): ({}, 0.2),
    ("ddnm", ""): ({}, 0.2),
    ("dds", ""): ({"iterations": 30}, 0.19),
    ("score-sde", ""): ({}, 0.52),
    ("flowchef", ""): ({}, 0.74),
}


@pytest.mark.parametrize("case", STATED, ids=lambda case: "-".join(filter(None, case)))
def test_bias_of_the_others_is_as_stated(case):
    settings, bound = STATED[case]
    name, prior = case[0], _correlated()
    problem = _problem(prior, 0.1)
    begin = {"flowchef": {"first_time": 0.999}, "score-sde": {"first": 50.0}}.get(name, {"first_time": 1000})
    bias = _bias(name, prior, problem, steps=400, start="zero", **begin, **settings)
    print(f"\n{name} {case[1]} bias {bias:.3f} posterior standard deviations")  # noqa: T201 - what -s shows
    assert bias < bound


@pytest.mark.parametrize("name", ["ddrm", "ddnm", "score-sde", "pigdm"])
def test_noise_free_measurements_are_met(name):
    prior = _correlated()
    problem = _problem(prior, 0.0)
    solver = solvers.build(name, **({"sigma_floor": 0.0} if name == "pigdm" else {}))
    last = list(solver.iterate(problem, prior, NoiseSource(0, problem.image_ids)))[-1]
    assert float(problem.residual(last.estimate).abs().max()) < 1e-8


def test_dds_without_limits_is_the_exact_data_step():
    prior = _correlated()
    problem = _problem(prior, 0.1)
    x0 = NoiseSource(2, ["a", "b"]).normal("x", torch.zeros(2, *SHAPE, dtype=torch.float64))
    found = solvers.build("dds", iterations=60).data_step(problem, x0, 0.3)
    torch.testing.assert_close(found, x0 + problem.linear.correction(problem.residual(x0), 0.3), rtol=0, atol=1e-7)


def test_probed_diagonal_is_the_exact_one_on_average():
    prior = GaussianPrior(torch.zeros(1, 18, 18, dtype=torch.float64), std=0.5)
    operator = Mask((1, 18, 18), kind="random", missing=0.5, seed=0)
    assert operator.output_shape[1] * operator.output_shape[2] > EXACT_UP_TO
    y = NoiseSource(0, ["a"]).normal("y", torch.zeros(1, 1, 18, 18, dtype=torch.float64)) * operator.keep
    problem = Problem(y, operator, GaussianNoise(sigma=0.1), image_ids=("a",))
    x = NoiseSource(1, ["a"]).normal("x", y)
    row, probed = (
        TMPD(kind=kind, floor=1e-9).projected(problem, prior, x, 200, NoiseSource(2, ["a"]))
        for kind in ("row-sum", "diagonal")
    )
    torch.testing.assert_close(row, probed, rtol=0, atol=1e-9)  # a mask and independent pixels: no cross terms


# -- the parts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "operator",
    [
        Dense(_mixing()),
        Mask(SHAPE, kind="random", missing=0.5, seed=0),
        Blur(SHAPE, kernel="gaussian", size=5, sigma=1.0, boundary="circular"),
    ],
    ids=["dense", "mask", "blur"],
)
def test_spectrum_is_the_operator(operator):
    problem = _problem(_white(), 0.1, operator)
    parts = spectrum(problem, rtol=0.0)
    x = NoiseSource(2, ["a", "b"]).normal("x", torch.zeros(2, *SHAPE, dtype=torch.float64))
    torch.testing.assert_close(parts.synthesise(parts.analyse(x)), x, rtol=0, atol=1e-10)
    torch.testing.assert_close(parts.synthesise(parts.s**2 * parts.analyse(x)), operator.gram(x), rtol=0, atol=1e-10)
    adjoint = parts.synthesise(parts.s * parts.y)
    torch.testing.assert_close(adjoint, operator.adjoint(problem.y), rtol=0, atol=1e-10)


def test_solvers_in_singular_vectors_refuse_an_operator_without_them():
    shape = (1, 64, 64)
    operator = operators.build("ct-parallel", shape, views=8)
    y = torch.zeros(1, *operator.output_shape)
    noisy = Problem(y, operator, GaussianNoise(sigma=0.1))
    for name in ("ddrm", "ddnm"):
        with pytest.raises(BadInput, match="singular vectors"):
            check_fit(noisy, solvers.build(name))
    check_fit(noisy, DDNM(rule="plain"))
    check_fit(dataclasses.replace(noisy, noise=GaussianNoise(sigma=0.0)), DDNM())
    with pytest.raises(BadInput, match="backward pass"):
        check_fit(noisy, TMPD(kind="full"))


def test_times_end_at_zero_and_fall():
    for steps, span, spacing in itertools.product((1, 7, 50, 1000), (1, 10, 400, 1000), ("uniform", "quad")):
        times = ladder(steps, span=span, spacing=spacing)
        assert times[-1] == 0 and times[0] < span
        assert times == sorted(set(times), reverse=True)
    assert strided(20) == list(range(950, -1, -50))


def test_time_travel_visits_every_stretch_as_often_as_asked():
    visits = travelled(20, 5, 3)
    assert visits[0] == 19 and visits[-1] == -1
    assert all(abs(a - b) == 1 for a, b in itertools.pairwise(visits))
    assert visits.count(12) == 5  # three times down, twice up
    assert DDNM(steps=20, travel_length=5, travel_repeat=3).total == sum(b < a for a, b in itertools.pairwise(visits))


def test_ddrm_trusts_the_better_of_state_and_measurement():
    """A coordinate measured without noise is y / s at every level; an unmeasured one is the prior's."""
    prior = _white()
    problem = _problem(prior, 0.0, Mask(SHAPE, kind="random", missing=0.5, seed=0))
    states = list(DDRM(steps=5).iterate(problem, prior, Silent()))
    for state in states[:-1]:
        assert bool(torch.isfinite(state.x).all())
    assert torch.equal(states[-1].estimate[:, problem.operator.keep], problem.y[:, problem.operator.keep])


# -- RED-Diff -------------------------------------------------------------------------------------------------------


def test_grouped_times_are_the_mean_of_their_gradients():
    """One step of two times from the released parallel variant: Adam's first step is lr g / (|g| + eps)."""
    prior = _correlated()
    problem = _problem(prior, 0.1)
    solver = REDDiff(steps=2, group=2, stop=0.0, start="zero", lr=0.1, eps=1e-3)
    (state,) = list(solver.iterate(problem, prior, Silent()))
    mu = torch.zeros(2, *SHAPE, dtype=torch.float64)
    gradients = []
    for t in solver.times(0):
        ratio = prior.sigma(t) / prior.alpha(t)
        gradients.append(solver.gradient(problem, mu, (mu - prior.x0(prior.alpha(t) * mu, t)) / ratio, ratio))
    g = sum(gradients) / 2
    torch.testing.assert_close(state.estimate, mu - 0.1 * g / (g.abs() + 1e-3), rtol=0, atol=1e-12)


def test_balance_and_last_step_are_what_they_say():
    prior = _correlated()
    problem = _problem(prior, 0.1)
    u = prior.sample(2, NoiseSource(3, ["a", "b"]))
    means, sums = (REDDiff(balance=b, data_weight=2.0).gradient(problem, u, 0 * u, 1.0) for b in ("means", "sums"))
    torch.testing.assert_close(means, PIXELS / 12 * sums)
    torch.testing.assert_close(sums, -2 * problem.operator.adjoint(problem.residual(u)))
    path = [s.estimate for s in REDDiff(steps=40, lr=0.1, lr_last=0.01).iterate(problem, prior, Silent())]
    assert float((path[-1] - path[-2]).abs().max()) < 0.0011 * 3


@pytest.mark.parametrize(
    ("weight", "at_four"),
    [
        ("linear", 4.0),
        ("sqrt", 2.0),
        ("square", 16.0),
        ("log", 1.6094379124341003),
        ("trunc-linear", 1.0),
        ("power2over3", 2.519842099789746),
        ("constant", 1.0),
    ],
)
def test_every_published_weight(weight, at_four):
    prior = _correlated()
    problem = _problem(prior, 0.1)
    one = torch.ones(2, *SHAPE, dtype=torch.float64)
    solver = REDDiff(weight=weight, lambda_=1.0, data_weight=0.0)
    torch.testing.assert_close(solver.gradient(problem, one, one, 4.0), at_four * one)
