"""What is wrong with an operator, in words: wrong adjoints by kind, non-linearity, side effects."""

from __future__ import annotations

import math
import pickle
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..common.errors import BadType
from .base import LinearOperator, Operator, Shape
from .linear_solvers import best_dtype, inner

PROBES = 6  # pairs of vectors; a wrong explanation fits one pair by chance, not six
DOT_TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-6}
FIT_TOLERANCE = {torch.float64: 1e-7, torch.float32: 1e-2}  # of an explanation, relative to the inner products
CLOSE = {torch.float64: 1e-10, torch.float32: 1e-4}  # results that should be equal but for rounding
MARGIN = 2  # pixels kept zero around the probes that look for shifts, so that borders do not matter

Map = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Report:
    """What `check` found: nothing where the operator keeps its promises."""

    ok: bool
    findings: tuple[str, ...]

    def __str__(self) -> str:
        return "no fault found" if self.ok else "\n".join(self.findings)


def check(operator: Operator, *, seed: int = 0) -> Report:
    """Try an operator on random vectors and say what is wrong with it.

    Looks for: wrong shapes and types, changed inputs, results that vary, use of the global random state,
    non-linearity, and an adjoint that is scaled, not conjugated, shifted, the inverse, the forward map, or wrong at
    the border only. A non-linear operator has its derivatives compared with finite differences.
    Costs some twenty applications of A and of its adjoint; repeatable for a seed.
    """
    if not isinstance(operator, Operator):
        raise BadType(
            f"{type(operator).__name__} is not an operator", do="Wrap functions with operators.from_function first."
        )
    probe = _Probe(operator, np.random.default_rng(seed))
    with torch.no_grad():
        findings = list(_manners(operator, probe))
        if not findings and isinstance(operator, LinearOperator):
            findings = [*_nonlinear(operator, probe), *_adjoint(operator, probe)]
        elif not findings:
            findings = list(_derivatives(operator, probe))
    return Report(not findings, tuple(findings))


class _Probe:
    """Random vectors for an operator, in the best precision it takes."""

    def __init__(self, operator: Operator, rng: np.random.Generator) -> None:
        self.operator, self.rng = operator, rng
        buffer = next((b for b in operator.buffers()), None)
        self.device = buffer.device if buffer is not None else torch.device("cpu")
        self.dtype = best_dtype(operator)

    def x(self, *, positive: bool = False, margin: int = 0) -> Tensor:
        return self._draw(self.operator.input_shape, self.operator.complex_input, positive, margin)

    def y(self, *, positive: bool = False, margin: int = 0) -> Tensor:
        return self._draw(self.operator.output_shape, self.operator.complex_output, positive, margin)

    def _draw(self, shape: Shape, is_complex: bool, positive: bool, margin: int) -> Tensor:
        sizes = (2, *shape, 2) if is_complex else (2, *shape)
        values = self.rng.standard_normal(sizes)
        drawn = torch.from_numpy(np.abs(values) if positive else values).to(self.device, self.dtype)
        drawn = torch.view_as_complex(drawn) if is_complex else drawn
        for axis in _long_axes(shape):
            drawn.narrow(axis, 0, margin).zero_()
            drawn.narrow(axis, shape[axis] - margin, margin).zero_()
        return drawn


def _long_axes(shape: Shape) -> list[int]:
    """Axes, counted from the end, along which a shift by one pixel can be told."""
    return [axis for axis in range(-len(shape), 0) if shape[axis] > 2 * MARGIN]


# -- manners ------------------------------------------------------------------------------------------------------


def _manners(operator: Operator, probe: _Probe) -> Iterator[str]:
    yield from _behaviour(operator.forward, probe.x(), operator.output_shape, operator.complex_output, "A(x)")
    if isinstance(operator, LinearOperator):
        yield from _behaviour(operator.adjoint, probe.y(), operator.input_shape, operator.complex_input, "the adjoint")


