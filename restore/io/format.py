"""What a file format is: one object in the file that reads and writes it, and one line in the table of formats."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from operators.common.registry import Entry

from .source import Options, Source

if TYPE_CHECKING:  # what reads is imported when a file is read
    from .decoded import Decoded

# Shape of a stored array, and the letters of its axes where the file has them.
Sized = tuple[tuple[int, ...], str | None]


@dataclass(frozen=True)
class Format:
    """One kind of file.

    read: the stored numbers that the options name; whatever it raises on damaged bytes becomes a ReadError.
    write: `write(path, stored, spec, *others)` stores an array whose axes are `spec.axes`; None where files of this
        kind are only read. `path` and `others` are temporary names that are renamed together at the end; of a folder,
        the name of one that exists and is empty.
    extent: shape and axes of the stored array, its values unread; None: known by reading.
    parts: whether `read` gives the window of the options; of another format it is cut out of the whole.
    picture: whether stored integers are a picture's, scaled by their full range as a rule, or numbers of an array.
    depths: bits of stored values that are written, 32 for floats. channels: numbers of channels, () for any.
    layouts: orders of the axes that are written, () for any.
    others: suffixes of the files that are written beside the first (a header's data).
    files: the files that hold the array, where there are more than the one that was named; their digest is the
        picture's.
    """

    read: Callable[[Source, Options], Decoded]
    write: Callable[..., None] | None = None
    extent: Callable[[Source, Options], Sized] | None = None
    parts: bool = True
    picture: bool = False
    depths: tuple[int, ...] = (8, 16, 32)
    channels: tuple[int, ...] = ()
    layouts: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    files: Callable[[Source], Sequence[Path]] | None = None

    @property
    def floats(self) -> bool:
        """Whether values between two stored levels can be written."""
        return 32 in self.depths


@dataclass(frozen=True)
class FormatLine(Entry):
    """A format's line in the table: where its Format is, and what must be known before that is imported.

    magic: (offset, bytes) that its files carry, one of them is enough. suffixes: names that are written with it, the
    first by default. holds: names of files of which one makes a folder of this kind. folder: whether it is written as
    one. recognise: "module:function" of a Source, which has the last word on files of that magic, and is asked about
    files and folders that no magic tells.
    """

    magic: tuple[tuple[int, bytes], ...] = ()
    suffixes: tuple[str, ...] = ()
    holds: tuple[str, ...] = ()
    folder: bool = False
    recognise: str = ""

    @property
    def kind(self) -> str:
        """What its files are called in a sentence."""
        return self.summary.split(",", 1)[0]

    def fits(self, source: Source) -> bool:
        """Whether the first bytes of a file, or the names in a folder, are those of this format."""
        if source.folder:
            return any(_is_file(source.path / name) for name in self.holds)
        marked = any(source.head[at : at + len(magic)] == magic for at, magic in self.magic)
        return marked and (not self.recognise or self.recognises(source))

    def recognises(self, source: Source) -> bool:
        """Whether the format's own look at a file says yes."""
        return bool(self.recognise) and bool(Entry(self.recognise, "").load()(source))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a folder that may not be looked into
        return False
