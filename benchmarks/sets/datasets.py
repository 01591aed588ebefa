"""Test sets by name: found under a data root or where the user said, in a fixed order, checked against manifests."""

from __future__ import annotations

import importlib.util
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from operators.common import outside
from operators.common.errors import BadInput, Unavailable
from operators.common.registry import unknown_name
from restore.io import formats
from restore.resources import folder as shipped_folder

if TYPE_CHECKING:
    from restore.io.image import Image

# Files of a folder that are pictures; a BMP is one, and is refused by name when it is read.
LINES = [formats.line(name) for name in formats.FORMATS]
SUFFIXES = {suffix for line in LINES if not line.folder for suffix in line.suffixes} | {".bmp"}
_MEND = "Mend it, or delete it and add the sets again."
SHOWN = 3  # names listed in an error


@dataclass(frozen=True)
class Picture:
    """One picture of a set. reading: array options of `restore.read`. sha256: of its file, "" where nobody knows."""

    data_set: str
    name: str
    path: Path
    reading: Mapping[str, Any] = field(default_factory=dict)
    sha256: str = ""

    def read(self) -> Image:
        """The picture; Unavailable where the file is not the one its set is made of."""
        from restore.io.reading import read

        image = read(self.path, **self.reading)
        if self.sha256 and image.meta.sha256 != self.sha256:
            raise Unavailable(
                f"{self.path} is not the file of data set {self.data_set!r} (sha256 {image.meta.sha256[:12]})",
                wanted=self.sha256[:12],
                do=f"Fetch it again, or use your copy knowingly: restore data add {self.data_set} {self.path.parent}",
            )
        return image


@dataclass(frozen=True)
class DataSet:
    """One entry of data/datasets.toml or of the user's own list; the file explains the keys.

    home: the folder that the user named for it, None for the layout of the data root.
    """

    name: str
    summary: str
    source: str
    licence: str
    images: int = 0
    folder: str = ""
    pattern: str = "*"
    listing: str = ""
    package: str = ""
    file: str = ""
    dataset: str = ""
    axes: str = ""
    unit: str = ""
    offset: float = 0.0
    url: str = ""
    manifest: str = ""
    tuning: bool = False
    home: Path | None = None

    def pictures(self, root: Path | None = None) -> list[Picture]:
        """Its pictures, sorted by name; Unavailable, with what to do, where they are not all there.

        root: the data root, None for the one that RESTORE_DATA names.
        """
        if self.file:
            return self._array(root)
        place, listed = self.place(root), self.hashes()
        files = {p.name: p for p in sorted(place.glob(self.pattern)) if p.suffix.lower() in SUFFIXES}
        if self.listing and self.home is None:
            kept = self._stems(place, root)
            files = {name: p for name, p in files.items() if p.stem in kept}
            listed = {name: digest for name, digest in listed.items() if Path(name).stem in kept}
        if missing := sorted(set(listed) - set(files)):
            names = ", ".join(missing[:SHOWN]) + (", ..." if len(missing) > SHOWN else "")
            raise self._absent(f"{len(missing)} of {len(listed)} pictures are not in {place} ({names})")
        if listed:
            files = {name: files[name] for name in sorted(listed)}
        if not files or (self.images and len(files) != self.images):
            raise self._absent(f"{len(files)} pictures in {place}")
        reading = self._reading()
        return [Picture(self.name, p.stem, p, reading, listed.get(name, "")) for name, p in files.items()]

    def paths(self, root: Path | None = None) -> list[Path]:
        """The files of `pictures`."""
        return [picture.path for picture in self.pictures(root)]

    def place(self, root: Path | None = None) -> Path:
        """The folder that holds it; Unavailable where there is none."""
        candidates = [self.home] if self.home is not None else []
        if self.package:
            spec = importlib.util.find_spec(self.package)
            candidates += [Path(p) for p in (spec.submodule_search_locations or [])] if spec is not None else []
        elif self.home is None:
            base = data_root(root, what=self.name)
            inner = Path(self.file).parent if self.file else Path(self.folder)
            candidates += dict.fromkeys((base / inner, base / self.name))
        for candidate in candidates:
            if candidate.is_dir():
                return candidate
        raise self._absent(f"no folder {' or '.join(map(str, candidates)) or self.package}")

    def hashes(self) -> dict[str, str]:
        """File name -> sha256 of its files where known, else empty."""
        home = user_folder() if self.home is not None else shipped_folder("data") / "manifests"
        path = home / f"{self.name if self.home is not None else self.manifest or self.name}.sha256"
        if not path.is_file():
            return {}
        lines = (line.split(maxsplit=1) for line in path.read_text("utf-8").splitlines() if line.strip())
        return {name.strip(): digest for digest, name in lines}

    def _array(self, root: Path | None) -> list[Picture]:
        path = self.place(root) / Path(self.file).name
        if not path.is_file():
            raise self._absent(f"no file {path}")
        digest = self.hashes().get(path.name, "")
        count = self.images if "N" in self.axes else 1
        indices: list[int | None] = list(range(count)) if "N" in self.axes else [None]
        return [
            Picture(
                self.name,
                f"{path.stem}-{k}" if k is not None else path.stem,
                path,
                {**self._reading(), **({"index": k} if k is not None else {})},
                digest,
            )
            for k in indices
        ]

    def _reading(self) -> dict[str, Any]:
        options = {"dataset": self.dataset, "axes": self.axes, "unit": self.unit, "offset": self.offset}
        return {key: value for key, value in options.items() if value}

    def _stems(self, place: Path, root: Path | None) -> set[str]:
        listing = data_root(root, what=self.name) / self.listing
        if not listing.is_file():
            raise self._absent(f"no list {listing}")
        lines = [line.split() for line in outside.text(listing).splitlines() if line.strip()]
        return {words[-1].rpartition("/")[2] for words in lines}

    def _absent(self, message: str) -> Unavailable:
        count = f"{self.images} pictures" if self.images else "its pictures"
        do = f"Name the folder that holds it: restore data add {self.name} FOLDER"
        do += f"; or load it: restore data fetch {self.name}." if self.url else f" (source: {self.source})."
        return Unavailable(f"data set {self.name!r}: {message}", wanted=count, do=do)


