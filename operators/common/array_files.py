"""Arrays of .npy and .npz files, read without pickle and without trusting the header.

A header that promises more than the file holds is refused before anything of that size is allocated.
Format: numpy.lib.format, versions 1 to 3.
"""

from __future__ import annotations

import math
import os
import zipfile
from dataclasses import dataclass
from typing import IO

import numpy as np

from .outside import ReadError, Source, checked, one_line, open_source, opened

MAX_BYTES = 1 << 32  # of one array that is unpacked whole
ZIP = b"PK\x03\x04"
NPY = b"\x93NUMPY"


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


def npy_header(source: Source) -> NpyHeader:
    """Shape, type and order of a .npy file's array; ReadError where the file does not hold that much."""
    with opened(source.path) as file:
        header = read_header(source, file)
    check_length(source, header, source.size)
    return header


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


def read_array(path: str | os.PathLike[str]) -> np.ndarray:
    """The one array of a .npy file, or of a .npz file with a single member; numbers keep their type.

    Told by content, whatever the suffix. Raises ReadError for a missing or damaged file, another kind, pickled objects,
    several members, or an array of more than MAX_BYTES.
    """
    source = open_source(path)
    if source.folder:
        raise source.fail("this is a folder", "a file", "Name one file in it.")
    try:
        if source.head.startswith(ZIP):
            return _member(source)
        if source.head.startswith(NPY):
            return read_npy_file(source)
    except ReadError:
        raise
    except Exception as error:  # a damaged archive raises errors of zipfile, zlib, struct and numpy
        raise source.fail(f"truncated or damaged array file ({one_line(error, limit=120)})") from error
    raise source.fail("this is no array file", wanted=".npy or .npz (told by content)", do="Save it with numpy.save.")


def read_npy_file(source: Source) -> np.ndarray:
    """The array of a .npy file."""
    with opened(source.path) as file:
        header = read_header(source, file)
        check_length(source, header, source.size)
        return _values(source, file, header)


def _member(source: Source) -> np.ndarray:
    with zipfile.ZipFile(checked(source.path)) as archive:
        members = archive.infolist()
        if len(members) != 1:
            names = ", ".join(info.filename for info in members[:5])
            raise source.fail(f"{len(members)} arrays ({names})", "one array", "Store the one you mean as .npy.")
        with archive.open(members[0]) as file:
            header = read_header(source, file)
            check_length(source, header, members[0].file_size)
            return _values(source, file, header)


def _values(source: Source, file: IO[bytes], header: NpyHeader) -> np.ndarray:
    if header.nbytes > MAX_BYTES:
        raise source.fail(f"an array of {header.nbytes} bytes", f"at most {MAX_BYTES}")
    if header.dtype.kind not in "biufc":
        raise source.fail(f"an array of {header.dtype}", wanted="numbers")
    native = header.dtype.newbyteorder("=")
    content = file.read(header.nbytes + 1)  # to the end, so that an archive's checksum is verified too
    if len(content) != header.nbytes:
        raise source.fail(f"truncated array: {len(content)} bytes", wanted=f"{header.nbytes}")
    flat = np.frombuffer(bytearray(content), header.dtype)
    return flat.reshape(header.shape, order="F" if header.fortran else "C").astype(native, copy=False)
