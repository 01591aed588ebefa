"""A kind of prior is a class: what solves, counts, tiles and records it knows none by name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import operators
import restore
from operators import BadInput, BadType
from priors.base import DiffusionPrior, Prior
from priors.discrete.masked import MaskedPrior
from restore.driver import Settings
from restore.problem import Problem
from restore.solvers.base import Solver, State

SHAPE = (1, 40, 30)


class Neighbours(MaskedPrior):
    """Black and white pixels that are as the seen ones around them."""

    name = "neighbours"

    def __init__(self) -> None:
        super().__init__(2, channels=(1,))

    def logits(self, tokens: Tensor) -> Tensor:
        seen = torch.stack([(tokens == value).float() for value in range(2)], dim=1)
        return 4 * F.avg_pool2d(seen, 5, stride=1, padding=2)

    def encode(self, picture: Tensor) -> Tensor:
        return (picture[:, 0] > 0.5).long()

    def decode(self, tokens: Tensor) -> Tensor:
        return tokens[:, None].float()


@dataclass(frozen=True)
class Unmask(Solver):
    """Observed pixels are tokens; the others take the likelier value, a ring around the seen ones at a time."""

    prior_kind = MaskedPrior
    steps: int = 4

    def iterate(self, problem: Problem, prior: Any, noise: Any) -> Iterator[State]:
        seen = problem.operator.observed.expand(problem.y.shape)[:, 0]
        tokens = torch.where(seen, prior.encode(problem.y), prior.mask)
        for step in range(self.steps):
            shares = prior.probabilities(tokens)
            certain = shares.max(1).values > 0.55
            tokens = torch.where((tokens == prior.mask) & certain, shares.argmax(1), tokens)
            guess = torch.where(tokens == prior.mask, shares.argmax(1), tokens)
            picture = prior.decode(guess)
            yield State(x=tokens, x0=picture, estimate=picture, step=step)


class Guess(Prior):
    """A kind nobody has heard of: it answers with a picture's mean."""

    calls = ("guess",)
    kind = "guess"

    def guess(self, y: Tensor) -> Tensor:
        return y.mean((-2, -1), keepdim=True).expand_as(y)


@dataclass(frozen=True)
class Ask(Solver):
    prior_kind = Guess
    steps: int = 3

    def iterate(self, problem: Problem, prior: Any, noise: Any) -> Iterator[State]:
        for step in range(self.steps):
            x = prior.guess(problem.y)
            yield State(x=x, x0=x, estimate=x, step=step)


def halves(missing: float) -> Problem:
    x = torch.zeros(1, *SHAPE)
    x[..., 15:] = 1.0
    mask = operators.Mask(SHAPE, missing=missing)
    return Problem(mask(x), mask, operators.noise.Gaussian(sigma=0.0), truth=x)


def test_a_prior_of_tokens_restores_a_picture_and_is_counted_and_recorded() -> None:
    problem = halves(0.6)
    result = restore.solve(problem, Neighbours(), Unmask(), samples=2)
    assert result.nfe == 4 and result.timing.network > 0
    assert float((result.estimate != problem.truth).float().mean()) < 0.05
    assert result.provenance["prior"] == {"name": "neighbours", "sha256": ""}


def test_a_prior_of_tokens_runs_in_tiles() -> None:
    problem = halves(0.6)
    whole = restore.solve(problem, Neighbours(), Unmask()).estimate
    large = F.pad(problem.truth, (60, 60, 60, 60), mode="replicate")
    mask = operators.Mask(tuple(large.shape[1:]), missing=0.6)
    wide = Problem(mask(large), mask, operators.noise.Gaussian(sigma=0.0), truth=large)
    tiled = restore.solve(wide, Neighbours(), Unmask(), settings=Settings(tile=64))
    untiled = restore.solve(wide, Neighbours(), Unmask())
    assert tiled.estimate.shape == large.shape and whole.shape == problem.truth.shape
    assert float((tiled.estimate != untiled.estimate).float().mean()) < 0.01
    assert tiled.nfe == untiled.nfe == 4


def test_tokens_that_are_seen_are_certain_and_others_sum_to_one() -> None:
    prior = Neighbours()
    tokens = torch.tensor([[[0, 1, 2, 2]]])
    shares = prior.probabilities(tokens)
    torch.testing.assert_close(shares.sum(1), torch.ones(1, 1, 4))
    assert shares[0, :, 0, 0].tolist() == [1.0, 0.0] and 0 < float(shares[0, 0, 0, 2]) < 1
    with pytest.raises(BadInput, match="no tokens"):
        prior.probabilities(tokens + 1)


def test_a_kind_of_ones_own_is_driven_like_any_other() -> None:
    problem = halves(0.5)
    result = restore.solve(problem, Guess(), Ask(), samples=3, settings=Settings(tile=64))
    assert result.nfe == 3 and result.provenance["prior"]["name"] == "Guess"
    torch.testing.assert_close(result.estimate, problem.y.mean((-2, -1), keepdim=True).expand(1, *SHAPE))


def test_a_prior_of_another_kind_is_refused_in_words() -> None:
    problem = halves(0.5)
    with pytest.raises(BadInput, match="is a guess prior; wanted a masked prior"):
        restore.solve(problem, Guess(), Unmask())
    with pytest.raises(BadInput, match=r"wanted a resshift prior .* restore train resshift"):
        restore.solve(problem, Neighbours(), "resshift")


def test_a_solver_may_still_name_its_kind_by_a_word() -> None:
    @dataclass(frozen=True)
    class Old(Ask):
        prior_kind = "guess"

    assert restore.solve(halves(0.5), Guess(), Old()).nfe == 3
    assert Old.kind_taken() == "guess" and not Old.takes(DiffusionPrior())


def test_a_prior_that_names_no_call_is_refused() -> None:
    class Silent(Guess):
        calls = ()

    with pytest.raises(BadType, match="names no network calls"):
        restore.solve(halves(0.5), Silent(), Ask())
