"""The oracle suite: scores against closed forms, and samplers that are exact or wrong by a known amount."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import suites
from benchmarks.cases import oracle_scores
from benchmarks.cases.oracle import SETTINGS, pose
from benchmarks.records.store import Store
from benchmarks.runs import runner
from operators import NoiseSource
from operators.common.errors import RestoreError


def draws(posterior: object, count: int, seed: int) -> torch.Tensor:
    return posterior.sample(count, NoiseSource(seed, ["x"]))[:, 0]  # type: ignore[attr-defined]


@pytest.mark.parametrize("prior", ["gaussian", "mixture"])
@pytest.mark.parametrize("setting", SETTINGS)
def test_exact_draws_score_what_so_many_draws_must(prior: str, setting: str) -> None:
    posterior = pose(f"{prior}-{setting}", "y0").posterior
    count = 400
    found = oracle_scores.scores(draws(posterior, count, 1), posterior, draws(posterior, count, 2))
    # the mean of S exact draws is off by 1 / sqrt(S) posterior standard deviations, in root mean square over pixels
    assert found["mean-error[posterior-std]"][0] == pytest.approx(count**-0.5, rel=0.8)
    assert found["coverage[90]"][0] == pytest.approx(0.9, abs=0.02)
    assert found["coverage[50]"][0] == pytest.approx(0.5, abs=0.03)
    covariance = posterior.covariance[0]
    expected = float(((covariance.trace() ** 2 + covariance.square().sum()) / count).sqrt() / covariance.norm())
    # kurtosis of a mixture adds to the Gaussian value
    assert 0.4 * expected < float(found["covariance-error[relative]"][0] or 0) < 2.5 * expected


def test_a_shifted_sampler_is_off_by_its_shift_and_one_without_spread_covers_nothing() -> None:
    posterior = pose("gaussian-denoise", "y0").posterior
    exact = draws(posterior, 200, 2)
    unit = float(posterior.std.square().mean().sqrt())
    shifted = oracle_scores.scores(draws(posterior, 200, 2) + 3 * unit, posterior, exact)
    assert shifted["mean-error[posterior-std]"][0] == pytest.approx(3, abs=0.3)
    assert shifted["sliced-wasserstein[posterior-std]"][0] == pytest.approx(3, rel=0.25)  # 256 directions
    flat = oracle_scores.scores(posterior.mean.expand(50, *posterior.mean.shape[1:]).clone(), posterior, exact)
    assert flat["coverage[90]"][0] == pytest.approx(0, abs=0.01)
    assert flat["covariance-error[relative]"][0] == pytest.approx(1)


def test_sliced_wasserstein_of_a_shift_is_its_root_mean_square_over_directions() -> None:
    source = torch.from_numpy(np.random.default_rng(0).standard_normal((60, 1, 4, 4)))
    assert oracle_scores.sliced_wasserstein(source, source.flip(0)) == 0
    assert oracle_scores.sliced_wasserstein(source, source + 2, directions=20000) == pytest.approx(2, rel=0.05)


def test_the_suite_runs_and_ranks_exact_draws_as_the_reference(tmp_path: Path) -> None:
    small = suites.load("oracle").narrowed(tasks=("mixture-half",), images=1, samples=30, solvers=("diffpir",))
    _, progress = runner.bench(small, tmp_path)
    assert progress.failed == 0 and progress.done == 3
    store = Store(tmp_path, create=False)
    found = {row.method: row.scores for row in store.rows()}
    store.close()
    error = {method: scores["mean-error[posterior-std]"].value for method, scores in found.items()}
    assert error["exact draws"] < error["prior draws (baseline)"]
    assert error["exact draws"] < error["diffpir"]


def test_an_unknown_oracle_task_is_an_error_with_a_suggestion() -> None:
    with pytest.raises(RestoreError, match="Did you mean 'gaussian-blur'"):
        pose("gaussian-blurr", "y0")
