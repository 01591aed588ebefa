"""Coverage and CRPS against the laws they must obey for an exact Gaussian posterior."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from operators import BadInput
from restore.metrics import coverage, coverages, crps


def draws(count: int, *, scale: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    """`count` samples of a standard normal law for 40 000 pixels, and a truth from the law times `scale`."""
    rng = np.random.default_rng(count)
    samples = torch.from_numpy(rng.standard_normal((count, 1, 1, 200, 200)))
    return samples, scale * torch.from_numpy(rng.standard_normal((1, 1, 200, 200)))


@pytest.mark.parametrize("count", [2, 4, 16])
@pytest.mark.parametrize("level", [0.5, 0.9])
def test_coverage_of_an_exact_posterior_is_the_level_for_any_number_of_samples(count: int, level: float) -> None:
    share = float(coverage(*draws(count), level))
    # five standard errors of a share of 40 000 independent pixels
    assert share == pytest.approx(level, abs=5 * math.sqrt(level * (1 - level) / 40_000))


def test_overconfident_samples_cover_less_and_timid_ones_more() -> None:
    assert float(coverage(*draws(8, scale=3.0), 0.9)) < 0.6
    assert float(coverage(*draws(8, scale=0.3), 0.9)) > 0.99


def test_each_picture_of_a_batch_has_its_own_coverage() -> None:
    samples, truth = draws(8)
    both = coverage(samples.repeat(1, 2, 1, 1, 1), torch.cat([truth, truth + 100]), 0.9)
    assert both.shape == (2,)
    assert float(both[1]) == 0


def test_pixels_outside_where_do_not_count() -> None:
    samples, truth = draws(8)
    seen = torch.zeros(1, 1, 200, 200, dtype=torch.bool)
    seen[..., :100] = True
    samples[..., :100] = truth[..., :100]
    assert float(coverage(samples, truth, 0.5)) == pytest.approx(0.75, abs=0.02)
    assert float(coverage(samples, truth, 0.5, where=~seen)) == pytest.approx(0.5, abs=0.02)
    with pytest.raises(BadInput, match="no pixel"):
        coverage(samples, truth, 0.5, where=seen & ~seen)


def test_real_and_imaginary_parts_count_apart() -> None:
    samples, truth = draws(8)
    share = coverage(torch.complex(samples, samples), torch.complex(truth, truth + 100), 0.9)
    assert float(share) == pytest.approx(float(coverage(samples, truth, 0.9)) / 2, abs=1e-12)


def test_crps_of_an_exact_gaussian_posterior_has_its_closed_form() -> None:
    # E CRPS = 1 / sqrt(pi) when truth and samples share a standard normal law; unbiased for every sample count
    for count in (2, 4, 16):
        assert float(crps(*draws(count))) == pytest.approx(1 / math.sqrt(math.pi), abs=0.015)


def test_crps_equals_the_sum_over_all_pairs() -> None:
    samples, truth = (x[..., :3, :3] for x in draws(5))
    pairs = (samples[:, None] - samples[None]).abs().sum((0, 1)) / (2 * 5 * 4)
    expected = ((samples - truth).abs().mean(0) - pairs).mean()
    assert float(crps(samples, truth)) == pytest.approx(float(expected), abs=1e-12)


def test_crps_of_one_sample_is_the_absolute_error() -> None:
    samples, truth = draws(1)
    assert float(crps(samples, truth)) == pytest.approx(float((samples[0] - truth).abs().mean()), abs=1e-12)


def test_coverages_are_keyed_by_percent() -> None:
    shares = coverages(*draws(8))
    assert list(shares) == ["50", "90"]
    assert shares["50"] < shares["90"]


@pytest.mark.parametrize("level", [0.0, 1.0, 90])
def test_levels_outside_the_open_unit_interval_are_refused(level: float) -> None:
    with pytest.raises(BadInput, match="level"):
        coverage(*draws(2), level)


def test_one_sample_or_another_shape_is_refused() -> None:
    samples, truth = draws(2)
    with pytest.raises(BadInput, match="2 or more"):
        coverage(samples[:1], truth, 0.5)
    with pytest.raises(BadInput, match="shape"):
        coverage(samples, truth[..., :1], 0.5)
