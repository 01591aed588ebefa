"""What the samplers refuse before any work, in words that name the remedy."""

from __future__ import annotations

import pytest
import torch

from operators import BadInput
from operators.common.randomness import Tape
from operators.core.identity import Identity
from operators.core.unknown import UnknownTone
from operators.noise import Gaussian
from priors.analytic.gaussian import GaussianPrior
from restore import solvers
from restore.problem import Problem

PRIOR = GaussianPrior(torch.zeros(1, 4, 4, dtype=torch.float64), std=1.0)


@pytest.mark.parametrize("name", ["mcg-diff", "afdps", "mbir", "hir-diff", "joint"])
def test_complex_pictures_are_refused(name):
    operator = Identity((1, 4, 4), complex_values=True)
    problem = Problem(torch.zeros(1, 1, 4, 4, dtype=torch.complex128), operator, Gaussian(sigma=0.1))
    with pytest.raises(BadInput, match="real"):
        next(solvers.build(name).iterate(problem, PRIOR, Tape([])))


def test_an_exact_draw_is_refused_for_an_operator_that_is_not_linear():
    problem = Problem(torch.zeros(1, 1, 4, 4), UnknownTone((1, 4, 4)), Gaussian(sigma=0.1))
    with pytest.raises(BadInput, match="langevin"):
        next(solvers.build("daps", inner="exact").iterate(problem, PRIOR, Tape([])))


def test_an_operator_without_values_says_how_to_give_them():
    tone = UnknownTone((1, 4, 4))
    y = torch.full((2, 1, 4, 4), 0.25)
    with pytest.raises(BadInput, match="nominal"):
        tone(y)
    known = tone.at(tone.first(y))
    torch.testing.assert_close(known(known.direct(y)), y)
    assert known.nominal["gain"].flatten().tolist() == [0.5, 0.5]


@pytest.mark.parametrize("name", ["daps", "pnp-dm", "mbir", "afdps", "joint"])
def test_a_ladder_that_rises_is_refused(name):
    with pytest.raises(BadInput, match="at most first"):
        solvers.build(name, first=0.1, last=0.2)
