"""PNG: every depth and colour kind, exact to the bit.

The chunks are walked here, because the checksums (CRC) of picture data are not verified by Pillow and because a header
must be judged before anything of its size is allocated. Pixels are decoded by Pillow, and by pypng where Pillow would
cut 16 bits down to 8 (colour, and gray with alpha).
Format: PNG Specification, 3rd edition (W3C 2025), sections 5, 11 and 13.9.
"""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .decoded import Decoded, arrays_only, drop_alpha, orientation_notes, upright
from .format import Format
from .source import Options, Source, check_pixels
from .write_spec import Spec

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # colour type -> stored samples per pixel
DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
# x start, y start, x step, y step of the seven passes (section 8.2)
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
PROFILES = {b"iCCP": "a colour profile", b"gAMA": "a gamma value", b"cICP": "a colour space code"}


@dataclass(frozen=True)
class Header:
    """IHDR and the small chunks that matter."""

    width: int
    height: int
    depth: int
    colour: int
    interlaced: bool
    chunks: dict[bytes, bytes] = field(repr=False)

    @property
    def row_bits(self) -> int:
        return self.depth * CHANNELS[self.colour]

    @property
    def raw_size(self) -> int:
        """Bytes of the unpacked picture data, filter bytes included."""
        grids = ADAM7 if self.interlaced else ((0, 0, 1, 1),)
        total = 0
        for x0, y0, dx, dy in grids:
            wide, high = -(-(self.width - x0) // dx), -(-(self.height - y0) // dy)
            if wide > 0 and high > 0:
                total += high * (1 + (wide * self.row_bits + 7) // 8)
        return total


def read(source: Source, options: Options) -> Decoded:
    """The pixels of a PNG file as Decoded; ReadError where it is damaged, animated or not opaque."""
    arrays_only(source, options, "PNG picture")
    # The header alone decides on the size, before the file is even loaded.
    check_pixels(source, _size(source), options, what="the PNG header promises a picture that")
    data = source.content()
    header = _walk(source, data)
    if frames := header.chunks.get(b"acTL"):
        count = struct.unpack(">I", frames[:4])[0]
        if count > 1:
            raise source.fail(f"an animated PNG of {count} frames", wanted="one picture", do="Extract one frame first.")
    array, full, notes = _pixels(source, data, header)
    orientation = _orientation(header.chunks.get(b"eXIf", b""))
    notes += orientation_notes(orientation)
    notes += tuple(f"carries {text}, which was not applied" for tag, text in PROFILES.items() if tag in header.chunks)
    return Decoded(
        upright(array, orientation),
        axes="HW" if array.shape[0] == 1 else "HWC",
        bits=header.depth,
        full=full,
        orientation=orientation,
        fields={"interlaced": header.interlaced, "palette": header.colour == 3},
        notes=notes,
    )


def _size(source: Source) -> int:
    if source.size < 33 or source.head[12:16] != b"IHDR":
        raise source.fail("truncated PNG: no complete header", do="Get or export the file again.")
    width, height = struct.unpack(">II", source.head[16:24])
    return width * height


def _walk(source: Source, data: bytes) -> Header:
    """Check every chunk's checksum up to IEND, and that the picture data unpacks to the promised size."""
    position, parts = len(SIGNATURE), list[bytes]()
    chunks: dict[bytes, bytes] = {}
    while True:
        if position + 12 > len(data):
            raise source.fail("truncated PNG: the end chunk is missing", do="Get or export the file again.")
        length, kind = struct.unpack(">I4s", data[position : position + 8])
        end = position + 12 + length
        if end > len(data):
            raise source.fail("truncated PNG: a chunk runs past the end", do="Get or export the file again.")
        body = data[position + 8 : end - 4]
        if zlib.crc32(data[position + 4 : end - 4]) != struct.unpack(">I", data[end - 4 : end])[0]:
            name = kind.decode("ascii", "replace")
            raise source.fail(f"damaged PNG: the checksum of chunk {name} is wrong", do="Get or export the file again.")
        if kind == b"IEND":
            break
        if kind == b"IDAT":
            parts.append(body)
        else:
            chunks.setdefault(kind, body)
        position = end
    header = _header(source, chunks)
    unpacker = zlib.decompressobj()
    try:
        unpacked = len(unpacker.decompress(b"".join(parts), header.raw_size + 1))
    except zlib.error as error:
        raise source.fail(f"damaged PNG: its data do not unpack ({error})") from error
    if unpacked != header.raw_size:
        raise source.fail(f"truncated PNG: {unpacked} bytes of picture data", wanted=f"{header.raw_size}")
    return header


def _header(source: Source, chunks: dict[bytes, bytes]) -> Header:
    width, height, depth, colour, packing, filtering, interlace = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    legal = depth in DEPTHS.get(colour, ()) and packing == filtering == 0 and interlace in (0, 1)
    if not legal or not width or not height:
        raise source.fail(f"damaged PNG header ({width} x {height}, depth {depth}, colour type {colour})")
    return Header(width, height, depth, colour, bool(interlace), chunks)


def _pixels(source: Source, data: bytes, header: Header) -> tuple[np.ndarray, int, tuple[str, ...]]:
    """C x H x W integers without alpha, the value that stands for 1, and notes."""
    if header.colour == 3:
        return _palette(source, _pillow(data), header)
    if header.depth == 16 and header.colour != 0:
        stored, full = _pypng(data, CHANNELS[header.colour]), 65535
    else:
        # Pillow gives 1 bit as booleans and spreads 2 and 4 bits over 0..255, which divides out exactly.
        stored = _pillow(data)
        full = {np.dtype(bool): 1, np.dtype(np.uint8): 255}.get(stored.dtype, 65535)
        stored = stored.astype(np.uint8) if full == 1 else stored
    array = stored[None] if stored.ndim == 2 else stored.transpose(2, 0, 1)
    if header.colour in (4, 6):
        array, notes = drop_alpha(source, array, full)
        return array, full, notes
    if key := header.chunks.get(b"tRNS"):
        levels = (1 << header.depth) - 1
        colour = np.array(struct.unpack(f">{len(key) // 2}H", key), np.int64) * full // levels
        opaque = ~np.all(array == colour.reshape(-1, 1, 1), axis=0)
        return _without(source, array, opaque, full)
    return array, full, ()


def _palette(source: Source, indices: np.ndarray, header: Header) -> tuple[np.ndarray, int, tuple[str, ...]]:
    colours = np.frombuffer(header.chunks.get(b"PLTE", b""), np.uint8).reshape(-1, 3)
    if int(indices.max()) >= len(colours):
        raise source.fail(f"damaged PNG: palette index {int(indices.max())} of {len(colours)} colours")
    array, notes = colours[indices].transpose(2, 0, 1), ("took the colours of the palette",)
    alpha = np.full(len(colours), 255, np.uint8)
    opacities = np.frombuffer(header.chunks.get(b"tRNS", b""), np.uint8)[: len(colours)]
    alpha[: len(opacities)] = opacities
    array, full, more = _without(source, array, alpha[indices] == 255, 255) if opacities.size else (array, 255, ())
    return array, full, notes + more


def _without(
    source: Source, array: np.ndarray, opaque: np.ndarray, full: int
) -> tuple[np.ndarray, int, tuple[str, ...]]:
    """The picture without a transparency that is given by colour or palette index."""
    alpha = (opaque * array.dtype.type(full)).astype(array.dtype)
    kept, notes = drop_alpha(source, np.concatenate([array, alpha[None]]), full)
    return kept, full, notes


def _pillow(data: bytes) -> np.ndarray:
    from PIL.PngImagePlugin import PngImageFile

    # The class itself and not Image.open: that one has a size limit of its own, global and only warned about.
    with PngImageFile(io.BytesIO(data)) as picture:
        return np.asarray(picture)


def _pypng(data: bytes, channels: int) -> np.ndarray:
    import png

    width, height, rows, _ = png.Reader(bytes=data).read()
    stored = np.empty((height, width * channels), np.uint16)
    for target, row in zip(stored, rows, strict=True):
        target[:] = row
    return stored.reshape(height, width, channels)


def _orientation(exif: bytes) -> int:
    if not exif:
        return 1
    from PIL.Image import Exif

    tags = Exif()
    tags.load(exif)
    return int(tags.get(0x0112, 1))


def write(path: Path, stored: np.ndarray, _spec: Spec) -> None:
    """A PNG file of H x W or H x W x 3 integers of 8 or 16 bits."""
    from PIL import Image

    if stored.dtype.itemsize == 1 or stored.ndim == 2:
        Image.fromarray(np.ascontiguousarray(stored)).save(path, format="PNG")
        return
    import png

    high, wide, channels = stored.shape
    writer = png.Writer(wide, high, greyscale=channels == 1, bitdepth=16)
    with path.open("wb") as file:
        writer.write_packed(file, (row.tobytes() for row in stored.astype(">u2")))


FORMAT = Format(read, write, parts=False, picture=True, depths=(8, 16), channels=(1, 3), layouts=("HW", "HWC"))
