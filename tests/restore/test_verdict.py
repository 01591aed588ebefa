"""What the data say of an answer: a level, an operator or values that do not fit are named; a right answer is not."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import restore
from operators import Blur, Identity, Mask
from operators.noise import Gaussian, Quantised
from priors import wrap
from restore import tasks
from restore.problem import Problem
from restore.runs.verdict import findings
from restore.solvers.classical.measurement import Measurement

SHAPE = (3, 48, 40)


def picture(seed: int = 0) -> Tensor:
    """Smooth stripes with an edge, in [0, 1]."""
    rows, columns = torch.meshgrid(torch.linspace(0, 3, SHAPE[1]), torch.linspace(0, 2, SHAPE[2]), indexing="ij")
    wave = 0.5 + 0.3 * torch.sin(3 * rows + seed) * torch.cos(4 * columns)
    return torch.stack([wave, 1 - wave, torch.where(columns > 1, 0.7, 0.2)])[None]


def measured(sigma: float, *, said: float | None = None, blur: bool = False) -> Problem:
    operator = Blur(SHAPE, kernel="gaussian", size=7) if blur else Identity(SHAPE)
    problem = restore.measure(picture(), operator, sigma)
    return Problem(problem.y, operator, Gaussian(sigma=sigma if said is None else said), truth=problem.truth)


def verdict(problem: Problem, estimate: Tensor) -> tuple[str, ...]:
    return findings(problem, estimate, estimate[None])


@pytest.mark.parametrize("blur", [False, True])
@pytest.mark.parametrize("sigma", [0.01, 0.1])
def test_nothing_speaks_against_the_truth(sigma: float, blur: bool) -> None:
    assert verdict(measured(sigma, blur=blur), picture()) == ()


def test_a_level_that_is_too_small_is_said() -> None:
    (sentence,) = verdict(measured(0.1, said=0.02), picture())
    assert "5 times the noise" in sentence or "4.9" in sentence or "5.0" in sentence, sentence
    assert "larger than was given" in sentence


@pytest.mark.parametrize("blur", [False, True])
def test_a_level_that_is_too_large_is_said(blur: bool) -> None:
    sentences = verdict(measured(0.005, said=0.2, blur=blur), picture())
    assert len(sentences) == 1 and "the noise is smaller" in sentences[0], sentences


def test_few_measurements_may_be_met_exactly() -> None:
    """A mask that hides half of the picture leaves room for any residual: small ones say nothing there."""
    mask = Mask(SHAPE, missing=0.5, seed=1)
    problem = restore.measure(picture(), mask, 0.05)
    assert verdict(problem, torch.where(mask.observed, problem.y, picture())) == ()


def test_another_operator_than_that_of_the_measurement_is_said() -> None:
    blurred = measured(0.01, blur=True)
    wrong = Problem(blurred.y, Identity(SHAPE), blurred.noise)
    sentences = verdict(wrong, picture())
    assert any("does not explain the measurement" in s for s in sentences), sentences
    assert any("neighbouring" in s and "correlate" in s for s in sentences), sentences


def test_structure_in_the_residual_is_said() -> None:
    problem = measured(0.1)
    smooth = picture() - 0.09 * torch.sin(torch.linspace(0, 12, SHAPE[1]))[:, None]
    sentences = verdict(problem, smooth)
    assert len(sentences) == 1 and "The residual is not noise" in sentences[0], sentences


def test_values_far_from_the_legal_range_are_said_where_a_task_names_one() -> None:
    problem = measured(0.0)
    far = picture().clone()
    far[..., :5, :5] = 3.0
    assert verdict(problem, far) == ()  # nobody said what a script's pictures may be
    task = tasks.load("denoise").problem(picture())
    posed = Problem(problem.y, problem.operator, problem.noise, recipe=task.recipe)
    (sentence,) = verdict(posed, far)
    assert "outside the legal range 0 to 1" in sentence and "reach" in sentence
    assert verdict(posed, picture() + 0.05) == ()


def test_equal_samples_are_said() -> None:
    problem = measured(0.1)
    samples = picture().expand(3, *picture().shape)
    (sentence,) = findings(problem, picture(), samples)
    assert "All 3 samples are equal" in sentence


def test_an_empty_batch_and_complex_pictures_have_a_verdict() -> None:
    empty = Problem(torch.zeros(0, *SHAPE), Identity(SHAPE), Gaussian(sigma=0.1))
    assert verdict(empty, torch.zeros(0, *SHAPE)) == ()
    operator = Identity(SHAPE, complex_values=True)
    y = torch.complex(picture(), picture())
    assert verdict(Problem(y, operator, Gaussian(sigma=0.1)), y - 1)[0].startswith("The estimate does not explain")


@pytest.mark.parametrize("name", ["denoise", "deblur-gaussian", "sr2x", "inpaint-random"])
def test_a_shipped_task_at_its_own_level_is_not_blamed(name: str) -> None:
    task = tasks.load(name)
    problem = task.problem(picture()[..., :48, :40].clamp(0, 1))
    result = restore.solve(problem, solver="tv")
    assert not [s for s in result.verdict if "level" in s or "explain" in s], result.verdict


def test_the_level_that_does_not_fit_a_prior_is_in_the_result() -> None:
    problem = measured(0.002, said=0.2, blur=True)
    result = restore.solve(problem, prior=wrap(lambda x, sigma: x / (1 + sigma**2)), solver=Measurement())
    assert any("level" in sentence for sentence in result.verdict)
    assert result.verdict is result.verdict  # computed once


def test_quantised_noise_has_a_verdict() -> None:
    problem = restore.measure(picture(), Identity(SHAPE), Quantised(bits=8))
    assert isinstance(findings(problem, picture(), picture()[None]), tuple)
