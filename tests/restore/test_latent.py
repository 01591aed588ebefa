"""A latent prior is a prior: the solver works on z, everybody else sees pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import operators
import priors
import restore
from operators import BadInput, NoiseSource
from operators.common.registry import Entry
from operators.common.space import Affine, Latent
from operators.core.posing import Decode
from priors.analytic.gaussian import GaussianPrior
from restore.problem import Problem
from restore.runs import again
from restore.solvers.base import Solver, State

PICTURE, CODE = (1, 12, 12), (2, 3, 3)
SIGMA = 0.05


def decoder() -> Any:
    """18 smooth patterns of 144 pixels."""
    matrix = torch.randn(144, 18, generator=torch.Generator().manual_seed(1), dtype=torch.float64) / 24
    return operators.from_matrix(matrix, input_shape=CODE, output_shape=PICTURE)


def offset() -> Tensor:
    return torch.linspace(0.3, 0.6, 144, dtype=torch.float64).reshape(PICTURE)


def space() -> Latent:
    decode = decoder()
    return Latent(lambda x: decode.pinv(x, rtol=1e-6), decode, CODE, offset=offset())


def codes() -> GaussianPrior:
    """The prior of z."""
    scale = torch.linspace(0.3, 1.2, 18, dtype=torch.float64)
    return GaussianPrior(torch.full(CODE, 0.2, dtype=torch.float64), covariance=torch.diag(scale**2))


def toy() -> GaussianPrior:
    """Pictures offset + D z."""
    prior = codes().within(space(), channels=(1,))
    prior.name = "toy-latent"
    return prior


def picture() -> Tensor:
    return space().to(codes().sample(1, NoiseSource(5, ["z"])))


def posed(operator: Any = None) -> Problem:
    measure = operators.Blur(PICTURE, boundary="reflect") if operator is None else operator
    x = picture()
    y = operators.noise.Gaussian(sigma=SIGMA).sample(measure(x), NoiseSource(0, ["y"]))
    return Problem(y, measure, operators.noise.Gaussian(sigma=SIGMA), truth=x)


def closed_form(problem: Problem) -> Tensor:
    """offset + D E[z | y] by dense algebra."""
    matrix = operators.core.interop.to_dense(problem.linear @ decoder())
    prior = codes()
    mean, covariance = prior.mean.flatten(), prior.covariance
    gain = (
        covariance
        @ matrix.T
        @ torch.linalg.inv(matrix @ covariance @ matrix.T + SIGMA**2 * torch.eye(len(matrix), dtype=torch.float64))
    )
    y = (problem.y - problem.operator(offset()[None])).flatten()
    return space().to((mean + gain @ (y - matrix @ mean)).reshape(1, *CODE))


@dataclasses.dataclass(frozen=True)
class Climb(Solver):
    """Ascent with momentum of log p(y | z) + log p_s(z), with the score that Tweedie's formula gives at a small s."""

    steps: int = 300
    small: float = 1e-3

    def iterate(self, problem: Problem, prior: Any, noise: Any) -> Iterator[State]:
        z = torch.zeros(len(problem.y), *problem.operator.input_shape, dtype=problem.y.dtype)
        rate = 1 / (problem.linear.norm() ** 2 / problem.sigma**2 + 1 / 0.3**2)
        momentum = torch.zeros_like(z)
        for step in range(self.steps):
            score = (prior.denoise(z, self.small) - z) / self.small**2
            slope = problem.linear.adjoint(problem.residual(z)) / problem.sigma**2 + score
            momentum = 0.9 * momentum + rate * slope
            z = z + momentum
            yield State(x=z, x0=z, estimate=z, step=step, sigma=self.small)


