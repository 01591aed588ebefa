"""The table of file formats: told apart by their first bytes, loaded at first use."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from operators.common.errors import BadInput
from operators.common.registry import Entry, Registry

from .errors import WriteError
from .source import ZARR, Source

FORMATS = Registry(
    "file format",
    {
        "png": Entry("restore.io.png:read", "PNG, 1 to 16 bits, gray, palette and RGB", "W3C PNG specification"),
        "jpeg": Entry("restore.io.jpeg:read", "JPEG, 8 bits, gray and RGB, EXIF orientation", "ITU-T T.81"),
        "tiff": Entry("restore.io.tiff:read", "TIFF and BigTIFF, 1 to 16 bits and floats, pages", "TIFF 6.0"),
        "npy": Entry("restore.io.numpy_arrays:read_npy", "NumPy array, no pickles", "numpy.lib.format"),
        "npz": Entry("restore.io.numpy_arrays:read_npz", "NumPy archive, one array by name", "numpy.lib.format"),
        "hdf5": Entry("restore.io.hdf5:read", "HDF5, one data set by name", "The HDF Group"),
        "zarr": Entry("restore.io.zarr_arrays:read", "Zarr folder, one array by name (extra zarr)", "zarr-specs"),
        "matlab": Entry("restore.io.matlab:read", "MATLAB 5 to 7.3, one variable by name", "MathWorks MAT-file format"),
    },
)


@dataclass(frozen=True)
class Writer:
    """Where a format's writer is, its suffixes, and whether it holds pictures (integers by default) or arrays."""

    target: str
    suffixes: tuple[str, ...]
    picture: bool


WRITERS = {
    "png": Writer("restore.io.png:write", (".png",), True),
    "jpeg": Writer("restore.io.jpeg:write", (".jpg", ".jpeg"), True),
    "tiff": Writer("restore.io.tiff:write", (".tif", ".tiff"), True),
    "npy": Writer("restore.io.numpy_arrays:write_npy", (".npy",), False),
    "npz": Writer("restore.io.numpy_arrays:write_npz", (".npz",), False),
    "hdf5": Writer("restore.io.hdf5:write", (".h5", ".hdf5"), False),
    "matlab": Writer("restore.io.matlab:write", (".mat",), False),
}

_MAGIC = (
    (0, b"\x89PNG\r\n\x1a\n", "png"),
    (0, b"\xff\xd8\xff", "jpeg"),
    (0, b"II*\0", "tiff"),
    (0, b"MM\0*", "tiff"),
    (0, b"II+\0", "tiff"),
    (0, b"MM\0+", "tiff"),
    (0, b"\x93NUMPY", "npy"),
    (0, b"PK\x03\x04", "npz"),
    (0, b"MATLAB 7.3", "matlab"),
    (124, b"\0\x01IM", "matlab"),
    (124, b"\x01\0MI", "matlab"),
    (0, b"\x89HDF\r\n\x1a\n", "hdf5"),
    (0, ZARR, "zarr"),
    (512, b"\x89HDF\r\n\x1a\n", "hdf5"),  # behind a user block
)

# Known, and not read: the error names them.
_OTHERS = (
    (0, b"GIF8", "a GIF"),
    (0, b"BM", "a BMP"),
    (8, b"WEBP", "a WebP picture"),
    (4, b"ftypheic", "a HEIC picture"),
    (4, b"ftypavif", "an AVIF picture"),
    (4, b"jP  \r\n", "a JPEG 2000 picture"),
    (0, b"v/1\x01", "an OpenEXR picture"),
    (0, b"SIMPLE  =", "a FITS file"),
    (128, b"DICM", "a DICOM file"),
    (344, b"n+1\0", "a NIfTI file"),
    (0, b"\x1f\x8b", "a gzip file"),
    (0, b"PK\x05\x06", "an empty zip archive"),
    (0, b"%PDF", "a PDF"),
    (0, b"\x80\x02", "a Python pickle, which can run code and is never loaded"),
    (0, b"\x80\x03", "a Python pickle, which can run code and is never loaded"),
    (0, b"\x80\x04", "a Python pickle, which can run code and is never loaded"),
    (0, b"\x80\x05", "a Python pickle, which can run code and is never loaded"),
    (0, b"P4", "a portable bitmap"),
    (0, b"P5", "a portable graymap"),
    (0, b"P6", "a portable pixmap"),
)


def sniff(head: bytes) -> str | None:
    """Name of the format whose signature the first bytes carry, None for an unknown one."""
    return next((name for at, magic, name in _MAGIC if head[at : at + len(magic)] == magic), None)


def detect(source: Source) -> str:
    """Name of the file's format; ReadError that names the kind found, whatever the extension says."""
    name = sniff(source.head)
    if name is not None:
        return name
    raise source.fail(
        f"{describe(source.head, source.size)}",
        wanted="PNG, JPEG, TIFF, NPY, NPZ, HDF5 or MAT (told by content, not by extension)",
        do="Convert it to one of these.",
    )


def describe(head: bytes, size: int) -> str:
    """In words, what bytes of no format of ours are."""
    known = next((text for at, magic, text in _OTHERS if head[at : at + len(magic)] == magic), None)
    if known is not None:
        return known
    if size < 8:
        return f"a file of {size} byte{'s' if size > 1 else ''}"
    text = head[:256]
    printable = all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in text)
    return "a text file" if printable else "a file of unknown kind"


def writer_for(path: Path) -> str:
    """Name of the format that a suffix stands for; WriteError with the list for an unknown one."""
    suffix = path.suffix.lower()
    for name, writer in WRITERS.items():
        if suffix in writer.suffixes:
            return name
    known = " ".join(s for w in WRITERS.values() for s in w.suffixes)
    raise WriteError(path, f"no format for the suffix {suffix!r}", do=f"Use one of {known}.")


def load_writer(name: str) -> tuple[Writer, Entry]:
    if name not in WRITERS:
        raise BadInput(f"no writer for the format {name!r}", do=f"Known: {', '.join(WRITERS)}.")
    return WRITERS[name], Entry(WRITERS[name].target, "")
