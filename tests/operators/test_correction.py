"""The data step of half-quadratic splitting, (A^H A + rho I)^-1 A^H r, on whichever side is smaller."""

import pytest
import torch

import operators
from operators import BadInput


@pytest.mark.parametrize("factor", [2.5, 4, 0.5])
@pytest.mark.parametrize("rho", [1e-3, 0.7])
def test_on_the_grid_of_the_measurement_it_is_what_the_picture_grid_gives(factor, rho) -> None:
    operator = operators.build("downsample", (3, 24, 20), factor=factor)
    residual = torch.randn(2, *operator.output_shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = operator.solve(operator.adjoint(residual), rho)
    # Both are closed forms in double precision; the smallest singular values squared are near 1e-6.
    torch.testing.assert_close(operator.correction(residual, rho), expected, rtol=1e-8, atol=1e-9)


def test_each_picture_may_have_its_own_weight() -> None:
    operator = operators.build("downsample", (1, 16, 16), factor=4)
    residual = torch.ones(2, 1, 4, 4, dtype=torch.float64)
    both = operator.correction(residual, torch.tensor([0.1, 2.0]))
    for one, rho in zip(both, (0.1, 2.0), strict=True):
        # The weights were single precision.
        torch.testing.assert_close(one[None], operator.correction(residual[:1], rho), rtol=1e-6, atol=1e-9)


def test_a_residual_of_the_wrong_shape_is_refused() -> None:
    with pytest.raises(BadInput, match="residual"):
        operators.build("downsample", (1, 16, 16), factor=4).correction(torch.zeros(1, 1, 5, 5), 0.1)