def test_the_posterior_mean_of_a_latent_prior_is_the_closed_form_in_pictures() -> None:
    problem = posed()
    result = restore.solve(problem, toy(), Climb())
    torch.testing.assert_close(result.estimate, closed_form(problem), rtol=0, atol=1e-5)
    assert result.problem.truth is problem.truth
    assert problem.chi2(result.estimate) == pytest.approx(result.problem.chi2(result.estimate))
    residual = problem.residual(result.estimate).square().mean().sqrt()
    assert result.trace[-1]["residual_rms"] == pytest.approx(float(residual), rel=1e-6)


def test_a_sampler_of_the_package_draws_pictures_around_the_closed_form() -> None:
    problem = posed()
    result = restore.solve(problem, toy(), "diffpir", samples=4)
    assert result.samples.shape == (4, 1, *PICTURE) and result.std is not None
    # The posterior's standard deviation is 0.09; four samples of this sampler come within 0.051.
    assert float((result.estimate - closed_form(problem)).square().mean().sqrt()) < 0.06


def test_units_around_and_inside_a_latent_space_change_no_answer() -> None:
    problem = posed()
    inner = codes()
    moved = GaussianPrior((inner.mean - 0.5) / 2.0, covariance=inner.covariance / 4.0)
    prior = moved.within(Affine(0.1, 1.5) @ _scaled(1 / 1.5, 0.1) @ Affine(0.5, 2.0))
    estimate = restore.solve(problem, prior, Climb(small=5e-4)).estimate
    torch.testing.assert_close(estimate, closed_form(problem), rtol=0, atol=1e-4)


def _scaled(factor: float, shift: float) -> Latent:
    """x = (offset - shift + D z) factor."""
    return Latent(None, factor * decoder(), CODE, offset=(offset() - shift) * factor)


def test_a_decoder_that_is_not_linear_serves_solvers_that_need_no_linear_operator() -> None:
    bent = Latent(None, lambda z: torch.tanh(decoder()(z)), CODE)
    x = bent.to(codes().sample(1, NoiseSource(5, ["z"])))
    problem = Problem(x, operators.Identity(PICTURE), operators.noise.Gaussian(sigma=0.01), truth=x)
    prior = codes().within(bent)
    with pytest.raises(BadInput, match="decoder of the latents is not"):
        restore.solve(problem, prior, "diffpir")
    result = restore.solve(problem, prior, "dps")
    assert result.estimate.shape == x.shape
    assert float((result.estimate - x).square().mean().sqrt()) < 0.5 * float(x.std())


def test_a_decoder_in_the_operator_gives_pictures_too() -> None:
    problem = posed()
    z = space().back(problem.truth)
    composed = Problem(problem.y, problem.operator @ Decode(space(), PICTURE), problem.noise, truth=z)
    result = restore.solve(composed, codes(), Climb())
    torch.testing.assert_close(result.estimate, closed_form(problem), rtol=0, atol=1e-5)
    torch.testing.assert_close(result.problem.truth, problem.truth)
    bare = restore.solve(composed, None, "tikhonov")
    assert bare.estimate.shape == problem.truth.shape


def test_a_latent_prior_denoises_latents_only_and_says_how() -> None:
    prior = toy()
    with pytest.raises(BadInput, match=r"prior\.space\.back"):
        prior.denoise(picture(), 0.1)
    z = prior.space.back(picture())
    torch.testing.assert_close(prior.native.denoise(z, 0.1), codes().denoise(z, 0.1))


def test_a_latent_result_is_saved_reported_and_repeated_as_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(priors.REGISTRY._entries, "toy-latent", Entry(f"{__name__}:toy", "a toy"))
    problem = restore.tasks.load("denoise").problem(picture()[0].float(), seed=1)
    result = restore.solve(problem, "toy-latent", "diffpir", samples=2)
    file = result.save(tmp_path / "result.h5")
    page = restore.report.page_from_result(file, {"task": "denoise"}, command="a test")
    assert page.pictures["estimate"].shape == PICTURE and page.pictures["error"].abs().max() < 0.4
    assert again.repeat(file).bitwise
