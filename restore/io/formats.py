"""The table of file formats: told apart by their first bytes, loaded at first use."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from operators.common.registry import Registry

from .errors import WriteError
from .format import Format, FormatLine
from .source import Source

FORMATS: Registry = Registry(
    "file format",
    {
        "png": FormatLine(
            "restore.io.png:FORMAT",
            "PNG, 1 to 16 bits, gray, palette and RGB",
            "W3C PNG specification",
            magic=((0, b"\x89PNG\r\n\x1a\n"),),
            suffixes=(".png",),
        ),
        "jpeg": FormatLine(
            "restore.io.jpeg:FORMAT",
            "JPEG, 8 bits, gray and RGB, EXIF orientation",
            "ITU-T T.81",
            magic=((0, b"\xff\xd8\xff"),),
            suffixes=(".jpg", ".jpeg"),
        ),
        "tiff": FormatLine(
            "restore.io.tiff:FORMAT",
            "TIFF and BigTIFF, 1 to 16 bits and floats, pages",
            "TIFF 6.0",
            magic=((0, b"II*\0"), (0, b"MM\0*"), (0, b"II+\0"), (0, b"MM\0+")),
            suffixes=(".tif", ".tiff"),
        ),
        "npy": FormatLine(
            "restore.io.numpy_arrays:NPY",
            "NumPy array, no pickles",
            "numpy.lib.format",
            magic=((0, b"\x93NUMPY"),),
            suffixes=(".npy",),
        ),
        "npz": FormatLine(
            "restore.io.npz:FORMAT",
            "NumPy archive, one array by name",
            "numpy.lib.format",
            magic=((0, b"PK\x03\x04"),),
            suffixes=(".npz",),
        ),
        "matlab": FormatLine(
            "restore.io.matlab:FORMAT",
            "MATLAB 5 to 7.3, one variable by name",
            "MathWorks MAT-file format",
            magic=((0, b"MATLAB 7.3"), (124, b"\0\x01IM"), (124, b"\x01\0MI")),
            suffixes=(".mat",),
        ),
        "hdf5": FormatLine(
            "restore.io.hdf5:FORMAT",
            "HDF5, one data set by name",
            "The HDF Group",
            magic=((0, b"\x89HDF\r\n\x1a\n"), (512, b"\x89HDF\r\n\x1a\n")),  # 512: behind a user block
            suffixes=(".h5", ".hdf5"),
        ),
        "zarr": FormatLine(
            "restore.io.zarr_arrays:FORMAT",
            "Zarr folder, one array by name (extra zarr)",
            "zarr-specs",
            suffixes=(".zarr",),
            holds=("zarr.json", ".zarray", ".zgroup"),
            folder=True,
        ),
    },
)

# Known, and not read: the error names them.
STRANGERS = (
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
    (344, b"ni1\0", "the header of a NIfTI pair"),
    (4, b"n+2\0", "a NIfTI file"),
    (4, b"ni2\0", "the header of a NIfTI pair"),
    (0, b"ENVI", "the header of an ENVI file"),
    (0, b"# Dimensions", "the header of a BART array"),
    (4, b"ftypcrx ", "a raw file of a Canon camera"),
    (0, b"FUJIFILMCCD-RAW", "a raw file of a Fujifilm camera"),
    (0, b"IIU\0", "a raw file of a Panasonic camera"),
    *((0, magic, "a raw file of an Olympus camera") for magic in (b"IIRO", b"IIRS", b"MMOR")),
    (0, b"\x1f\x8b", "a gzip file"),
    (0, b"PK\x05\x06", "an empty zip archive"),
    (0, b"%PDF", "a PDF"),
    *((0, bytes((0x80, v)), "a Python pickle, which can run code and is never loaded") for v in range(2, 6)),
    (0, b"P4", "a portable bitmap"),
    (0, b"P5", "a portable graymap"),
    (0, b"P6", "a portable pixmap"),
)


def line(name: str) -> FormatLine:
    """The table's line of a format; BadInput with a suggestion for an unknown name."""
    return cast(FormatLine, FORMATS[name])


def load(name: str) -> Format:
    """The format itself, whose file is imported now."""
    reader: Format = FORMATS.load(name)
    return reader


def recognise(source: Source) -> str | None:
    """Name of the format that a file or folder has, by its content alone; None for one of no format here."""
    by_magic = (name for name in FORMATS if line(name).fits(source))
    return next(by_magic, None) or next((name for name in FORMATS if line(name).recognises(source)), None)


def detect(source: Source) -> str:
    """Name of the format that a file has; ReadError that says what it is instead, whatever its suffix promises."""
    name = recognise(source)
    if name is not None:
        return name
    if source.folder:
        raise source.fail("this is a folder", "a file", "Name one file in it, or give the folder as --input.")
    raise source.fail(
        describe(source), wanted=f"{kinds()} (told by content, not by extension)", do="Convert it to one of these."
    )


def describe(source: Source) -> str:
    """In words, what a file of no format here is."""
    head, size = source.head, source.size
    stranger = next((text for at, magic, text in STRANGERS if head[at : at + len(magic)] == magic), None)
    if stranger is not None:
        return stranger
    if size < 8:
        return f"a file of {size} byte{'s' if size > 1 else ''}"
    printable = all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in head[:256])
    return "a text file" if printable else "a file of unknown kind"


def kinds() -> str:
    """The formats that are read, by their suffixes: "PNG, JPG, TIF, ... or ZARR"."""
    names = [line(name).suffixes[0].removeprefix(".").upper() for name in FORMATS]
    return f"{', '.join(names[:-1])} or {names[-1]}"


def writer_for(path: Path) -> str:
    """Name of the format that a suffix stands for; WriteError with the list for an unknown one."""
    fitting = {s: name for name in FORMATS for s in line(name).suffixes if path.name.lower().endswith(s)}
    if fitting:
        return fitting[max(fitting, key=len)]  # .nii.gz before .gz
    suffixes = " ".join(suffix for name in FORMATS for suffix in line(name).suffixes)
    raise WriteError(path, f"no format for the suffix {path.suffix.lower()!r}", do=f"Use one of {suffixes}.")
