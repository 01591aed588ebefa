"""A walk over the directories of a TIFF, before tifffile sees it.

tifffile only logs a broken chain of pages and reads on with fewer: half a volume would pass for a whole one.
"""

from __future__ import annotations

import os
import struct
from typing import BinaryIO

from .source import Source

TYPE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
MAX_PAGES = 1_000_000


def check_structure(source: Source) -> None:
    """ReadError unless every directory and tag lies inside the file and the chain of directories ends."""
    order = "<" if source.head[:2] == b"II" else ">"
    big = source.head[2:4] in (b"+\0", b"\0+")
    with source.path.open("rb") as file:
        start = _number(source, file, 8 if big else 4, order, big)
        seen: set[int] = set()
        while start:
            if start in seen or len(seen) >= MAX_PAGES:
                raise source.fail("damaged TIFF: its pages form a loop", do="Get or export the file again.")
            seen.add(start)
            start = _directory(source, file, start, order, big)
    if not seen:
        raise source.fail("a TIFF without a picture", do="Get or export the file again.")


def _directory(source: Source, file: BinaryIO, start: int, order: str, big: bool) -> int:
    """Check one directory; gives the offset of the next, 0 at the end."""
    head, entry, inline = ("Q", "HHQ8s", 8) if big else ("H", "HHI4s", 4)
    (count,) = struct.unpack(order + head, _bytes(source, file, start, struct.calcsize(order + head)))
    size = struct.calcsize(order + entry)
    first = start + struct.calcsize(order + head)
    body = _bytes(source, file, first, count * size)
    for tag, kind, length, value in struct.iter_unpack(order + entry, body):
        total = TYPE_SIZES.get(kind, 1) * length
        if total > inline:
            offset = int.from_bytes(value, "little" if order == "<" else "big")
            if offset + total > source.size:
                raise source.fail(
                    f"truncated or damaged TIFF: tag {tag} points at {total} bytes past the end of the file",
                    do="Get or export the file again.",
                )
    return _number(source, file, first + count * size, order, big)


def _number(source: Source, file: BinaryIO, start: int, order: str, big: bool) -> int:
    code = order + ("Q" if big else "I")
    return int(struct.unpack(code, _bytes(source, file, start, struct.calcsize(code)))[0])


def _bytes(source: Source, file: BinaryIO, start: int, count: int) -> bytes:
    if start + count > source.size:
        raise source.fail("truncated TIFF: a page directory is missing", do="Get or export the file again.")
    file.seek(start, os.SEEK_SET)
    return file.read(count)