def shipped() -> dict[str, DataSet]:
    """The sets that the package knows."""
    table = tomllib.loads((shipped_folder("data") / "datasets.toml").read_text("utf-8"))
    return {name: DataSet(name=name, **line) for name, line in table.items()}


def registry() -> dict[str, DataSet]:
    """All known sets, the user's own entries over the shipped ones."""
    sets = shipped()
    for name, line in user_entries().items():
        published = sets.get(name)
        sets[name] = DataSet(
            name=name,
            summary=published.summary if published else "added by hand",
            source=published.source if published else "",
            licence=published.licence if published else "",
            images=int(line["images"]),
            home=Path(line["folder"]),
            tuning=published.tuning if published else False,
        )
    return sets


def find(name: str) -> DataSet:
    """A set by name; BadInput with a suggestion for an unknown one."""
    table = registry()
    if name not in table:
        raise unknown_name("data set", name, table)
    return table[name]


def data_root(root: Path | None = None, *, what: str = "") -> Path:
    """The data root: the one given, or RESTORE_DATA; Unavailable where neither is a folder."""
    value = str(root) if root is not None else os.environ.get("RESTORE_DATA", "")
    if not value:
        raise Unavailable(
            f"data set {what!r} is not here: no data root is named" if what else "no data root",
            do="Give --data-root or set RESTORE_DATA to the folder of the test sets, or name one set's folder: "
            f"restore data add {what or 'NAME'} FOLDER",
        )
    if not Path(value).is_dir():
        raise BadInput(f"the data root {value} is not a folder", do="Correct RESTORE_DATA or --data-root.")
    return Path(value)


def user_folder() -> Path:
    """Where `restore data add` keeps its list: RESTORE_CONFIG, else the user's configuration folder."""
    place = os.environ.get("RESTORE_CONFIG")
    if place:
        return Path(place)
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "restore"


def user_entries() -> dict[str, dict[str, Any]]:
    """The user's own sets; BadInput for a list that cannot be read."""
    path = user_folder() / "datasets.toml"
    if not os.path.lexists(path):
        return {}
    table = outside.toml(outside.text(path), where=str(path))
    for name, line in table.items():
        if not isinstance(line, dict) or not {"folder", "images"} <= set(line) or not isinstance(line["images"], int):
            raise outside.ReadError(path, f"[{name}] names no folder and number of images", do=_MEND)
    return table
