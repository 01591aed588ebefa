""".npy files, read without pickle and without trusting the header; arrays of .npz files are such files too.

A header that promises more than the file holds is refused before anything of that size is allocated.
Format: numpy.lib.format, versions 1 to 3.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from operators.common.array_files import NpyHeader, npy_header, read_array

from .decoded import Decoded, arranged, arrays_only
from .format import Format, Sized
from .inside import join_parts
from .layout import Layout, plan
from .source import Options, Source
from .write_spec import Spec

__all__ = ["NPY", "decoded", "read_array"]


def read_npy(source: Source, options: Options) -> Decoded:
    """The array of a .npy file as Decoded; only the part that index names is loaded."""
    arrays_only(source, options, ".npy file", allowed=("index", "axes"))
    header = npy_header(source)
    layout = plan(source, header.shape, options)
    values = np.memmap(source.path, header.dtype, "r", header.start, header.shape, order="F" if header.fortran else "C")
    return decoded(np.array(values[layout.selection]), layout, header, {})


def decoded(
    stored: np.ndarray, layout: Layout, header: NpyHeader, fields: dict[str, object], notes: tuple[str, ...] = ()
) -> Decoded:
    """An array as Decoded, compound pairs joined to complex numbers, the stored type in its fields."""
    stored = join_parts(stored)
    dtype = header.dtype.str if header.dtype.names is None else stored.dtype.str
    return arranged(stored, layout, fields={**fields, "dtype": dtype}, notes=notes)


def write_npy(path: Path, stored: np.ndarray, _spec: Spec) -> None:
    """A .npy file of an array, with numpy.save's own header."""
    with path.open("wb") as file:
        np.lib.format.write_array(file, np.ascontiguousarray(stored), allow_pickle=False)


def npy_extent(source: Source, _options: Options) -> Sized:
    """Shape of the array; its axes have no names."""
    return npy_header(source).shape, None


NPY = Format(read_npy, write_npy, npy_extent)