def _behaviour(function: Map, data: Tensor, shape: Shape, is_complex: bool, name: str) -> Iterator[str]:
    before, state = data.clone(), _global_random_state()
    first = function(data)
    if _global_random_state() != state:
        yield f"{name} uses the global random state"
    if not torch.equal(data, before):
        yield f"{name} changes its input"
    if not isinstance(first, Tensor):
        yield f"{name} is {type(first).__name__}, not a tensor"
        return
    if tuple(first.shape) != (data.shape[0], *shape):
        yield f"{name} has shape {tuple(first.shape)}, wanted {(data.shape[0], *shape)}"
        return
    if first.is_complex() != is_complex:
        kinds = {True: "complex", False: "real"}
        yield f"{name} is {kinds[first.is_complex()]}, but the operator says {kinds[is_complex]}"
    if first.real.dtype != before.real.dtype:
        yield f"{name} changes the precision from {before.real.dtype} to {first.real.dtype}"
    if not bool(torch.isfinite(first).all()):
        yield f"{name} is not finite"
    elif not _same(function(before.clone()), first):
        yield f"{name} differs between two calls on the same input"
    elif not _close(function(before[:1]), first[:1]):
        yield f"{name} of one picture depends on the others in the batch"


def _same(a: Tensor, b: Tensor) -> bool:
    """Bitwise on the CPU; elsewhere sums may be taken in any order."""
    return torch.equal(a, b) if a.device.type == "cpu" else _close(a, b)


def _global_random_state() -> tuple[bytes, bytes, object]:
    numpy_state = np.random.get_state()  # noqa: NPY002 - the global state is what is watched here
    return torch.get_rng_state().numpy().tobytes(), pickle.dumps(numpy_state), random.getstate()


# -- linearity and derivatives ------------------------------------------------------------------------------------


def _nonlinear(operator: LinearOperator, probe: _Probe) -> Iterator[str]:
    a, b = probe.x(), probe.x()
    zero = operator(torch.zeros_like(a))
    image = operator(a)
    if bool(zero.abs().max() > CLOSE[probe.dtype] * image.abs().max()):
        yield f"A is not linear: A(0) is not 0 (largest entry {float(zero.abs().max()):.3g})"
    elif not _close(operator(2.5 * a), 2.5 * image):
        yield "A is not linear: A(2.5 x) is not 2.5 A(x)"
    elif not _close(operator(a - b), image - operator(b)):
        yield "A is not linear: A(x - z) is not A(x) - A(z)"
    elif operator.complex_input and operator.complex_output and not _close(operator(1j * a), 1j * image):
        yield "A is not linear over complex numbers: A(i x) is not i A(x)"


def _derivatives(operator: Operator, probe: _Probe) -> Iterator[str]:
    x, v, u = probe.x(), probe.x(), probe.y()
    step = torch.finfo(probe.dtype).eps ** (1 / 3)
    smooth = operator.relaxed  # a staircase (rounding) has no slope of its own
    slope = (smooth(x + step * v) - smooth(x - step * v)) / (2 * step)
    derivative = operator.jvp(x, v)
    # Central differences are right to step^2, apart from kinks and constants: 100 times that, and no less than 1e-6.
    allowed = max(100 * step**2, 1e-6)
    if _distance(derivative, slope) > allowed:
        yield f"jvp differs from finite differences by {_distance(derivative, slope):.1e} (relative)"
    left, right = inner(derivative, u).flatten(), inner(v, operator.vjp(x, u)).flatten()
    if bool(((left - right).abs() > CLOSE[probe.dtype] * _size(derivative) * _size(u)).any()):
        yield "vjp is not the adjoint of jvp"


# -- the adjoint --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Explanation:
    """If the operator's adjoint B is wrong in this way, `mended(y)` is the true one up to a factor."""

    words: str
    mended: Map


def _adjoint(operator: LinearOperator, probe: _Probe) -> Iterator[str]:
    gap = 0.0
    for positive in (False, True):  # near-orthogonal Gaussian vectors can hide what positive ones show
        x, y = probe.x(positive=positive), probe.y(positive=positive)
        image, back = operator(x), operator.adjoint(y)
        size = torch.maximum(_size(image) * _size(y), _size(x) * _size(back)).clamp_min(1e-300)
        difference = _products(operator, image, y) - _products(operator, x, back)
        gap = max(gap, float((difference.abs() / size).max()))
    if gap > DOT_TOLERANCE[probe.dtype]:
        yield f"the adjoint is {_diagnosis(operator, probe)}: <Ax, y> - <x, A^H y> is {gap:.1e} of the norms"


