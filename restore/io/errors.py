"""What reading and writing say when they cannot: one line that names the file, what was found and what to do."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from operators.common.errors import BadInput, MissingExtra


def shown(path: str | os.PathLike[str]) -> str:
    """A path as one printable line: bytes that are not UTF-8 and control characters become escapes."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def one_line(text: object, *, limit: int = 300) -> str:
    """Another library's message without line breaks, cut to a length a terminal can show."""
    line = " ".join(str(text).split())
    line = "".join(c if c.isprintable() else "?" for c in line)
    return line if len(line) <= limit else line[: limit - 3] + "..."


class _FileError(BadInput):
    """A BadInput about one file."""

    def __init__(self, path: str | os.PathLike[str], found: str, wanted: str = "", do: str = "") -> None:
        self.path = Path(path)
        self._arguments = (path, found, wanted, do)
        super().__init__(f"{shown(path)}: {one_line(found)}", wanted=one_line(wanted), do=one_line(do, limit=600))

    def about(self, path: str | os.PathLike[str]) -> Self:
        """The same finding under the name the user knows the file by."""
        return type(self)(path, *self._arguments[1:])

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._arguments


class ReadError(_FileError):
    """A file that cannot be read: (path, found, wanted, do). Every reader's own exception ends up here."""


class WriteError(_FileError):
    """A file that cannot be written: (path, found, wanted, do). What was there before is intact."""


@contextmanager
def as_read_error(path: Path, kind: str) -> Iterator[None]:
    """A block whose ReadError stands for whatever a decoder raises on damaged bytes; our own errors pass unchanged."""
    try:
        yield
    except (BadInput, MissingExtra):
        raise
    except MemoryError as error:
        raise ReadError(
            path, f"this {kind} needs more memory than there is", do="Read a part of it (index)."
        ) from error
    except Exception as error:
        # Decoders fed with damaged bytes raise nearly anything: SyntaxError, KeyError, struct.error, their own classes.
        reason = one_line(error, limit=160) or type(error).__name__
        damage = "truncated or damaged" if not isinstance(error, NotImplementedError) else "unsupported"
        raise ReadError(path, f"{damage} {kind} ({reason})", do="Get or export the file again.") from error
