"""Arrays that a user hands over: an array, a tensor or a nested list of real numbers, as one NumPy array."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from .errors import BadInput, BadType


def numbers(values: Any, *, what: str, wanted: str = "real numbers") -> np.ndarray:
    """The array; BadInput for a ragged list, BadType for anything but booleans, integers and floats.

    what: its name in a sentence, such as "the mask".
    """
    try:
        array = np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values)
    except ValueError:
        raise BadInput(f"{what} is a ragged list", wanted="rows of equal length") from None
    if array.dtype.kind not in "biuf":
        raise BadType(f"{what} holds {array.dtype}", wanted=wanted)
    return array


def finite(array: np.ndarray, *, what: str) -> np.ndarray:
    """The array in float64; BadInput that names the first NaN or infinite value."""
    broken = ~np.isfinite(array)
    if broken.any():
        first = tuple(int(i) for i in np.argwhere(broken)[0])
        raise BadInput(f"{what} holds {int(broken.sum())} NaN or infinite values, the first at {first}")
    return array.astype(np.float64)


def binary(values: Any, *, what: str = "the mask") -> np.ndarray:
    """The array as booleans; BadInput unless it is made of true and false, or of 0 and 1."""
    array = numbers(values, what=what, wanted="true and false, or 0 and 1")
    if array.size == 0:
        raise BadInput(f"{what} has shape {array.shape}", wanted="at least one pixel")
    strange = (array != 0) & (array != 1)
    if strange.any():
        raise BadInput(
            f"{what} holds {int(strange.sum())} values other than 0 and 1, such as {array[strange].flat[0]}",
            wanted="1 where a pixel was measured, 0 elsewhere",
            do="Make it binary first: mask > 0.",
        )
    return array.astype(bool)
