"""A problem from a measurement that was made elsewhere: what is given, what the task fixes, what must be estimated."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from operators import REGISTRY, BadInput, BadType
from operators.common.metadata import Hints
from operators.common.registry import keyword_defaults
from operators.common.settings import Deviation, check
from operators.common.space import Affine
from operators.core.base import Operator
from operators.noise import REGISTRY as NOISES
from operators.noise import NoiseModel

from ..noise_doctor.level import noise_level
from ..problem import Problem
from . import informing, masks, measurement, units
from .given import Given
from .physics import Physics

LEAST_COUNTED = 64  # numbers from which a variance says something


def pose(physics: Physics, image: Any, statement: Given) -> Problem:
    """The problem of a measurement, with a note on every parameter that the user left open."""
    pictures = physics.sections.input
    picture = pictures.unit == "[0,1]"
    y = measurement.as_batch(image, what="the measurement", complex_values=not picture)
    notes: list[str] = []
    kind = REGISTRY.load(physics.sections.operator.name)
    given = statement.parts
    arrived = kind.received(y, given, physics.sections.operator.parameters, shape=statement.shape)
    y, shape = arrived.y, arrived.input_shape if statement.shape is None else statement.shape
    notes += arrived.notes
    arrays = _arrays(physics, y, arrived.arrays, nan_as_mask=statement.nan_as_mask, notes=notes)
    if "mask" in arrays and _marks_pixels(physics):
        # Whatever stands in a hole (often NaN, white or the old picture) was not measured.
        y = torch.where(arrays["mask"].bool(), y, torch.zeros_like(y))
    measurement.check_values(y, what="the measurement", low=-math.inf, high=math.inf)
    hints = informing.hints(physics, image, tuple(y.shape[1:]), arrays=arrays)
    physics = informing.stated(physics, hints, notes)
    arrays = {**informing.arrays(hints), **arrays}
    physics, y, operator = _operator(physics, y, shape, arrays, hints, notes)
    if picture and len(operator.output_shape) == len(operator.input_shape):
        # A picture: noise may carry it out of [0, 1], another unit would carry it further.
        measurement.check_values(y, what="the measurement", low=-1.0, high=max(2.0, _brightest(image)))
    if operator.complex_output and not y.is_complex():
        y = y.to(y.dtype.to_complex())
    file_units = physics.file_units
    if pictures.normalise:
        # The picture is to reach 1; its quick reconstruction says how bright it is now.
        scale = 1 / units.largest(operator.direct(measurement.keep_observed(y, operator)))
        y, file_units = scale * y, Affine(0.0, scale)
        if isinstance(statement.sigma, float):
            statement = replace(statement, sigma=scale * statement.sigma)
    noise, prior_level = _noise(physics, y, operator, statement, notes)
    bits = _bits(physics, image) if picture else physics.bits
    if bits is not None:
        noise = measurement.with_rounding(noise, bits)
    y = measurement.keep_observed(y, operator)
    recipe = physics.recipe(operator, noise, notes=notes, file_units=file_units, prior_level=prior_level, arrays=arrays)
    return Problem(y, operator, noise, recipe=recipe, prior_level=prior_level)


def _arrays(
    physics: Physics, y: Tensor, given: Mapping[str, Tensor], *, nan_as_mask: bool, notes: list[str]
) -> dict[str, Tensor]:
    name = physics.sections.operator.name
    parameters = keyword_defaults(REGISTRY.load(name))
    arrays: dict[str, Tensor] = {}
    for key, value in given.items():
        if key not in parameters:
            raise BadInput(f"{key} was given and task {physics.task!r} has no {key}", do=f"Leave {key} out.")
        arrays[key] = value
    if "kernel" in arrays:
        arrays["kernel"] = _kernel(arrays["kernel"])
    elif "kernel" in parameters and name == "blur":
        notes.append("kernel: the task's own (give another with --kernel)")
    if nan_as_mask:
        if "mask" not in parameters:
            raise BadInput(
                f"--nan-as-mask was given and task {physics.task!r} has no mask", do="Repair the NaN values."
            )
        there = ~torch.isnan(y).flatten(0, -3).any(0)
        arrays["mask"] = there & (masks.of(arrays["mask"], y, notes) if "mask" in arrays else True)
    if not _marks_pixels(physics):
        if "mask" not in arrays:
            notes.append("mask: the task's own (give another with --mask)")
    elif "mask" in arrays:
        arrays["mask"] = masks.of(arrays["mask"], y, notes)
    elif "mask" in parameters:
        arrays["mask"] = measurement.detect_mask(torch.nan_to_num(y, nan=0.0))
        missing = 100 * (1 - float(arrays["mask"].double().mean()))
        notes.append(
            f"mask: found by the rule that pixels of exactly 0 (or NaN) in all channels are missing ({missing:.1f} %)"
        )
    return arrays


def _marks_pixels(physics: Physics) -> bool:
    """Whether the operator's mask tells which entries of y were measured, as masks do but for a coded aperture."""
    return bool(REGISTRY.load(physics.sections.operator.name).mask_marks_pixels)


