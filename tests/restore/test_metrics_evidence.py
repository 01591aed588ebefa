"""Metrics of an answer: each says what it needs, is None with the reason without it, else is its own function."""

from __future__ import annotations

import pytest
import torch

from operators import BadInput, Identity
from operators.noise import Gaussian
from restore import metrics
from restore.metrics import Evidence, appraise
from restore.metrics.directions import measure
from restore.problem import Problem

TRUTH = torch.rand(2, 3, 24, 24, generator=torch.Generator().manual_seed(0))
SAMPLES = TRUTH + 0.1 * torch.randn(6, *TRUTH.shape, generator=torch.Generator().manual_seed(1))
ESTIMATE = SAMPLES.mean(0).clamp(0, 1)
OPERATOR = Identity((3, 24, 24))


def posed(sigma: float, estimate: torch.Tensor = ESTIMATE) -> tuple[Problem, torch.Tensor]:
    return Problem(TRUTH, OPERATOR, Gaussian(sigma=sigma)), estimate


WHOLE = Evidence(ESTIMATE, TRUTH, SAMPLES, posed=posed(0.1))
NAMES = {"psnr": "psnr", "chi2": "chi2", "crps": "crps", "half": "coverage[50]", "most": "coverage[90]", "fid": "fid"}
WITHOUT = {
    "truth": Evidence(ESTIMATE, samples=SAMPLES, posed=posed(0.1)),
    "samples": Evidence(ESTIMATE, TRUTH, SAMPLES[:1], posed=posed(0.1)),
    "noise": Evidence(ESTIMATE, TRUTH, SAMPLES, posed=posed(0.0)),
    "references": WHOLE,
}
REASONS = {"truth": "no ground truth", "samples": "--samples 2", "noise": "no noise", "references": "sets of pictures"}


def test_each_metric_of_an_answer_is_its_own_function() -> None:
    scores = appraise(WHOLE, NAMES)
    problem = posed(0.1)[0]
    assert scores["chi2"].value == pytest.approx(problem.chi2(ESTIMATE), rel=1e-6)
    assert scores["crps"].value == float(metrics.crps(SAMPLES, TRUTH).mean())
    assert {"50": scores["half"].value, "90": scores["most"].value} == metrics.coverages(SAMPLES, TRUTH)
    assert scores["psnr"] == metrics.evaluate(ESTIMATE, TRUTH, ["psnr"])["psnr"]
    assert [scores[key].metric for key in ("chi2", "crps", "half", "most")] == [
        "chi2", "crps[any]", "coverage[50]", "coverage[90]",
    ]  # fmt: skip


@pytest.mark.parametrize("need", WITHOUT)
def test_a_metric_is_none_with_the_reason_exactly_where_what_it_needs_is_missing(need: str) -> None:
    scores = appraise(WITHOUT[need], NAMES)
    for key, score in scores.items():
        if need in metrics.parse(NAMES[key]).NEEDS:
            assert score.value is None and REASONS[need] in (score.reason or ""), key
        elif key != "fid":
            assert score.value is not None and score.reason is None, key


def test_every_family_says_what_it_needs_and_which_way_is_better() -> None:
    for name in metrics.REGISTRY:
        row = metrics.REGISTRY.describe(name)
        assert row["needs"] and set(row["needs"]) <= set(REASONS), name
        assert row["better"].endswith(("is better", "is right")), name


def test_the_right_value_of_a_calibrated_score_is_neither_high_nor_low() -> None:
    assert measure("chi2").target == 1 and measure("coverage[50]").target == 0.5
    assert measure("crps[any]").target is None and not measure("crps[any]").higher
    assert measure("coverage[90]").goodness(0.88) > measure("coverage[90]").goodness(0.99)


@pytest.mark.parametrize("name", ["coverage[0]", "coverage[100]", "coverage[-5]", "coverage[most]", "crps[rgb]"])
def test_options_that_mean_nothing_are_refused(name: str) -> None:
    with pytest.raises(BadInput):
        metrics.parse(name)


def test_an_answer_far_out_of_range_has_no_comparisons_and_keeps_its_chi_square() -> None:
    far = ESTIMATE + 5
    scores = appraise(Evidence(far, TRUTH, posed=posed(0.1, far)), {"psnr": "psnr", "ssim": "ssim", "chi2": "chi2"})
    assert scores["psnr"].reason == scores["ssim"].reason and "mean of the estimate" in (scores["psnr"].reason or "")
    assert (scores["chi2"].value or 0) > 100


def test_a_score_of_samples_is_refused_for_two_pictures_alone() -> None:
    score = metrics.evaluate(ESTIMATE, TRUTH, ["crps"])["crps"]
    assert score.value is None and "samples" in (score.reason or "")
