"""Blur kernels: optics, motion and measured ones. Each sums to 1 and is centred on size // 2.

Angles are in degrees, counter-clockwise from the row direction pointing right; rows of an array run downward.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from ...common import outside
from ...common.array_files import read_array
from ...common.errors import BadInput
from ...common.intake import finite, numbers
from ...common.registry import check_keywords
from ...common.settings import OneOf, check
from .parts import unit_sum
from .paths import gaussian_process, motion, trajectory
from .shapes import airy, box, disk, gaussian

__all__ = [
    "KERNELS",
    "airy",
    "box",
    "disk",
    "fingerprint",
    "from_array",
    "from_file",
    "gaussian",
    "gaussian_process",
    "is_file_name",
    "motion",
    "named",
    "trajectory",
]

KERNELS: Mapping[str, Callable[..., np.ndarray]] = {
    "gaussian": gaussian,
    "motion": motion,
    "trajectory": trajectory,
    "gaussian-process": gaussian_process,
    "disk": disk,
    "airy": airy,
    "box": box,
}
FILES = {".npy": "numpy", ".npz": "numpy, one array", ".txt": "numbers in rows", ".csv": "numbers, commas between"}


def named(name: str, **parameters: Any) -> np.ndarray:
    """The kernel of that name; BadType for a parameter that it does not take."""
    check("kernel", name, Annotated[str, OneOf(KERNELS)])
    check_keywords(KERNELS[name], parameters, where=f"kernel {name!r}")
    return KERNELS[name](**parameters)


def from_array(values: Any, *, normalise: bool = True) -> np.ndarray:
    """A kernel of one's own (h x w: array, tensor or nested list) in float64, divided by its sum unless told not to."""
    kernel = numbers(values, what="the kernel")
    if kernel.ndim != 2 or kernel.size == 0:
        raise BadInput(f"the kernel has shape {kernel.shape}", wanted="h x w")
    kernel = finite(kernel, what="the kernel")
    return unit_sum(kernel) if normalise else kernel


def is_file_name(name: str) -> bool:
    """Whether a kernel's name is that of a file: it has an ending, or a folder in it."""
    return bool(Path(name).suffix) or len(Path(name).parts) > 1


def from_file(path: str | Path, *, normalise: bool = True) -> np.ndarray:
    """A measured kernel (point spread function) from a file of FILES; `from_array` says what it must be like."""
    path = Path(path)
    if path.suffix.lower() not in FILES:
        raise BadInput(
            f"the kernel file {path.name!r} ends in {path.suffix!r}",
            wanted=", ".join(FILES),
            do="Read a picture with restore.read and give its array.",
        )
    if path.suffix.lower() not in (".txt", ".csv"):
        return from_array(read_array(path), normalise=normalise)
    rows = io.StringIO(outside.text(path))
    try:
        values = np.loadtxt(rows, delimiter="," if path.suffix.lower() == ".csv" else None, ndmin=2)
    except ValueError as error:
        raise outside.ReadError(path, f"no rows of numbers ({error})", "one row of the kernel in each line") from None
    return from_array(values, normalise=normalise)


def fingerprint(kernel: np.ndarray) -> str:
    """Twelve hexadecimal digits that tell one kernel from another."""
    return hashlib.sha256(repr(kernel.shape).encode() + np.ascontiguousarray(kernel).tobytes()).hexdigest()[:12]