def _kernel(kernel: Tensor) -> Tensor:
    flat = kernel.double().squeeze()
    if flat.ndim != 2:
        raise BadInput(f"the kernel has shape {tuple(kernel.shape)}", wanted="h x w")
    measurement.check_values(flat, what="the kernel", low=-math.inf, high=math.inf)
    total = float(flat.sum())
    if total == 0:
        raise BadInput("the kernel sums to 0", wanted="a point spread function, which sums to 1")
    return flat / total


def _operator(
    physics: Physics,
    y: Tensor,
    shape: tuple[int, ...] | None,
    arrays: dict[str, Tensor],
    hints: Hints,
    notes: list[str],
) -> tuple[Physics, Tensor, Operator]:
    """The physics with what y tells of its operator, y, and the operator whose output has its shape.

    The input is what was given, what y tells (`hints`), or y's own size.
    """
    same = tuple(y.shape[1:])
    fitted = physics.fitted(hints.sizes)
    if shape is not None:
        operator = physics.operator(shape, arrays)
        if fitted is not physics and math.prod(operator.output_shape) != math.prod(same):
            physics, operator = fitted, fitted.operator(shape, arrays)
            notes += informing.sentences(hints, hints.sizes)
        wanted = torch.Size(operator.output_shape)
        if wanted.numel() != math.prod(same):
            raise BadInput(
                f"pictures of shape {tuple(shape)} give measurements of shape {tuple(wanted)}",
                wanted=f"{same}, the shape of this measurement",
            )
        return physics, y.reshape(-1, *wanted), operator
    if hints.input_shape is not None:
        operator = fitted.operator(hints.input_shape, arrays)
        if tuple(operator.output_shape) == same:
            notes += informing.sentences(hints, ("input_shape", *hints.sizes))
            return fitted, y, operator
    operator = physics.operator(same, arrays)
    if tuple(operator.output_shape) == same:
        return physics, y, operator
    raise BadInput(
        f"the size of the picture cannot be told from a measurement of shape {same}",
        do="Give it with --shape C,H,W, such as --shape 3,256,256.",
    )


def _noise(
    physics: Physics, y: Tensor, operator: Operator, statement: Given, notes: list[str]
) -> tuple[NoiseModel, float | None]:
    """The law of the noise, and the white level that a prior is to be told in its place (None: the same)."""
    law = physics.sections.noise
    parameters = keyword_defaults(NOISES.load(law.name))
    changes: dict[str, float] = {}
    for key, value in (("sigma", statement.sigma), ("peak", statement.peak)):
        if value is not None and key not in parameters:
            raise BadInput(
                f"--{key} was given and the noise of task {physics.task!r} has no {key}",
                do=f"It has: {', '.join(parameters)}.",
            )
    if "peak" in parameters:
        changes["peak"] = (
            _positive("peak", statement.peak)
            if statement.peak is not None
            else physics.sections.noise.parameters.get("peak", 0.0)
        )
        if statement.peak is None:
            notes.append(f"noise peak: {changes['peak']:g}, the task's own (give another with --peak)")
    if "sigma" in parameters:
        changes["sigma"], prior_level = _sigma(physics, y, operator, statement.sigma, notes)
        return physics.noise(**changes), prior_level
    return physics.noise(**changes), None


