"""`restore doctor --input FILE`: a file read, its noise examined, the findings said and shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from operators import BadInput

from . import page
from .advice import Advice, Assumption, advice, assumptions
from .examination import Examination, examine

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Consultation:
    """What was found, said and written. notes: of the reader."""

    found: Examination
    assumptions: tuple[Assumption, ...]
    advice: Advice
    notes: tuple[str, ...] = ()
    written: Path | None = None

    def plain(self) -> dict[str, Any]:
        """For JSON: numbers, assumptions and advice."""
        return {
            **self.found.plain(),
            "clean": self.found.clean,
            "assumptions": [asdict(line) for line in self.assumptions],
            "advice": {**asdict(self.advice), "reasons": list(self.advice.reasons)},
            "notes": list(self.notes),
            "written": None if self.written is None else str(self.written),
        }

    def dark_sentences(self) -> tuple[str, ...]:
        """What the dark frames say; none without."""
        dark = self.found.dark
        if dark is None:
            return ()
        pedestal = ", ".join(f"{level:.4g}" for level in dark.pedestal)
        shared = "" if dark.fixed is None else f", fixed pattern {dark.fixed:.4g}"
        return (
            f"{dark.frames} dark frame{'s' if dark.frames > 1 else ''}: black level {pedestal}; read noise "
            f"{dark.read:.4g}, row noise {dark.rows:.4g}{shared}; excess kurtosis {dark.tails:.2g} (0: normal).",
        )


def consult(
    source: Path,
    *,
    dark: Sequence[Path] = (),
    out: Path | None = None,
    overwrite: bool = False,
    reading: Mapping[str, Any] | None = None,
) -> Consultation:
    """The noise of a picture file in words, with its evidence in `out` (.html or .svg) where one is named.

    dark: dark frames in the same units. reading: array options of `restore.read`. Dark frames are read with the same.
    """
    from .. import io

    if out is not None:
        if out.suffix.lower() not in (".html", ".htm", ".svg"):
            raise BadInput(f"--out is {out}", wanted="a file that ends in .html or .svg")
        if out.exists() and not overwrite:
            raise BadInput(f"{out} exists", do="Choose another --out, or add --overwrite to replace it.")
    options = dict(reading or {})
    image = io.read(source, **options)
    picture = _picture(image, source)
    frames = [_picture(io.read(path, **options), path) for path in dark]
    found = examine(picture, frames)
    said, told = assumptions(found), advice(found, str(source), options)
    written = None if out is None else page.write(out, found, said, told, title=f"Noise of {source.name}")
    return Consultation(found, said, told, tuple(image.meta.notes), written)


def _picture(image: Any, source: Path) -> Tensor:
    """C x H x W of a picture in units of [0, 1]."""
    data: Tensor = image.data
    if data.ndim != 3:
        raise BadInput(f"{source} is a volume of shape {tuple(data.shape)}", do="Choose a slice with --index.")
    if image.meta.unit != "[0,1]":
        raise BadInput(
            f"the values of {source} are in {image.meta.unit!r}",
            wanted="a picture of [0, 1]",
            do="Say which stored number is 1 with --white.",
        )
    return data
