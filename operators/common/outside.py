"""The one door for what comes from outside: pictures, arrays, results, weights, stores, submissions, suites, recipes.

Whoever reads a file that this program did not just make asks here first. `open_source` looks at a path, `checked`
hands a path that is safe to give to another library, `content`, `text`, `toml` and `json_value` read it bounded. A
pipe, a socket or a device is refused without being opened, for reading one may wait for ever; a loop of links, a folder
and a file that may not be read are refused in the same form: one `ReadError` that names the path, what was found and
what to do. Nothing of a size that only the file claims is allocated. `tests/test_outside.py` holds that no other module
opens such a file.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import stat
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any, Self

from .errors import BadInput

HEAD = 1024  # bytes looked at to tell the format; the HDF5 signature may sit at 512
PIECE = 1 << 20  # bytes of several files that are digested at a time
MAX_TEXT = 1 << 25  # bytes of a text file: suites, tasks, recipes and tables are far smaller

_REASONS = {
    errno.ENOENT: ("no such file", "Check the path."),
    errno.ENOTDIR: ("a part of its path is a file, not a folder", "Check the path."),
    errno.EACCES: ("no permission to read it", "Change its permissions."),
    errno.EPERM: ("no permission to read it", "Change its permissions."),
    errno.ENAMETOOLONG: ("the name is longer than this system allows", "Check the path."),
    errno.ELOOP: ("a symbolic link that leads to itself", "Check the link."),
    errno.ENXIO: ("this is a device or pipe", "Save the data to a file first."),
}


def shown(path: str | os.PathLike[str]) -> str:
    """A path as one printable line: bytes that are not UTF-8 and control characters become escapes."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def one_line(text: object, *, limit: int = 300) -> str:
    """Another library's message without line breaks, cut to a length a terminal can show."""
    line = " ".join(str(text).split())
    line = "".join(c if c.isprintable() else "?" for c in line)
    return line if len(line) <= limit else line[: limit - 3] + "..."


class FileError(BadInput):
    """A BadInput about one file: (path, found, wanted, do)."""

    def __init__(self, path: str | os.PathLike[str], found: str, wanted: str = "", do: str = "") -> None:
        self.path = Path(path)
        self._arguments = (path, found, wanted, do)
        super().__init__(f"{shown(path)}: {one_line(found)}", wanted=one_line(wanted), do=one_line(do, limit=600))

    def about(self, path: str | os.PathLike[str]) -> Self:
        """The same finding under the name the user knows the file by."""
        return type(self)(path, *self._arguments[1:])

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._arguments


class ReadError(FileError):
    """A file that cannot be read: (path, found, wanted, do). Every reader's own exception ends up here."""


class WriteError(FileError):
    """A file that cannot be written: (path, found, wanted, do). What was there before is intact."""


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
        with opened(self.path) as file:
            return file.read()

    def sha256(self, files: Sequence[Path] = ()) -> str:
        """Digest of the file's bytes (hexadecimal); of a folder or several `files`, of their names and bytes."""
        if self.folder:
            files = sorted(path for path in self.path.rglob("*") if path.is_file())
        elif len(files) < 2:
            return sha256(self.path)
        total, home = hashlib.sha256(), self.path if self.folder else self.path.parent
        for part in files:
            total.update(part.relative_to(home).as_posix().encode() + b"\0")
            with opened(part) as file:
                for piece in iter(partial(file.read, PIECE), b""):
                    total.update(piece)
        return total.hexdigest()


def open_source(path: str | os.PathLike[str]) -> Source:
    """A look at a file or folder, which is not read whole; ReadError where it is missing, empty or not readable."""
    place = Path(path)
    status = _status(place)
    if stat.S_ISDIR(status.st_mode):
        return Source(place, 0, b"", folder=True)
    with opened(place) as file:
        size = os.fstat(file.fileno()).st_size
        # A file of no size is not read: those of /proc have none, and some of them wait like a pipe.
        head = file.read(HEAD) if size else b""
    if not head:
        raise ReadError(place, "the file is empty (0 bytes)", "", "Get or export the file again.")
    return Source(place, size, head)


