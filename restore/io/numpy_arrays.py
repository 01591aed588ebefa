""".npy files, read without pickle and without trusting the header; arrays of .npz files are such files too.

A header that promises more than the file holds is refused before anything of that size is allocated.
Format: numpy.lib.format, versions 1 to 3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from .decoded import Decoded, arranged, arrays_only
from .errors import ReadError
from .format import Format, Sized
from .inside import join_parts
from .layout import Layout, plan
from .source import Options, Source
from .write_spec import Spec


@dataclass(frozen=True)
class NpyHeader:
    """What stands before the values of an array: start is the number of bytes."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype
    start: int  # bytes before the first value

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def read_npy(source: Source, options: Options) -> Decoded:
    """The array of a .npy file as Decoded; only the part that index names is loaded."""
    arrays_only(source, options, ".npy file", allowed=("index", "axes"))
    header = npy_header(source)
    layout = plan(source, header.shape, options)
    values = np.memmap(source.path, header.dtype, "r", header.start, header.shape, order="F" if header.fortran else "C")
    return decoded(np.array(values[layout.selection]), layout, header, {})


def npy_header(source: Source) -> NpyHeader:
    """Shape, type and order of a .npy file's array; ReadError where the file does not hold that much."""
    with source.path.open("rb") as file:
        header = read_header(source, file)
    check_length(source, header, source.size)
    return header


def decoded(
    stored: np.ndarray, layout: Layout, header: NpyHeader, fields: dict[str, object], notes: tuple[str, ...] = ()
) -> Decoded:
    """An array as Decoded, compound pairs joined to complex numbers, the stored type in its fields."""
    stored = join_parts(stored)
    dtype = header.dtype.str if header.dtype.names is None else stored.dtype.str
    return arranged(stored, layout, fields={**fields, "dtype": dtype}, notes=notes)


def read_header(source: Source, file: IO[bytes]) -> NpyHeader:
    """Shape, type and order of the array that begins here; ReadError for a damaged header."""
    try:
        version = np.lib.format.read_magic(file)
        parse = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        if version not in ((1, 0), (2, 0), (3, 0)):
            raise source.fail(f"a .npy header of version {version}", wanted="1.0, 2.0 or 3.0")
        shape, fortran, dtype = parse(file)
    except (ValueError, EOFError, OSError, SyntaxError) as error:
        if isinstance(error, ReadError):
            raise
        raise source.fail("truncated or damaged .npy header", do="Write the array again with numpy.save.") from error
    if dtype.hasobject:
        # Such values are pickles: loading them runs code from the file.
        raise source.fail("Python objects (a pickle)", wanted="an array of numbers", do="Save it as a plain array.")
    if any(n < 0 for n in shape):
        raise source.fail(f"damaged .npy header: shape {shape}")
    return NpyHeader(tuple(int(n) for n in shape), bool(fortran), dtype, file.tell())


def check_length(source: Source, header: NpyHeader, size: int) -> None:
    """ReadError where the values take more or fewer bytes than their header says. size: of file or member, in bytes."""
    stored, wanted = size - header.start, header.nbytes
    if stored != wanted:
        kind = "truncated or lying .npy" if stored < wanted else "a .npy with extra bytes at its end"
        shape = f"shape {header.shape} of {header.dtype}"
        raise source.fail(f"{kind}: {stored} bytes of values", f"{wanted} for {shape}", "Write the array again.")


def write_npy(path: Path, stored: np.ndarray, _spec: Spec) -> None:
    """A .npy file of an array, with numpy.save's own header."""
    with path.open("wb") as file:
        np.lib.format.write_array(file, np.ascontiguousarray(stored), allow_pickle=False)


def npy_extent(source: Source, _options: Options) -> Sized:
    """Shape of the array; its axes have no names."""
    return npy_header(source).shape, None


NPY = Format(read_npy, write_npy, npy_extent)
