"""What a TIFF says of its pixels' size and of white, in the three dialects that are certain: OME, ImageJ and our own.

Resolution tags alone are none: 72 dots per inch is how a page is printed. Formats: the OME model 2016-06; ImageJ's
hyperstacks; our own writer leaves the typed metadata in the JSON that tifffile keeps in the description.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from operators.common import outside
from operators.common.errors import RestoreError
from operators.common.metadata import Camera, Facts, Geometry, parts_from_dict

from .source import Source
from .write_spec import Spec

TO_MM = {
    "m": 1e3, "cm": 10.0, "mm": 1.0, "um": 1e-3, "micron": 1e-3, "microns": 1e-3, "micrometer": 1e-3, "nm": 1e-6,
    "inch": 25.4, "in": 25.4,
}  # fmt: skip
LONGEST = 1 << 24  # characters of a description that is looked at
SPATIAL = {"Z": "D", "Y": "H", "X": "W"}
MAX_SAMPLE, X_RESOLUTION, Y_RESOLUTION = 281, 282, 283


def read_facts(source: Source, file: Any, page: Any) -> Facts:
    """Spacing and white level of an open TIFF; nothing where it does not say them beyond doubt."""
    text = str(file.pages.first.description or "")[:LONGEST]
    if file.is_ome:
        return _of_ome(text, page)
    if file.is_imagej:
        return Facts(geometry=_of_imagej(file.imagej_metadata or {}, page), camera=_camera(_white_tag(page)))
    if text.startswith("{"):
        return _of_ours(source, text, page)
    return Facts(camera=_camera(_white_tag(page)))


def written_metadata(spec: Spec, letters: str) -> dict[str, Any]:
    """Arguments of tifffile.imwrite that make a file of the dialect that was read, with what it says.

    letters: tifffile's for the axes of the array.
    """
    dialect, steps = spec.fields.get("dialect"), _steps(spec)
    plain = "".join(c for c in "TZCYXS" if c in letters) == letters
    if dialect == "ome" and letters.endswith(("YX", "YXS")) and set(letters) <= set("TZCYXS"):
        sizes = {f"PhysicalSize{c}": 1000 * mm for c, mm in steps.items()}
        units = {f"PhysicalSize{c}Unit": "µm" for c in steps}
        bits = {} if spec.facts.camera is None else _bits(spec.facts.camera.white)
        return {"ome": True, "metadata": {"axes": letters, **sizes, **units, **bits}}
    if dialect == "imagej" and plain and spec.dtype.str[1:] in ("u1", "u2", "f4") and "S" not in letters:
        description: dict[str, Any] = {"axes": letters, "unit": "mm"} if steps else {"axes": letters}
        if "Z" in steps:
            description["spacing"] = steps["Z"]
        scale = {"resolution": (1 / steps["X"], 1 / steps["Y"])} if {"X", "Y"} <= set(steps) else {}
        return {"imagej": True, "metadata": description, **scale}
    facts = spec.facts.parts_as_dict()
    return {"metadata": {"axes": letters, **({"facts": facts} if facts else {})}}


def dialect_of(file: Any) -> str | None:
    """Who wrote an open TIFF: "ome" or "imagej", None for anybody else."""
    return "ome" if file.is_ome else "imagej" if file.is_imagej else None


def _of_ome(text: str, page: Any) -> Facts:
    pixels = re.search(r"<Pixels\b[^>]*>", text)
    attributes = dict(re.findall(r'(\w+)="([^"]*)"', pixels[0])) if pixels else {}
    steps = {}
    for stored, letter in SPATIAL.items():
        unit = attributes.get(f"PhysicalSize{stored}Unit", "um")
        steps[letter] = _millimetres(attributes.get(f"PhysicalSize{stored}"), unit)
    bits = attributes.get("SignificantBits", "")
    white = 2.0 ** int(bits) - 1 if bits.isascii() and bits.isdigit() and 0 < int(bits) < 32 else None
    return Facts(geometry=_geometry(steps), camera=_camera(white if _below_full(white, page) else None))


def _of_imagej(tags: Mapping[str, Any], page: Any) -> Geometry | None:
    unit = str(tags.get("unit", ""))
    steps = {"D": _millimetres(tags.get("spacing"), unit)}
    for tag, letter in ((Y_RESOLUTION, "H"), (X_RESOLUTION, "W")):
        value = page.tags.get(tag)
        pixels, per = value.value if value is not None and isinstance(value.value, tuple) else (0, 1)
        steps[letter] = _millimetres(per / pixels if pixels else None, unit)
    return _geometry(steps)


def _of_ours(source: Source, text: str, page: Any) -> Facts:
    try:
        table = outside.json_value(text, where="the description")
    except ValueError:
        return Facts()
    if not isinstance(table, dict) or "facts" not in table:
        return Facts(camera=_camera(_white_tag(page)))
    try:
        return Facts(**parts_from_dict(table["facts"]))
    except (TypeError, AttributeError, RestoreError) as error:
        raise source.fail(f"typed metadata that make no sense ({error})", do="Write the file again.") from error


def _white_tag(page: Any) -> float | None:
    """The tag MaxSampleValue where it names a number of bits; others write the largest value there."""
    tag = page.tags.get(MAX_SAMPLE)
    values = tag.value if tag is not None and isinstance(tag.value, tuple) else (tag.value,) if tag is not None else ()
    white = values[0] if values and len(set(values)) == 1 and isinstance(values[0], int) else 0
    return float(white) if white > 0 and white & (white + 1) == 0 and _below_full(white, page) else None


def _below_full(white: float | None, page: Any) -> bool:
    """Whether a white level says more than the stored type: integers of more bits."""
    return white is not None and page.dtype is not None and page.dtype.kind == "u" and white < 2**page.bitspersample - 1


def _camera(white: float | None) -> Camera | None:
    return None if white is None else Camera(white=white)


def _bits(white: float | None) -> dict[str, int]:
    """The OME model's way to say a white level that is a power of two less one."""
    whole = white is not None and white == int(white) and int(white) & (int(white) + 1) == 0
    return {"SignificantBits": int(white).bit_length()} if white is not None and whole else {}


def _steps(spec: Spec) -> dict[str, float]:
    geometry = spec.facts.geometry
    steps = {stored: None if geometry is None else geometry.step(letter) for stored, letter in SPATIAL.items()}
    return {stored: step for stored, step in steps.items() if step is not None}


def _millimetres(value: Any, unit: str) -> float | None:
    scale = TO_MM.get(unit.replace("\\u00B5", "u").replace("µ", "u").replace("μ", "u").lower())
    try:
        size = float(value) * scale if scale is not None else 0.0
    except (TypeError, ValueError):
        return None
    return size if 0 < size < float("inf") else None


def _geometry(steps: Mapping[str, float | None]) -> Geometry | None:
    spacings = {letter: step for letter, step in steps.items() if step is not None}
    return Geometry("".join(spacings), tuple(spacings.values())) if spacings else None
