"""Priors that share the noise levels: each level is answered by its own, whatever stands beside it in the batch."""

from __future__ import annotations

import pytest
import torch

import priors
from operators import BadInput
from priors.analytic.gaussian import GaussianPrior
from priors.diffusion.by_level import ByLevel

SHAPE = (1, 4, 4)
LOW, HIGH = (GaussianPrior(torch.full(SHAPE, mean, dtype=torch.float64), std=0.5) for mean in (0.2, 0.8))
BORDER = 0.3


@pytest.mark.parametrize(
    "levels", [[0.1, 0.2, 0.29], [0.3, 0.4, 5.0], [0.4, 0.1, 0.3], [0.1, 0.4, 0.2], [0.1]], ids=str
)
def test_each_picture_is_answered_by_the_prior_of_its_level(levels):
    x = torch.randn(len(levels), *SHAPE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = ByLevel(LOW, HIGH, border=BORDER).denoise(x, torch.tensor(levels, dtype=torch.float64))
    alone = [(LOW if level < BORDER else HIGH).denoise(x[k : k + 1], level) for k, level in enumerate(levels)]
    torch.testing.assert_close(found, torch.cat(alone), rtol=1e-12, atol=1e-12)


def test_gradients_pass_through_both():
    x = torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    levels = torch.tensor([0.4, 0.1], dtype=torch.float64)
    (gradient,) = torch.autograd.grad(ByLevel(LOW, HIGH, border=BORDER).denoise(x, levels).sum(), x)
    share = 0.25 / (0.25 + levels**2)
    torch.testing.assert_close(gradient, share[:, None, None, None].expand_as(x), rtol=1e-12, atol=1e-12)


def test_parts_of_other_units_and_borders_that_are_none_are_refused():
    with pytest.raises(BadInput, match="border"):
        ByLevel(LOW, HIGH, border=0.0)
    other = priors.DiffusionPrior(shift=0.5, scale=0.5)
    with pytest.raises(BadInput, match="shift"):
        ByLevel(LOW, other, border=BORDER)


def test_the_embedded_prior_names_both_of_its_files_in_its_hash_and_is_each_of_them():
    natural, low = priors.load("natural"), priors.load("natural-low")
    assert natural.name == "natural" and len(natural.sha256) == 64 and natural.sha256 != low.sha256
    x = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(natural.denoise(x, 0.49), low.denoise(x, 0.49))
    assert not torch.equal(natural.denoise(x, 0.5), low.denoise(x, 0.5))
