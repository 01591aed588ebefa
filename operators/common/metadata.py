"""What a file can say of its picture beside the values: geometry, camera, spectrum, acquisition; all of it plain data.

Readers fill these parts in where the file is certain and leave None where it is silent; `Operator.informed_by` takes
what concerns the physics. Who was examined, when and by whom has no place here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self

from .errors import BadInput, BadType
from .settings import Checked, Count, NotNegative, Positive, above

Matrix = tuple[tuple[float, ...], ...]


class _Plain(Checked):
    """Plain data both ways: `as_dict` is safe for JSON, `from_dict` reads it back."""

    def as_dict(self) -> dict[str, Any]:
        """The fields that are known, tuples as lists."""
        table = {entry.name: getattr(self, entry.name) for entry in fields(self)}  # type: ignore[arg-type]
        return {name: _listed(value) for name, value in table.items() if value is not None}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `as_dict`; BadType for a field that this version does not know."""
        names = {entry.name for entry in fields(cls)}  # type: ignore[arg-type]
        if unknown := sorted(set(values) - names):
            raise BadType(f"{cls.__name__.lower()} with unknown keys {', '.join(unknown)}", wanted=", ".join(names))
        return cls(**{name: _tupled(value) for name, value in values.items()})


@dataclass(frozen=True)
class Geometry(_Plain):
    """Where the stored array lies in space.

    axes: letters of the axes that `spacing` is about, such as "DHW". spacing: mm from one index to the next along each
    of them; None in it: unknown. affine: 4 x 4, from the indices (d, h, w, 1) to (x, y, z, 1) in mm; of a patient, x
    grows to the right, y to the front and z to the head (RAS).
    """

    axes: str = ""
    spacing: tuple[Positive | None, ...] = ()
    affine: Matrix | None = None

    def __post_init__(self) -> None:
        if len(self.axes) != len(self.spacing) or len(set(self.axes)) != len(self.axes):
            raise BadInput(f"axes {self.axes!r} with spacing {self.spacing}", wanted="a number for each letter")
        if self.affine is not None and [len(row) for row in self.affine] != [4, 4, 4, 4]:
            raise BadInput("an affine map that is not 4 x 4", wanted="4 rows of 4 numbers")

    def step(self, axis: str) -> float | None:
        """mm from one index to the next along the axis of that letter, None where that is unknown."""
        return dict(zip(self.axes, self.spacing, strict=True)).get(axis)

    def beginning(self, *, D: int = 0, H: int = 0, W: int = 0) -> Geometry:
        """The geometry of the part of the array that begins at these indices."""
        if self.affine is None:
            return self
        moved = (sum(a * i for a, i in zip(row, (D, H, W, 1), strict=True)) for row in self.affine)
        return replace(self, affine=tuple((*row[:3], float(end)) for row, end in zip(self.affine, moved, strict=True)))


@dataclass(frozen=True)
class Camera(_Plain):
    """A sensor.

    cfa: colour filters, as `operators.Mosaic` names them ("RGGB", "x-trans"). black: stored numbers of no light, one
    for all sites or one for each of the 2 x 2. white: stored number of full scale. gain: stored steps per electron.
    read: standard deviation of the read noise in stored steps.
    """

    cfa: str | None = None
    black: tuple[float, ...] | None = None
    white: float | None = None
    gain: Positive | None = None
    read: NotNegative | None = None

    def __post_init__(self) -> None:
        if self.white is not None:
            above("white", self.white, "the black level", max(self.black or (0.0,)))


@dataclass(frozen=True)
class Spectrum(_Plain):
    """Bands, in the order of the channels.

    wavelengths: centres in nm. widths: full widths at half maximum in nm. bad: indices of bands that the file calls
    bad.
    """

    wavelengths: tuple[Positive, ...] | None = None
    widths: tuple[Positive, ...] | None = None
    bad: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Acquisition(_Plain):
    """How a measurement was taken.

    angles: of tomography, in radians, one for each view. source, detector: distances from the axis of rotation in mm.
    trajectory: points in k-space, radians per pixel, the slowest axis of the picture first; nested as the samples are.
    coils: receivers. te, tr, ti: echo, repetition and inversion time in ms. flip: angle in degrees. field: tesla.
    frame: seconds from one picture of a series to the next.
    """

    angles: tuple[float, ...] | None = None
    source: Positive | None = None
    detector: float | None = None
    trajectory: tuple[Any, ...] | None = None
    coils: Count | None = None
    te: Positive | None = None
    tr: Positive | None = None
    ti: NotNegative | None = None
    flip: float | None = None
    field: NotNegative | None = None
    frame: Positive | None = None


@dataclass(frozen=True, kw_only=True)
class Facts:
    """The typed parts of a file's metadata; None where the file says nothing."""

    geometry: Geometry | None = None
    camera: Camera | None = None
    spectral: Spectrum | None = None
    acquisition: Acquisition | None = None

    def parts_as_dict(self) -> dict[str, Any]:
        """The parts that are known, as plain data."""
        parts = {name: getattr(self, name) for name in PARTS}
        return {name: part.as_dict() for name, part in parts.items() if part is not None}


def parts_from_dict(values: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of `Facts.parts_as_dict`: parts by name, out of plain data that may hold other things too."""
    return {name: PARTS[name].from_dict(values[name]) for name in PARTS if values.get(name) is not None}


PARTS: Mapping[str, type[_Plain]] = {
    "geometry": Geometry,
    "camera": Camera,
    "spectral": Spectrum,
    "acquisition": Acquisition,
}


@dataclass(frozen=True)
class Hints:
    """What a file tells of an operator, by `Operator.informed_by`.

    input_shape: of the picture, where the measurement's shape tells it. sizes: settings that the measurement's axes
    show ("views"); they fit measurements of that shape alone. settings, arrays: parameters that the file states
    ("pixel", "angles"). notes: a sentence for the user on each of these, by its name.
    """

    input_shape: tuple[int, ...] | None = None
    sizes: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, Any] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)


def enlarged(output_shape: tuple[int, ...], factor: float) -> Hints:
    """The picture whose rows and columns are `factor` times those of its measurement."""
    rows, columns = (round(n * factor) for n in output_shape[-2:])
    note = f"size of the picture: {columns} x {rows}, {factor:g} times the measurement's (another with --shape)"
    return Hints((*output_shape[:-2], rows, columns), notes={"input_shape": note})


def _listed(value: Any) -> Any:
    return [_listed(entry) for entry in value] if isinstance(value, tuple) else value


def _tupled(value: Any) -> Any:
    return tuple(_tupled(entry) for entry in value) if isinstance(value, list | tuple) else value