@contextmanager
def opened(path: str | os.PathLike[str], *, limit: int | None = None) -> Iterator[IO[bytes]]:
    """The bytes of a regular file of at most `limit` bytes; ReadError for anything else that may lie there."""
    place = Path(path)
    _check_kind(place, _status(place), limit)
    try:
        # Not waiting, and looked at once more: what lies there may have become a pipe since.
        handle = os.open(place, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0))
        file = os.fdopen(handle, "rb")
    except OSError as error:
        raise unreadable(place, error) from error
    with file:
        _check_kind(place, os.fstat(file.fileno()), limit)
        yield file


def check_there(path: str | os.PathLike[str]) -> None:
    """ReadError where no file and no folder is at the path, or something that could only be waited for."""
    status = _status(Path(path))
    if not stat.S_ISDIR(status.st_mode):
        _check_kind(Path(path), status, None)


def checked(path: str | os.PathLike[str], *, limit: int | None = None, magic: bytes = b"", kind: str = "") -> Path:
    """The path of a regular file that can be read, for a library that opens it itself; ReadError otherwise.

    limit: in bytes. magic: the first bytes of a file of that kind, as the error calls it.
    """
    with opened(path, limit=limit) as file:
        head = file.read(len(magic))
    if head != magic:
        raise ReadError(path, f"this is no {kind}", "", "Check the path.")
    return Path(path)


def content(path: str | os.PathLike[str], *, limit: int | None = None) -> bytes:
    """All bytes of a regular file of at most `limit` bytes."""
    with opened(path, limit=limit) as file:
        return file.read() if limit is None else file.read(limit)


def text(path: str | os.PathLike[str], *, limit: int = MAX_TEXT) -> str:
    """A text file (UTF-8) of at most `limit` bytes; ReadError for anything else."""
    try:
        return content(path, limit=limit).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ReadError(path, "this is no text (UTF-8)", "", "Check the path.") from error


def sha256(path: str | os.PathLike[str]) -> str:
    """Digest of a file's bytes (hexadecimal)."""
    with opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]


def toml(words: str, *, where: str, guide: str = "") -> dict[str, Any]:
    """The table of a TOML text; BadInput that says where it stands. guide: the document that shows its form."""
    do = f"See {guide} for its form." if guide else ""
    try:
        return tomllib.loads(words)
    except RecursionError as error:
        raise BadInput(f"{where} is not TOML (nested too deep)", do=do) from error
    except ValueError as error:  # dates and numbers that Python has not are ValueErrors of their own
        raise BadInput(f"{where} is not TOML ({one_line(error, limit=160)})", do=do) from error


def json_value(words: str | bytes, *, where: str, do: str = "") -> Any:
    """The value of a JSON text; BadInput for another text, a key that stands twice, NaN, and numbers beyond floats."""
    try:
        return json.loads(words, object_pairs_hook=_once, parse_constant=_finite, parse_float=_finite)
    except RecursionError as error:
        raise BadInput(f"{where} is not JSON (nested too deep)", do=do) from error
    except (ValueError, TypeError) as error:
        raise BadInput(f"{where} is not JSON ({one_line(error, limit=160)})", do=do) from error


def unreadable(path: Path, error: OSError) -> ReadError:
    """The ReadError for what the system says of a path."""
    message, do = _REASONS.get(error.errno or 0, (f"cannot be opened ({one_line(error.strerror or error)})", ""))
    if str(path) == "-":
        message, do = "standard input is not read", "Save the data to a file and name that."
    return ReadError(path, message, "", do)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} stands twice")
    return table


def _finite(word: str) -> float:
    value = float(word)
    if not math.isfinite(value):
        raise ValueError(f"{word} is no finite number")
    return value


def _status(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except OSError as error:
        raise unreadable(path, error) from error
    except ValueError as error:  # a zero byte in the name
        raise ReadError(path, f"not a file name ({one_line(error)})", "", "Check the path.") from error


def _check_kind(path: Path, status: os.stat_result, limit: int | None) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise ReadError(path, "this is a folder", "a file", "Name one file in it.")
    if not stat.S_ISREG(status.st_mode):
        # A pipe would block for ever and cannot be checked against its size.
        raise ReadError(path, "this is a device or pipe", "a file", "Save the data to a file first.")
    if limit is not None and status.st_size > limit:
        raise ReadError(path, f"a file of {status.st_size} bytes", f"at most {limit}", "Check the path.")
