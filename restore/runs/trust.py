"""What is said of an operator before a solver relies on it: an adjoint that is none, maps that nobody measured."""

from __future__ import annotations

import warnings
import weakref
from typing import TYPE_CHECKING

import torch

from operators.core.base import LinearOperator, Operator
from operators.core.diagnosis import check
from operators.core.linear_solvers import best_dtype, inner

if TYPE_CHECKING:
    from ..problem import Problem

LOOSE = 1e-4  # relative; between the rounding of single precision and the smallest mistake that matters
_tried: weakref.WeakSet[Operator] = weakref.WeakSet()


class OperatorWarning(UserWarning):
    """An operator does not keep what solvers rely on."""


def warn_of_wrong_adjoint(operator: Operator) -> None:
    """OperatorWarning, in the words of `operators.check`, where <Ax, y> and <x, A^H y> differ.

    Operators of this package are tested elsewhere; others are tried once each, which costs one application of A and one
    of its adjoint.
    """
    ours = type(operator).__module__.startswith("operators.") and type(operator).__module__ != "operators.core.interop"
    if ours or not isinstance(operator, LinearOperator) or operator in _tried:
        return
    _tried.add(operator)
    if not _passes(operator):
        findings = check(operator).findings
        message = "; ".join(findings) if findings else "its adjoint does not match its forward map"
        warnings.warn(f"{type(operator).__name__}: {message}", OperatorWarning, stacklevel=4)


def warn_of_simulated_maps(problem: Problem) -> None:
    """OperatorWarning where a measurement without a truth meets coil maps that were simulated, not measured.

    With a truth the measurement was simulated by the same maps. Tasks ask for the maps themselves.
    """
    if problem.truth is not None or problem.recipe is not None:
        return
    if any(getattr(part, "simulated_maps", False) for part in problem.operator.modules()):
        warnings.warn(
            f"{type(problem.operator).__name__}: its coil maps are simulated, and belong to no scan. Give those of the "
            "scan with maps=, or estimate them: operators.MultiCoilMri.calibrated(kspace).",
            OperatorWarning,
            stacklevel=4,
        )


def _passes(operator: LinearOperator) -> bool:
    generator, dtype = torch.Generator().manual_seed(0), best_dtype(operator)

    def draw(shape: tuple[int, ...], is_complex: bool) -> torch.Tensor:
        values = torch.randn(1, *shape, generator=generator, dtype=torch.float64).to(dtype)
        return torch.complex(values, values.flip(-1)) if is_complex else values

    with torch.no_grad():
        x = draw(operator.input_shape, operator.complex_input)
        y = draw(operator.output_shape, operator.complex_output)
        image, back = operator(x), operator.adjoint(y)
        size = float(image.norm() * y.norm())
        return abs(float((inner(image, y) - inner(x, back)).sum())) <= LOOSE * max(size, 1e-30)
