"""Do the readers survive files that nobody meant to write? Small files of every format, damaged at random and read.

    python -m benchmarks.studies.fuzz                       # 3000 damaged files
    python -m benchmarks.studies.fuzz --count 300 --seed 4 --keep runs/fuzz

Each damaged file must end in a picture or in one ReadError: no other exception, no lines of other libraries on the
error stream, no more than LIMIT bytes of memory above what the program had (where the system can limit it), no more
than SECONDS. Where every byte of the values is under a checksum (PNG, NPZ), a picture that is read must be the picture
that was written. Files that fail are kept where --keep says.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import random
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from restore import io as files

LIMIT = 1 << 30  # bytes
SECONDS = 10.0
CHECKED = (".png", ".npz")
SIDE = (23, 31)
HEAD = 700  # most damage falls where a file says what it holds


@dataclass
class FuzzTally:
    """What became of the damaged files. failures: name of the file and what it did."""

    read: int = 0
    refused: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)
    by_format: Counter[str] = field(default_factory=Counter)


def originals(folder: Path) -> list[Path]:
    """One small file or two of every format that is read, written by this toolkit and by others."""
    import h5py
    import scipy.io
    import tifffile
    from PIL import Image

    noise = np.random.default_rng(0)
    gray = noise.integers(0, 256, SIDE, dtype=np.uint8)
    colour = noise.integers(0, 65536, (*SIDE, 3), dtype=np.uint16)
    values = torch.from_numpy(colour.astype(np.float32) / 65535).movedim(-1, 0)
    for suffix in (".png", ".tif", ".npy", ".npz", ".h5", ".mat"):
        files.write(folder / f"own{suffix}", values)
    Image.fromarray(gray).save(folder / "gray.png")
    Image.fromarray(gray).convert("P").save(folder / "palette.png")
    Image.fromarray(gray).save(folder / "gray.jpg")
    Image.fromarray((colour >> 8).astype(np.uint8)).save(folder / "progressive.jpg", progressive=True)
    tifffile.imwrite(folder / "tiled.tif", gray, compression="zlib", tile=(16, 16))
    tifffile.imwrite(folder / "big.tif", colour, bigtiff=True, photometric="rgb")
    stack = np.stack([gray, gray[::-1]]).astype(np.uint16)
    micrometres = {
        "axes": "ZYX",
        "PhysicalSizeX": 0.3,
        "PhysicalSizeY": 0.3,
        "PhysicalSizeZ": 1.2,
        "SignificantBits": 12,
    }
    tifffile.imwrite(folder / "stack.ome.tif", stack, ome=True, metadata=micrometres, photometric="minisblack")
    tifffile.imwrite(folder / "imagej.tif", stack, imagej=True, metadata={"axes": "ZYX", "spacing": 1.2, "unit": "um"})
    for name in ("typed.h5", "typed.tif"):
        files.write(folder / name, files.read(folder / "stack.ome.tif"))  # the spacing, in the words of our own files
    np.savez_compressed(folder / "packed.npz", x=colour)
    scipy.io.savemat(folder / "v5.mat", {"x": colour}, do_compression=True)
    with h5py.File(folder / "groups.h5", "w") as file:
        file.create_dataset("a/x", data=colour, chunks=(8, 8, 3), fletcher32=True, compression="gzip")
    return sorted(folder.iterdir())


def damaged(content: bytes, generator: random.Random) -> bytes:
    """The bytes of a file after one to four accidents."""
    data = bytearray(content)
    for _ in range(generator.randint(1, 4)):
        if not data:
            break
        at = generator.randrange(min(len(data), HEAD) if generator.random() < 0.7 else len(data))
        kind = generator.randrange(7)
        if kind == 0:
            data[at] ^= 1 << generator.randrange(8)
        elif kind == 1:
            data[at] = generator.choice((0, 1, 127, 128, 255))
        elif kind == 2:  # a length or a size
            data[at : at + 4] = generator.choice(
                (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0", b"\x00\x01\0\0")
            )
        elif kind == 3:
            del data[at : at + generator.randint(1, 64)]
        elif kind == 4:
            data[at:at] = generator.randbytes(generator.randint(1, 64))
        elif kind == 5:
            data[at:at] = data[at : at + generator.randint(1, 64)]
        else:
            del data[at:]
    return _mended(bytes(data)) if generator.random() < 0.3 else bytes(data)


def _mended(content: bytes) -> bytes:
    """A PNG whose checksums fit its damage, so that what lies behind them is tried too; other files as they are."""
    if not content.startswith(b"\x89PNG\r\n\x1a\n"):
        return content
    out, at = bytearray(content[:8]), 8
    while at + 12 <= len(content):
        length = int.from_bytes(content[at : at + 4], "big")
        body = content[at + 4 : at + 8 + length]
        if len(body) < 4 + length:
            break
        out += content[at : at + 4] + body + zlib.crc32(body).to_bytes(4, "big")
        at += 12 + length
    return bytes(out + content[at:])


@contextlib.contextmanager
def bounded_memory(limit: int) -> Iterator[bool]:
    """A block in which the program may grow by `limit` bytes of address space; gives whether the system can say so."""
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (ImportError, OSError):
        yield False
        return
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + limit, before[1]))
    try:
        yield True
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def try_file(path: Path, truth: torch.Tensor | None) -> str:
    """How reading a file ended: "read", "refused", or what went wrong. truth: what it must hold where it is read."""
    stray, began = io.StringIO(), time.perf_counter()
    try:
        with contextlib.redirect_stderr(stray), contextlib.redirect_stdout(stray):
            image = files.read(path)
    except files.ReadError as error:
        text = str(error)
        ended = "refused" if text.isprintable() and "\n" not in text else f"an error of several lines: {text!r}"
    except BaseException as error:  # noqa: BLE001 - that is what this study looks for
        ended = f"{type(error).__name__}: {error}"
    else:
        same = truth is None or (image.data.shape == truth.shape and torch.equal(image.data, truth))
        ended = "read" if same else "read as another picture, though its values are under a checksum"
    if time.perf_counter() - began > SECONDS:
        return f"took {time.perf_counter() - began:.0f} s"
    return ended if not stray.getvalue() else f"lines of another library: {stray.getvalue()!r:.200}"


def fuzz(count: int, *, seed: int, keep: Path | None = None, tell: Callable[[str], None] = lambda _: None) -> FuzzTally:
    """Damage and read `count` files; the same ones for the same seed."""
    tally, generator = FuzzTally(), random.Random(seed)
    with tempfile.TemporaryDirectory() as place, bounded_memory(LIMIT):
        folder, work = Path(place) / "whole", Path(place) / "work"
        folder.mkdir()
        work.mkdir()
        whole = [(path, path.read_bytes(), files.read(path).data) for path in originals(folder)]
        for number in range(count):
            original, content, truth = whole[number % len(whole)]
            path = work / f"{number}-{original.name}"
            data = damaged(content, generator)
            path.write_bytes(data)
            # A repaired checksum vouches for other values.
            under_seal = original.suffix in CHECKED and (original.suffix != ".png" or _mended(data) != data)
            ended = try_file(path, truth if under_seal else None)
            tally.by_format[original.suffix] += 1
            if ended == "read":
                tally.read += 1
            elif ended == "refused":
                tally.refused += 1
            else:
                tally.failures.append((path.name, ended))
                tell(f"{path.name}: {ended}")
                if keep is not None:
                    keep.mkdir(parents=True, exist_ok=True)
                    (keep / path.name).write_bytes(data)
            path.unlink()
    return tally


def main() -> None:
    """One line: how many damaged files were refused, read, and failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=None, help="folder for the files that fail")
    options = parser.parse_args()
    tally = fuzz(options.count, seed=options.seed, keep=options.keep, tell=print_line)
    print_line(
        f"{options.count} damaged files: {tally.refused} refused in one line, {tally.read} read, "
        f"{len(tally.failures)} failures"
    )


def print_line(line: str) -> None:
    """One line on standard output."""
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main()