def _sigma(
    physics: Physics, y: Tensor, operator: Operator, sigma: float | str | None, notes: list[str]
) -> tuple[float, float | None]:
    # Of a task whose files are measurements, sigma is that of simulations; a file's own level is unknown.
    fixed = None if physics.sections.input.measured else physics.sections.noise.parameters.get("sigma")
    if isinstance(sigma, int | float) and not isinstance(sigma, bool):
        return _possible(check("sigma", float(sigma), Deviation), y, operator), None
    if sigma is None and fixed is not None:
        notes.append(f"noise sigma: {fixed:.4g}, the task's own (give another with --sigma, or --sigma estimate)")
        return float(fixed), None
    if sigma not in (None, "estimate"):
        raise BadType(f"sigma is {sigma!r}", wanted="a number, or 'estimate'")
    if y.ndim != 4 or operator.observed is not None or min(y.shape[-2:]) < 8:
        raise BadInput("the noise cannot be estimated from this measurement", do="Give it with --sigma NUMBER.")
    if physics.sections.operator.name == "identity" and physics.sections.input.unit == "[0,1]":
        found = noise_level(y)
        notes.append(found.sentence())
        return found.sigma, found.level if found.kind == "correlated" else None
    # Flat patches of a blurred or reduced picture hold structure; the finest band of a blurred one holds noise alone.
    estimated = measurement.estimate_sigma(y)
    notes.append(
        f"noise sigma: {estimated:.4g}, estimated from the finest wavelet coefficients; fine texture raises it"
    )
    return estimated, None


def _possible(sigma: float, y: Tensor, operator: Operator) -> float:
    """sigma; BadInput where it is more than all that varies in the measurement, which no noise in it can be.

    Noise that is independent of the picture makes var(y) = var(A x) + sigma^2. The variance of N numbers of pure noise
    has the standard error sigma^2 sqrt(2 / N); three of them are allowed, so that a flat noisy picture is legal.
    """
    seen = y if operator.observed is None else y[:, operator.observed.to(y.device).expand(y.shape[1:])]
    count = seen.numel() * (2 if seen.is_complex() else 1)
    if count < LEAST_COUNTED:
        return sigma
    spread = (torch.view_as_real(seen) if seen.is_complex() else seen).double()
    variance = float(spread.var(correction=1))
    if sigma**2 > variance + 3 * sigma**2 * math.sqrt(2 / count):
        also = f" Did you mean {sigma:g}/255 = {sigma / 255:.4g}?" if sigma >= 1 else ""
        raise BadInput(
            f"sigma is {sigma:g}, and the standard deviation of the whole measurement {variance**0.5:.4g}",
            wanted="the standard deviation of the noise, in the units of the measurement",
            do=f"Give a smaller one, or --sigma estimate.{also}",
        )
    return sigma


def _brightest(image: Any) -> float:
    """The largest value of a picture whose white somebody stated: counts go beyond it, and are right."""
    meta = getattr(image, "meta", None)
    return 0.0 if meta is None or meta.white is None else float(meta.value_range[1])


def _bits(physics: Physics, image: Any) -> int | None:
    """Depth of the stored numbers: the file's own where it holds integers, else the task's."""
    meta = getattr(image, "meta", None)
    if meta is not None and str(meta.dtype).startswith("uint") and 1 <= meta.bits <= 16:
        return int(meta.depth)
    return physics.bits


def _positive(name: str, value: float) -> float:
    if not 0 < value < math.inf:
        raise BadInput(f"{name} is {value:g}", wanted="a finite number above 0")
    return value
