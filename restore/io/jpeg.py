"""JPEG through Pillow, after a walk over its markers that no truncated file passes.

Pillow accepts a file whose last bytes are missing, depending on a global switch that other libraries set; the walk
does not, and `jpeg_scans` holds the size in the header against the data that fill it. There is no checksum in the
format: a flipped bit inside the data shows in the picture only.
Format: ITU-T T.81, annex B.
"""

from __future__ import annotations

import io
import re
import warnings
from pathlib import Path

import numpy as np

from . import jpeg_scans
from .decoded import Decoded, arrays_only, orientation_notes, upright
from .format import Format
from .source import Options, Source, check_pixels
from .write_spec import Spec

FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # start-of-frame markers
STANDALONE = {0x01, *range(0xD0, 0xD8)}  # markers without a length
_MARKER = re.compile(rb"\xff+[^\x00\xd0-\xd7\xff]")  # in coded data: neither a stuffed byte nor a restart


def read(source: Source, options: Options) -> Decoded:
    """The pixels of a JPEG file as Decoded; ReadError where it is truncated or CMYK."""
    from PIL.JpegImagePlugin import JpegImageFile

    arrays_only(source, options, "JPEG picture")
    data = source.content()
    frame, scans = _walk(source, data)
    check_pixels(source, frame.width * frame.height, options, what="the JPEG header promises a picture that")
    if frame.depth != 8:
        raise source.fail(f"a JPEG of {frame.depth} bits", wanted="8 bits", do="Export it as a 16-bit PNG or TIFF.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # remarks about odd EXIF blocks, which only the orientation is taken from
        with JpegImageFile(io.BytesIO(data)) as picture:
            if picture.mode not in ("L", "RGB"):
                raise source.fail(f"a {picture.mode} JPEG", wanted="gray or RGB", do="Convert it to RGB first.")
            if found := jpeg_scans.fault(data, frame, scans):
                raise source.fail(f"damaged JPEG: {found}", do="Get or export the file again.")
            orientation = int(picture.getexif().get(0x0112, 1))
            profile = "icc_profile" in picture.info
            stored = np.asarray(picture)
    array = stored[None] if stored.ndim == 2 else stored.transpose(2, 0, 1)
    notes = orientation_notes(orientation)
    return Decoded(
        upright(array, orientation),
        axes="HW" if stored.ndim == 2 else "HWC",
        bits=8,
        full=255,
        orientation=orientation,
        notes=notes + (("carries a colour profile, which was not applied",) if profile else ()),
    )


def _walk(source: Source, data: bytes) -> tuple[jpeg_scans.JpegFrame, list[jpeg_scans.JpegScan]]:
    """Follow the markers to the end of the picture; its frame and scans."""
    truncated = source.fail("truncated JPEG: its end marker is missing", do="Get or export the file again.")
    frame: jpeg_scans.JpegFrame | None = None
    scans: list[jpeg_scans.JpegScan | None] = []
    tables: dict[int, bytes] = {}
    position, restart = 2, 0
    while True:
        if position + 2 > len(data):
            raise truncated
        if data[position] != 0xFF:
            raise source.fail(f"damaged JPEG: no marker at byte {position}", do="Get or export the file again.")
        marker = data[position + 1]
        if marker == 0xFF:  # padding
            position += 1
            continue
        position += 2
        if marker == 0xD9:
            break
        if marker in STANDALONE:
            continue
        length = int.from_bytes(data[position : position + 2], "big")
        if length < 2 or position + length > len(data):
            raise truncated
        body = data[position + 2 : position + length]
        if marker in FRAMES and frame is None:
            frame = jpeg_scans.frame_of(marker, body)
        elif marker == 0xC4:
            tables |= jpeg_scans.tables_of(body)
        elif marker == 0xDD:
            restart = int.from_bytes(body[:2], "big")
        position += length
        if marker == 0xDA:
            following = _MARKER.search(data, position)
            if following is None:
                raise truncated
            scans.append(jpeg_scans.scan_of(body, tables, (position, following.start()), restart))
            position = following.start()
    whole = [scan for scan in scans if scan is not None]
    if frame is None or not frame.width or not frame.height or not scans or len(whole) < len(scans):
        raise source.fail("damaged JPEG: no picture before its end marker", do="Get or export the file again.")
    return frame, whole


def write(path: Path, stored: np.ndarray, spec: Spec) -> None:
    """A JPEG file of H x W or H x W x 3 bytes, colour at full resolution (4:4:4)."""
    from PIL import Image

    quality = int(spec.fields.get("quality", 95))
    Image.fromarray(np.ascontiguousarray(stored)).save(path, format="JPEG", quality=quality, subsampling=0)


FORMAT = Format(read, write, parts=False, picture=True, depths=(8,), channels=(1, 3), layouts=("HW", "HWC"))
