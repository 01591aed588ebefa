"""Test sets by name: found under a data root, read in a fixed order, never downloaded without being asked."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path

from operators import BadInput, Unavailable
from operators.registry import unknown_name
from restore.resources import folder

SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"}


@dataclass(frozen=True)
class DataSet:
    """One line of data/datasets.toml."""

    name: str
    folder: str
    summary: str
    source: str
    licence: str
    images: int
    listing: str = ""

    def paths(self, root: Path) -> list[Path]:
        """Its pictures under `root`, sorted by name; Unavailable where they are not all there."""
        place = root / self.folder
        found = sorted(p for p in place.glob("*") if p.suffix.lower() in SUFFIXES) if place.is_dir() else []
        if self.listing and found:
            stems = {
                line.split()[-1].rpartition("/")[2]
                for line in (root / self.listing).read_text().splitlines()
                if line.strip()
            }
            found = [p for p in found if p.stem in stems]
        if len(found) != self.images:
            raise Unavailable(
                f"data set {self.name!r}: {len(found)} pictures in {place}",
                wanted=str(self.images),
                do="Name the folder that holds it with RESTORE_DATA or --data.",
            )
        return found


def registry() -> dict[str, DataSet]:
    """All known sets."""
    table = tomllib.loads((folder("data") / "datasets.toml").read_text())
    return {name: DataSet(name=name, **line) for name, line in table.items()}


def find(name: str) -> DataSet:
    """A set by name; BadInput with a suggestion for an unknown one."""
    known = registry()
    if name not in known:
        raise unknown_name("data set", name, known)
    return known[name]


def data_root(given: Path | None = None) -> Path:
    """The data root: the one given, or RESTORE_DATA; Unavailable where neither is a folder."""
    value = str(given) if given is not None else os.environ.get("RESTORE_DATA", "")
    if not value:
        raise Unavailable(
            "no data root", do="Set RESTORE_DATA, or give --data, to the folder that holds the test sets."
        )
    if not Path(value).is_dir():
        raise BadInput(f"the data root {value} is not a folder", do="Correct RESTORE_DATA or --data.")
    return Path(value)
