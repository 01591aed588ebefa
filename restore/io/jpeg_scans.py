"""Does the coded data of a JPEG fill the size that its header states? There is no checksum that would tell.

A flipped bit in the header's height makes a picture whose lower part nobody took: decoders fill it with gray and only
warn. Baseline data are decoded by Pillow up to their last byte and not beyond: a decoder that asks for more has not
had enough, one that is content without the last bytes has had too much. Progressive pictures wait for their last scan,
so the first scan of each component's means is counted here, one code after another.
Format: ITU-T T.81, annexes B (markers), F.2 and G.2 (codes).
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

SPARE = 4  # bytes of coded data that nobody asked for, up to which a picture passes
ASKED = b"\xff\x00" * 8  # ones behind the last code: a decoder looks that far ahead, and no code is all ones
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
SEQUENTIAL, PROGRESSIVE = (0xC0, 0xC1), 0xC2


@dataclass(frozen=True)
class JpegFrame:
    """What a start-of-frame segment says. components: identifier -> (horizontal, vertical) sampling."""

    marker: int
    depth: int
    height: int
    width: int
    components: Mapping[int, tuple[int, int]]

    def blocks(self, scan: tuple[int, ...]) -> tuple[int, int]:
        """Units that a scan of these components codes, and blocks of 8 x 8 in each of them."""
        across = max(h for h, _ in self.components.values())
        down = max(v for _, v in self.components.values())
        if len(scan) == 1:
            h, v = self.components[scan[0]]
            columns, rows = -(-self.width * h // across), -(-self.height * v // down)
            return -(-columns // 8) * -(-rows // 8), 1
        inside = sum(self.components[name][0] * self.components[name][1] for name in scan)
        return -(-self.width // (8 * across)) * -(-self.height // (8 * down)), inside


@dataclass(frozen=True)
class JpegScan:
    """One scan: components and their tables, first and last coefficient, bit positions, coded data from and to.

    restart: units between two restart markers, 0 for none.
    """

    components: tuple[int, ...]
    tables: tuple[bytes, ...]
    first: int
    high: int
    start: int
    end: int
    restart: int


def frame_of(marker: int, body: bytes) -> JpegFrame | None:
    """The frame of a segment without its length; None for one that makes no sense."""
    if len(body) < 6 or len(body) != 6 + 3 * body[5] or not body[5]:
        return None
    parts = {body[at]: (body[at + 1] >> 4, body[at + 1] & 15) for at in range(6, len(body), 3)}
    if len(parts) != body[5] or any(not (1 <= h <= 4 and 1 <= v <= 4) for h, v in parts.values()):
        return None
    return JpegFrame(marker, body[0], int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big"), parts)


def tables_of(body: bytes) -> dict[int, bytes]:
    """The code tables of a segment by class and number: counts of lengths 1 to 16, then the values."""
    found, at = {}, 0
    while at + 17 <= len(body):
        size = 17 + sum(body[at + 1 : at + 17])
        found[body[at]] = body[at + 1 : at + size]
        at += size
    return found


def scan_of(body: bytes, tables: Mapping[int, bytes], place: tuple[int, int], restart: int) -> JpegScan | None:
    """The scan of a start-of-scan segment without its length; None for one that makes no sense."""
    count = body[0] if body else 0
    if not count or len(body) != 4 + 2 * count:
        return None
    names = tuple(body[1 : 1 + 2 * count : 2])
    codes = tuple(tables.get(selector >> 4, b"") for selector in body[2 : 2 + 2 * count : 2])
    return JpegScan(names, codes, body[-3], body[-1] >> 4, *place, restart)


def fault(data: bytes, frame: JpegFrame, scans: list[JpegScan]) -> str:
    """What is wrong with the amount of coded data, in words; "" where it fits the size in the header."""
    if any(set(scan.components) - set(frame.components) for scan in scans):
        return "a scan of components that the picture has not"
    for scan in scans:
        if found := _restarts(data, frame, scan):
            return found
    if frame.marker == PROGRESSIVE:
        found = next((text for scan in scans if scan.first == 0 and (text := _means(data, frame, scan))), "")
        return found
    if frame.marker in SEQUENTIAL and len(scans) == 1:
        return _sequential(data, scans[0])
    # Several scans without progression are rare; each block takes two codes of a bit or more.
    short = [s for s in scans if 2 * np.prod(frame.blocks(s.components)) > 8 * (s.end - s.start)]
    return _short(frame) if short and frame.marker in SEQUENTIAL else ""


def _short(frame: JpegFrame | None = None) -> str:
    size = "" if frame is None else f" of {frame.width} x {frame.height}"
    return f"the coded data end before the picture{size} that the header states is full"


def _long(count: int | str) -> str:
    return f"the header states a smaller picture than the coded data hold ({count} bytes are left over)"


def _restarts(data: bytes, frame: JpegFrame, scan: JpegScan) -> str:
    if not scan.restart:
        return ""
    wanted = -(-frame.blocks(scan.components)[0] // scan.restart) - 1
    there = len(_RESTART.findall(data, scan.start, scan.end))
    return "" if there == wanted else f"{there} restart markers where the size in the header wants {wanted}"


def _sequential(data: bytes, scan: JpegScan) -> str:
    coded = data[: scan.end].rstrip(b"\xff")
    if not _content(coded + ASKED):
        return _short()
    cut = len(coded) - SPARE
    if cut > scan.start and _content(coded[: cut - (coded[cut - 1] == 0xFF)]):
        return _long(f"at least {SPARE}")
    return ""


def _content(data: bytes) -> bool:
    """Whether the decoder has all it asks for in data without an end marker."""
    from PIL.JpegImagePlugin import JpegImageFile

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with JpegImageFile(io.BytesIO(data)) as picture:
            picture.draft(None, (max(picture.width // 8, 1), max(picture.height // 8, 1)))  # codes, and little else
            try:
                picture.load()
            except OSError:
                return False
    return True


def _means(data: bytes, frame: JpegFrame, scan: JpegScan) -> str:
    """A scan of block means (DC): one code, or later one bit, for each block."""
    units, inside = frame.blocks(scan.components)
    pieces = [piece.replace(b"\xff\x00", b"\xff") for piece in _RESTART.split(data[scan.start : scan.end])]
    size = sum(map(len, pieces))
    if not scan.high and units * inside > 8 * size:
        return _short(frame)
    order = [] if scan.high else _order(frame, scan)
    left = 0
    for number, piece in enumerate(pieces):
        count = min(scan.restart or units, units - number * (scan.restart or units))
        bits = count * inside if scan.high else _walked(piece, order, count)
        if bits is None or bits > 8 * len(piece):
            return _short(frame)
        left += len(piece) - -(-bits // 8)
    return _long(left) if left > SPARE else ""


def _order(frame: JpegFrame, scan: JpegScan) -> list[list[int]]:
    """For each block of a unit the bits that a code and its value take, by the sixteen bits that begin there."""
    steps = [_steps(table) for table in scan.tables]
    if len(scan.components) == 1:
        return steps
    times = [h * v for h, v in (frame.components[name] for name in scan.components)]
    return [step for step, count in zip(steps, times, strict=True) for _ in range(count)]


def _steps(table: bytes) -> list[int]:
    steps = np.full(1 << 16, 16, np.int64)
    code, values = 0, iter(table[16:])
    for length, count in enumerate(table[:16], start=1):
        for value in (next(values, 0) for _ in range(count)):
            steps[code << (16 - length) : (code + 1) << (16 - length)] = length + value
            code += 1
        code <<= 1
    found: list[int] = steps.tolist()
    return found


def _walked(piece: bytes, order: list[list[int]], units: int) -> int | None:
    """Bits that the codes of so many units take, None where there are not as many."""
    padded = np.frombuffer(piece + bytes(4), np.uint8).astype(np.uint32)
    words = ((padded[:-3] << 24) | (padded[1:-2] << 16) | (padded[2:-1] << 8) | padded[3:]).tolist()
    at, end = 0, 8 * len(piece)
    for _ in range(units):
        for steps in order:
            if at >= end:
                return None
            at += steps[(words[at >> 3] >> (16 - (at & 7))) & 0xFFFF]
    return at
