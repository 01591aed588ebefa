"""A file that exists, can be read and is no larger than it claims: what every reader starts from."""

from __future__ import annotations

import errno
import hashlib
import math
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from .errors import ReadError, one_line

HEAD = 1024  # bytes looked at to tell the format; the HDF5 signature may sit at 512
PIECE = 1 << 20  # bytes of several files that are digested at a time
MAX_PIXELS = 178_000_000  # default limit of one read; a pixel is up to four values

_REASONS = {
    errno.ENOENT: ("no such file", "Check the path."),
    errno.ENOTDIR: ("a part of its path is a file, not a folder", "Check the path."),
    errno.EACCES: ("no permission to read it", "Change its permissions."),
    errno.EPERM: ("no permission to read it", "Change its permissions."),
    errno.ENAMETOOLONG: ("the name is longer than this system allows", "Check the path."),
    errno.ELOOP: ("a symbolic link that leads to itself", "Check the link."),
}


@dataclass(frozen=True)
class Source:
    """A regular file that can be opened: path, size in bytes and first kilobyte; or a folder, of size 0."""

    path: Path
    size: int
    head: bytes = field(repr=False)
    folder: bool = False

    def fail(self, found: str, wanted: str = "", do: str = "") -> ReadError:
        """The error to raise about this file."""
        return ReadError(self.path, found, wanted, do)

    def content(self) -> bytes:
        """All bytes of the file."""
        return self.path.read_bytes()

    def sha256(self, files: Sequence[Path] = ()) -> str:
        """Digest of the file's bytes (hexadecimal); of a folder or several `files`, of their names and bytes."""
        if self.folder:
            files = sorted(path for path in self.path.rglob("*") if path.is_file())
        elif len(files) < 2:
            with self.path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        total, home = hashlib.sha256(), self.path if self.folder else self.path.parent
        for part in files:
            total.update(part.relative_to(home).as_posix().encode() + b"\0")
            with part.open("rb") as file:
                for piece in iter(partial(file.read, PIECE), b""):
                    total.update(piece)
        return total.hexdigest()


@dataclass(frozen=True)
class Options:
    """How the caller wants a file read; the meaning of each is in `restore.io.read`."""

    dataset: str | None = None
    index: int | None = None
    axes: str | None = None
    unit: str | None = None
    offset: float | None = None
    max_pixels: int = MAX_PIXELS
    window: tuple[int, int, int, int] | None = None
    white: float | None = None
    black: float | None = None


def open_source(path: str | os.PathLike[str]) -> Source:
    """A look at a file or folder, which is not read whole; ReadError where it is missing, empty or not readable."""
    place = Path(path)
    try:
        status = _status(place)
        if stat.S_ISDIR(status.st_mode):
            return Source(place, 0, b"", folder=True)
        if not stat.S_ISREG(status.st_mode):
            # A pipe would block for ever and cannot be checked against its size.
            raise ReadError(place, "this is a device or pipe", "a file", "Save the data to a file first.")
        with place.open("rb") as file:
            head = file.read(HEAD)
    except OSError as error:
        raise _unreadable(place, error) from error
    if not head:
        raise ReadError(place, "the file is empty (0 bytes)", "", "Get or export the file again.")
    return Source(place, status.st_size, head)


def check_there(path: Path) -> None:
    """ReadError where no file and no folder is at the path."""
    _status(path)


def _status(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except OSError as error:
        raise _unreadable(path, error) from error
    except ValueError as error:  # a zero byte in the name
        raise ReadError(path, f"not a file name ({one_line(error)})", "", "Check the path.") from error


def _unreadable(path: Path, error: OSError) -> ReadError:
    message, do = _REASONS.get(error.errno or 0, (f"cannot be opened ({one_line(error.strerror or error)})", ""))
    if str(path) == "-":
        message, do = "standard input is not read", "Save the data to a file and name that."
    return ReadError(path, message, "", do)


def check_whole(source: Source, shape: Sequence[int], options: Options) -> None:
    """The pixel limit for an array that must be unpacked whole, even where only a part of it is wanted."""
    what = f"the array of {' x '.join(map(str, shape))}, which must be unpacked whole,"
    check_pixels(source, -(-math.prod(shape) // 4), options, what=what)


def check_pixels(source: Source, pixels: int, options: Options, *, what: str) -> None:
    """ReadError for a picture above the limit, before anything of its size is allocated."""
    if pixels > options.max_pixels:
        raise source.fail(
            f"{what} is {pixels} pixels",
            wanted=f"at most {options.max_pixels}",
            do="If you trust the file, raise max_pixels (--max-pixels), or read a part of it (index).",
        )
