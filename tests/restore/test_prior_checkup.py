"""What a prior says of itself is true for exact denoisers, and wrong where it does not know the pictures."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from operators import BadInput
from priors import wrap
from priors.analytic.gaussian import GaussianPrior
from restore.runs.prior_checkup import check_levels, findings

SHAPE = (1, 24, 24)
LEVELS = (0.05, 0.1, 0.3)


def drawn(std: float, count: int = 4) -> list[Tensor]:
    generator = torch.Generator().manual_seed(3)
    return [0.5 + std * torch.randn(1, *SHAPE, generator=generator, dtype=torch.float64) for _ in range(count)]


def gaussian(std: float) -> GaussianPrior:
    return GaussianPrior(mean=torch.full(SHAPE, 0.5, dtype=torch.float64), std=std)


def test_the_exact_denoiser_predicts_its_error_and_is_symmetric() -> None:
    rows = check_levels(gaussian(0.2), drawn(0.2), levels=LEVELS)
    assert all(abs(row.ratio - 1) < 0.1 and row.asymmetry < 1e-6 for row in rows)
    for row in rows:
        assert row.predicted == pytest.approx(1 / (1 / row.sigma**2 + 1 / 0.2**2), rel=1e-6)
    told = {finding.name: finding for finding in findings(rows)}
    assert told["error bars"].state == "ok" and "3 of 3 levels" in told["error bars"].text
    assert told["symmetry"].state == "ok" and "domain" not in told


def test_pictures_of_another_kind_are_told_beside_those_it_knows() -> None:
    known = check_levels(gaussian(0.05), drawn(0.05), levels=LEVELS)
    strange = {f.name: f for f in findings(check_levels(gaussian(0.05), drawn(0.4), levels=LEVELS), known)}
    assert strange["domain"].state == "wrong" and "are not of its kind" in strange["domain"].text
    assert strange["error bars"].state == "wrong"
    same = {f.name: f for f in findings(check_levels(gaussian(0.05), drawn(0.05), levels=LEVELS), known)}
    assert same["domain"].state == "ok"


def test_a_denoiser_whose_score_is_no_gradient_is_told() -> None:
    crooked = wrap(lambda x, sigma: 0.9 * x.roll(1, -1))
    told = {f.name: f for f in findings(check_levels(crooked, [p.float() for p in drawn(0.2)], levels=(0.1,)))}
    assert told["symmetry"].state == "wrong" and "far from a gradient" in told["symmetry"].text


def test_nothing_to_look_at_is_refused() -> None:
    with pytest.raises(BadInput, match="no pictures"):
        check_levels(gaussian(0.2), [])