def _diagnosis(operator: LinearOperator, probe: _Probe) -> str:
    pairs = [(probe.x(margin=MARGIN), probe.y(margin=MARGIN)) for _ in range(PROBES)]
    truth = torch.cat([_products(operator, operator(x), y) for x, y in pairs])
    tolerance = FIT_TOLERANCE[probe.dtype]
    if float(torch.linalg.vector_norm(truth)) > 0:
        for explanation in _explanations(operator):
            products = torch.cat([_products(operator, x, explanation.mended(y)) for x, y in pairs])
            factor = complex((truth.conj() * products).sum() / (truth.conj() * truth).sum())
            misfit, size = torch.linalg.vector_norm(products - factor * truth), torch.linalg.vector_norm(products)
            if bool(misfit <= tolerance * size) and abs(factor) > 0:
                words = [part for part in (explanation.words, _factor_in_words(factor, tolerance)) if part]
                return " and ".join(words) if words else "wrong near the border only"
    x, y = probe.x(), probe.y()
    if _close(operator.adjoint(operator(x)), x):
        return "the inverse of A"
    square = operator.input_shape == operator.output_shape and operator.complex_input == operator.complex_output
    if square and _close(operator.adjoint(y), operator(y)):
        return "A itself (a kernel that is not flipped?)"
    return "wrong"


def _explanations(operator: LinearOperator) -> Iterator[_Explanation]:
    back = operator.adjoint
    readings: list[tuple[str, Map]] = [("", back)]
    if operator.complex_output or operator.complex_input:
        readings.append(("not conjugated", lambda y: torch.conj_physical(back(torch.conj_physical(y)))))
    for words, read in readings:
        yield _Explanation(words, read)
    for words, read in readings:
        lead = f"{words} and " if words else ""
        for step, side in ((1, "larger"), (-1, "smaller")):
            for axis in _long_axes(operator.input_shape):
                text = f"{lead}shifted by one pixel to {side} indices along axis {axis} of the picture"
                yield _Explanation(text, _rolled(read, -step, axis, first=False))
            for axis in _long_axes(operator.output_shape):
                text = f"{lead}shifted by one pixel to {side} indices along axis {axis} of the measurement"
                yield _Explanation(text, _rolled(read, -step, axis, first=True))
        axes = [axis for axis in (-2, -1) if axis in _long_axes(operator.output_shape)]
        for shift in (torch.fft.ifftshift, torch.fft.fftshift) if axes else ():
            text = f"{lead}shifted by half the size (fftshift) in the measurement"
            yield _Explanation(text, _centred(read, shift, axes))


def _rolled(read: Map, step: int, axis: int, *, first: bool) -> Map:
    """`read` with a shift of its argument (first) or of its result."""
    if first:
        return lambda y: read(torch.roll(y, step, axis))
    return lambda y: torch.roll(read(y), step, axis)


def _centred(read: Map, shift: Callable[..., Tensor], axes: Sequence[int]) -> Map:
    return lambda y: read(shift(y, dim=axes))


def _factor_in_words(factor: complex, tolerance: float) -> str:
    size, unit = abs(factor), factor / abs(factor)
    words = []
    if size > 1 + tolerance:
        words.append(f"too large by {size:.3f} times")
    elif size < 1 - tolerance:
        words.append(f"too small by {1 / size:.3f} times")
    if abs(unit + 1) <= tolerance:
        words.append("of the wrong sign")
    elif abs(unit - 1) > tolerance:
        words.append(f"turned in phase by {math.degrees(math.atan2(unit.imag, unit.real)):.1f} degrees")
    return " and ".join(words)


# -- measures -----------------------------------------------------------------------------------------------------


def _products(operator: LinearOperator, a: Tensor, b: Tensor) -> Tensor:
    """<a, b> per picture in double precision; between a real and a complex space only its real part is an invariant."""
    product = (a.to(torch.complex128).conj() * b.to(torch.complex128)).flatten(1).sum(1)
    return product if operator.complex_input and operator.complex_output else product.real.to(torch.complex128)


def _size(a: Tensor) -> Tensor:
    """Euclidean norm per picture."""
    return torch.linalg.vector_norm(a.to(torch.complex128).flatten(1), dim=1)


def _distance(a: Tensor, b: Tensor) -> float:
    """Largest |a - b| of a picture, relative to the larger of the two norms."""
    return float((_size(a - b) / torch.maximum(_size(a), _size(b)).clamp_min(1e-300)).max())


def _close(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and _distance(a, b) <= CLOSE[a.real.dtype]
