"""`operators.check` names the fault of operators broken on purpose, and finds none in sound ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

import operators
from operators.core.base import LinearOperator
from operators.core.interop import Function, LinearFunction

SHAPE = (2, 9, 12)


def faults(forward, adjoint=None, **settings) -> str:
    report = operators.check(LinearFunction(forward, adjoint, input_shape=SHAPE, **settings))
    assert report.ok == (str(report) == "no fault found")
    return str(report)


def smooth(x: Tensor) -> Tensor:
    return 0.5 * x + 0.3 * torch.roll(x, 1, -1) + 0.1 * torch.roll(x, 2, -2)


def smooth_adjoint(y: Tensor) -> Tensor:
    return 0.5 * y + 0.3 * torch.roll(y, -1, -1) + 0.1 * torch.roll(y, -2, -2)


def fourier(x: Tensor) -> Tensor:
    return torch.fft.fft2(x, norm="ortho")


def fourier_adjoint(y: Tensor) -> Tensor:
    return torch.fft.ifft2(y, norm="ortho").real


def test_sound_operators_have_no_fault():
    assert faults(smooth, smooth_adjoint) == "no fault found"
    assert faults(smooth) == "no fault found"
    assert faults(fourier, fourier_adjoint) == "no fault found"
    assert faults(fourier, lambda y: torch.fft.ifft2(y, norm="ortho"), complex_input=True) == "no fault found"


@pytest.mark.parametrize("name", operators.REGISTRY)
def test_every_registered_operator_passes(name):
    kind = operators.REGISTRY.load(name)
    # The channels and axes that the operator is made for.
    shape = ((kind.channels or 3), 16, 12) if kind.spatial == 2 else (1, 5, 8, 6)
    assert str(operators.check(operators.build(name, shape))) == "no fault found"


def test_a_scaled_adjoint_is_measured():
    assert "adjoint is too large by 2.000" in faults(smooth, lambda y: 2 * smooth_adjoint(y))
    assert "adjoint is too small by 4.000" in faults(smooth, lambda y: smooth_adjoint(y) / 4)
    assert "too large by 3.000 times and of the wrong sign" in faults(smooth, lambda y: -3 * smooth_adjoint(y))


def test_a_missing_conjugation_is_named():
    assert "adjoint is not conjugated" in faults(fourier, lambda y: torch.fft.fft2(y, norm="ortho").real)
    phases = torch.polar(torch.ones(12), torch.arange(12.0)).to(torch.complex128)
    assert "adjoint is not conjugated" in faults(lambda x: phases * x, lambda y: phases * y, complex_input=True)


def test_a_wrong_phase_is_named():
    assert "turned in phase by 90.0 degrees" in faults(lambda x: 1 * x, lambda y: 1j * y, complex_input=True)


@pytest.mark.parametrize(("step", "side"), [(1, "larger"), (-1, "smaller")])
def test_a_shift_by_one_pixel_is_named_with_axis_and_direction(step, side):
    words = faults(smooth, lambda y: torch.roll(smooth_adjoint(y), step, -1))
    assert f"adjoint is shifted by one pixel to {side} indices along axis -1 of the picture" in words


def test_a_shift_that_does_not_wrap_around_is_named():
    def dropped(y: Tensor) -> Tensor:
        return torch.nn.functional.pad(smooth_adjoint(y)[..., 1:, :], (0, 0, 0, 1))

    assert "shifted by one pixel to smaller indices along axis -2 of the picture" in faults(smooth, dropped)


def test_a_shift_in_the_measurement_is_told_from_one_in_the_picture():
    def scaled(x: Tensor) -> Tensor:
        return x * torch.arange(1, 13, dtype=x.dtype)

    words = faults(scaled, lambda y: scaled(torch.roll(y, 1, -2)))
    assert "shifted by one pixel to larger indices along axis -2" in words
    words = faults(scaled, lambda y: scaled(torch.roll(y, 1, -1)))
    assert "shifted by one pixel to larger indices along axis -1 of the measurement" in words


def test_an_exchanged_fftshift_is_named():
    def centred(x: Tensor) -> Tensor:
        return torch.fft.fftshift(fourier(x), dim=(-2, -1))

    assert "fftshift" in faults(centred, fourier_adjoint)


def test_the_inverse_in_place_of_the_adjoint_is_named():
    scale = torch.linspace(1, 2, 12, dtype=torch.float64)
    assert "adjoint is the inverse of A" in faults(lambda x: x * scale, lambda y: y / scale)


def test_a_kernel_that_is_not_flipped_is_named():
    assert "adjoint is A itself" in faults(smooth, smooth)


def test_a_fault_at_the_border_only_is_named():
    def wrong_edge(y: Tensor) -> Tensor:
        x = y.clone()
        x[..., 0] = 0
        return x

    assert "wrong near the border only" in faults(lambda x: 1 * x, wrong_edge)


def test_affine_and_curved_maps_are_not_linear():
    assert "A(0) is not 0" in faults(lambda x: x + 1, lambda y: y)
    assert "A(2.5 x) is not 2.5 A(x)" in faults(lambda x: x**3, lambda y: y)
    assert "A(x - z) is not A(x) - A(z)" in faults(torch.relu, lambda y: y)


def test_wrong_shapes_and_types_are_named():
    assert "the adjoint has shape (2, 2, 9, 11), wanted (2, 2, 9, 12)" in faults(smooth, lambda y: y[..., 1:])
    assert "changes the precision" in faults(lambda x: x.float(), lambda y: y)
    assert "the adjoint is complex, but the operator says real" in faults(
        fourier, lambda y: torch.fft.ifft2(y, norm="ortho")
    )


def test_a_changed_input_is_named():
    assert "A(x) changes its input" in faults(lambda x: x.mul_(2), lambda y: 2 * y)


def test_the_global_random_state_and_varying_results_are_named():
    words = faults(lambda x: x + torch.rand(()), lambda y: y)
    assert "uses the global random state" in words
    assert "differs between two calls" in words
    assert "uses the global random state" in faults(lambda x: x * (1 + 0 * np.random.rand()), lambda y: y)  # noqa: NPY002


def test_an_operator_that_mixes_the_batch_is_named():
    assert "depends on the others in the batch" in faults(lambda x: x - x.mean(0), lambda y: y)


def test_derivatives_of_a_smooth_operator_agree_with_finite_differences():
    assert operators.check(Function(torch.sin, input_shape=SHAPE)).ok


def test_a_wrong_derivative_is_found():
    class Detached(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x**2

        @staticmethod
        def backward(ctx, g):
            return g

    class Wrong(Function):
        def jvp(self, x, v):
            return v

    report = operators.check(Wrong(Detached.apply, input_shape=SHAPE))
    assert "jvp differs from finite differences" in str(report)


def test_check_leaves_the_global_random_state_alone():
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    operators.check(LinearFunction(smooth, input_shape=SHAPE))
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert (np.random.get_state()[1] == numpy_state).all()  # noqa: NPY002


def test_single_precision_functions_are_checked_in_single_precision():
    weights = torch.randn(12, 7, generator=torch.Generator().manual_seed(0))
    assert faults(lambda x: x @ weights) == "no fault found"
    assert "too large by 2.000" in faults(lambda x: x @ weights, lambda y: 2 * y @ weights.T)


def test_only_operators_are_checked():
    with pytest.raises(operators.BadType, match="from_function"):
        operators.check(torch.nn.Linear(2, 2))
    assert issubclass(LinearFunction, LinearOperator)
