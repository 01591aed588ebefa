"""Stored numbers to values in a unit, and back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from operators.common.errors import BadInput
from operators.common.registry import unknown_name
from operators.common.settings import Count, check

from .image import AS_STORED, UNITS
from .source import Options, Source

SHIFTED = "offset"  # key of Metadata.fields: stored value = value - offset
FULL = "full"  # key of Metadata.fields: stored value = value * full
WHITE = "white"  # key of Metadata.fields: the stored value that became 1, where somebody or the file said so
SIXTEEN = 65535


@dataclass(frozen=True)
class Values:
    """Converted values with what was decided about them."""

    array: np.ndarray
    unit: str
    value_range: tuple[float, float]
    fields: dict[str, float]
    notes: tuple[str, ...]


def full_range(dtype: np.dtype, bits: int | None = None) -> int | None:
    """Largest value of a stored unsigned picture type of at most 16 bits; None for every other type."""
    if dtype.kind == "b":
        return 1
    if dtype.kind == "u" and dtype.itemsize <= 2:
        return (1 << bits) - 1 if bits is not None else int(np.iinfo(dtype).max)
    return None


def stored_bits(stored: np.ndarray) -> int:
    """Bits of one stored number; 1 for a boolean."""
    return 1 if stored.dtype.kind == "b" else stored.dtype.itemsize * 8


def check_options(options: Options) -> None:
    """BadInput for what is wrong in any file: an unknown unit, a number that is none, white below black."""
    if options.unit is not None and options.unit not in UNITS:
        raise unknown_name("unit", options.unit, dict.fromkeys(UNITS))
    check("max_pixels", options.max_pixels, Count)
    for name in ("offset", "white", "black"):
        check(name, getattr(options, name), float | None)
    white, black = options.white, options.black or 0.0
    if white is not None and white <= black:
        raise BadInput(f"white is {white:g}", wanted=f"more than black, which is {black:g}")
    if (white is not None or options.black is not None) and options.unit not in (None, "[0,1]"):
        raise BadInput(
            f"white or black for values in {options.unit}", do="Leave the unit out: white is what becomes 1 in [0,1]."
        )


def to_values(source: Source, stored: np.ndarray, options: Options, *, full: int | None, picture: bool) -> Values:
    """Float32 or complex64 values of a stored array (any shape).

    full: stored value that stands for 1, or None where no full range is agreed. picture: the format is one of pictures,
    where scaling by the full range is the rule and not a choice to be noted.

    Raises
    ------
    ReadError
        Integers without an agreed range and without a unit; values outside [0, 1] although that unit was given;
        values beyond float32; types that are not numbers.
    """
    declared = options.unit not in (None, "[0,1]")
    if stored.dtype.kind not in "buifc":
        raise source.fail(f"values of type {stored.dtype}", wanted="numbers")
    if options.offset and (not declared or stored.dtype.kind == "c"):
        raise source.fail(
            f"offset {options.offset:g} for values in [0,1] or complex values",
            do="Give the unit that the shifted values are in, for example unit hu (--unit hu).",
        )
    if declared:
        return _in_unit(source, stored, options)
    if options.white is not None or options.black is not None:
        return _between(source, stored, options, full)
    if stored.dtype.kind == "b":
        return Values(stored.astype(np.float32), "[0,1]", (0.0, 1.0), {FULL: 1}, ())
    if stored.dtype.kind in "ui":
        return _scaled(source, stored, full, picture=picture)
    return _floats(source, stored, options)


def to_stored(
    array: np.ndarray,
    dtype: np.dtype,
    *,
    full: float | None = None,
    offset: float = 0.0,
    ceiling: float | None = None,
) -> np.ndarray:
    """Values back to a stored type: (x - offset) * full; integers rounded and clipped at `ceiling`, else at full."""
    if dtype.kind in "fc":
        shifted = array - np.float32(offset) if offset else array
        with np.errstate(over="ignore"):
            return (shifted if full is None else shifted * np.float32(full)).astype(dtype)
    scaled = (array.astype(np.float64) - offset) * (1 if full is None else full)
    limits = np.iinfo(dtype)
    top = ceiling if ceiling is not None else limits.max if full is None else full
    return np.clip(np.rint(scaled), limits.min, top).astype(dtype)


def _scaled(source: Source, stored: np.ndarray, full: int | None, *, picture: bool) -> Values:
    if full is None:
        raise source.fail(
            f"{stored.dtype} values, whose range nobody agreed on",
            do="Give --white, or a unit (--unit counts keeps the numbers; --unit hu --offset -1024 for CT).",
        )
    # One rounding: uint16 is exact in float32, so the quotient is the float32 nearest to k / full.
    array = stored.astype(np.float32) / np.float32(full)
    notes = [] if picture else [f"divided the {stored.dtype} values by {full}; unit counts keeps them"]
    largest = int(stored.max()) if stored.size else full
    if not picture and largest <= 1:
        notes.append("all stored values are 0 or 1: if this is a mask, read it with unit counts")
    elif full == SIXTEEN and largest < full / 16:
        notes.append(
            f"the largest stored value is {largest}, and {full} was taken for white: give --white 4095 for 12 bits, or "
            "the count that stands for 1"
        )
    return Values(array, "[0,1]", (0.0, 1.0), {FULL: full}, tuple(notes))


def _between(source: Source, stored: np.ndarray, options: Options, full: int | None) -> Values:
    """(stored - black) / (white - black), not clipped: noise and bright spots go beyond."""
    white = options.white if options.white is not None else full
    black = options.black or 0.0
    if stored.dtype.kind in "bc" or white is None:
        raise source.fail(f"black or white for {stored.dtype} values", do="Give --white with numbers that have none.")
    if white <= black:
        raise source.fail(f"black is {black:g}", wanted=f"less than white, which is {white:g}")
    array, notes = _narrow(source, stored)
    array = (array - np.float32(black)) / np.float32(white - black) if black else array / np.float32(white)
    low, high = _extent(array)
    fields = {FULL: white - black, WHITE: white, **({SHIFTED: -black / (white - black)} if black else {})}
    return Values(array, "[0,1]", (min(low, 0.0), max(high, 1.0)), fields, notes)


def _floats(source: Source, stored: np.ndarray, options: Options) -> Values:
    array, notes = _narrow(source, stored)
    low, high = _extent(array)
    if array.dtype.kind == "f" and low >= 0 and high <= 1:
        return Values(array, "[0,1]", (0.0, 1.0), {}, notes)
    if options.unit is not None:
        raise source.fail(f"values from {low:g} to {high:g}", wanted="0 to 1, the unit that was given")
    if array.dtype.kind == "f":
        notes = (*notes, f"values run from {low:g} to {high:g} and no unit was given: taken as they are")
    return Values(array, AS_STORED, (low, high), {}, notes)


def _in_unit(source: Source, stored: np.ndarray, options: Options) -> Values:
    if options.unit == "hu" and stored.dtype.kind == "u" and options.offset is None:
        raise source.fail(
            f"Hounsfield units in {stored.dtype}, which cannot hold air (-1000)",
            do="Say what was added before they were stored: --offset -1024, or --offset 0 if nothing was.",
        )
    array, notes = _narrow(source, stored)
    if options.offset:
        array = array + np.float32(options.offset)
        notes = (*notes, f"added the offset {options.offset:g}")
    fields = {SHIFTED: options.offset} if options.offset else {}
    return Values(array, str(options.unit), _extent(array), fields, notes)


def _narrow(source: Source, stored: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Float32 or complex64, with notes; a number that turns infinite on the way is refused."""
    target = np.dtype(np.complex64 if stored.dtype.kind == "c" else np.float32)
    with np.errstate(over="ignore"):
        array = stored.astype(target)
    finite = np.isfinite(array)
    bad = int(array.size - np.count_nonzero(finite))
    lost = bad - (int(array.size - np.count_nonzero(np.isfinite(stored))) if bad else 0)
    if lost:
        raise source.fail(f"{lost} values too large for {target}", wanted="magnitudes up to 3.4e38")
    notes = []
    if stored.dtype.kind in "fc" and stored.dtype.itemsize > target.itemsize:
        notes.append(f"rounded {stored.dtype} values to {target}")
    if bad:
        notes.append(f"{bad} values are NaN or infinite")
    return array, tuple(notes)


def _extent(array: np.ndarray) -> tuple[float, float]:
    """Lowest and highest finite value; for complex values 0 and the largest magnitude. (0, 0) where none is finite."""
    values = np.abs(array) if array.dtype.kind == "c" else array
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 0.0
    return (0.0 if array.dtype.kind == "c" else float(finite.min())), float(finite.max())
