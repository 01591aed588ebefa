"""Where a user's own priors are kept, and the table of all priors: those that ship and those."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from operators.common.registry import Entry, Registry, unknown_name

SUFFIX = ".safetensors"


def folder() -> Path:
    """The folder RESTORE_PRIORS names, else restore/priors under XDG_DATA_HOME, else ~/.local/share/restore/priors."""
    place = os.environ.get("RESTORE_PRIORS")
    if place:
        return Path(place)
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "restore" / "priors"


def stored() -> dict[str, Path]:
    """The priors of that folder by name; none where it is absent or may not be read."""
    try:
        paths = sorted(path for path in folder().iterdir() if path.suffix == SUFFIX and path.is_file())
    except (OSError, RuntimeError):  # RuntimeError: a user without a home
        return {}
    return {path.stem: path for path in paths}


@dataclass(frozen=True)
class ShippedEntry(Entry):
    """A line of the table whose target is the name of a weights file of the package."""

    def load(self) -> Any:
        def build() -> Any:
            from .embedded import shipped

            return shipped(self.target)

        return build


@dataclass(frozen=True)
class StoredEntry(Entry):
    """A line of the table whose target is a file."""

    def load(self) -> Any:
        def build() -> Any:
            from .embedded import from_file

            path = Path(self.target)
            return from_file(path, name=path.stem)

        return build


class PriorRegistry(Registry):
    """The priors that ship, then the user's; a shipped name cannot be taken by a file."""

    def __getitem__(self, name: str) -> Entry:
        if name in self._entries:
            return self._entries[name]
        files = stored()
        if name not in files:
            raise unknown_name(self.kind, name, {**self._entries, **files})
        return StoredEntry(str(files[name]), "yours, in the folder of imported priors")

    def __iter__(self) -> Iterator[str]:
        yield from self._entries
        yield from (name for name in stored() if name not in self._entries)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        return name in self._entries or name in stored()
