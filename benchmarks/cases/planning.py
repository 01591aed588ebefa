"""What planning a suite needs to know besides the suite."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from operators.common.errors import RestoreError


@dataclass
class Context:
    """data_root: folder of the sets, None for RESTORE_DATA. settings: of the driver (device, dtype, ...).

    limit: the first N pictures of each task, 0 for all. allow_missing: leave out sets that are not here.
    notes: sentences for the user, filled while planning. hashed: remembers the hash of a file's pixels between runs.
    """

    data_root: Path | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    limit: int = 0
    timeout: float = 600.0
    keep_all: bool = False
    keep_first: int = 1
    allow_missing: bool = False
    solvers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    hashed: Callable[[str, Callable[[], str]], str] = lambda _name, compute: compute()
    _priors: dict[str, str] = field(default_factory=dict)

    def prior_sha256(self, name: str) -> str:
        """Hash of a prior's weights ("" for none, and for priors without weights their name)."""
        if name not in self._priors:
            import priors

            self._priors[name] = priors.load(name).sha256 or name if name else ""
        return self._priors[name]

    def missing(self, error: RestoreError) -> None:
        """A set that is not here: an error, or a note where the user allowed it."""
        if not self.allow_missing:
            raise error
        self.notes.append(f"left out: {error}")


def pixels_name(path: Path, extra: str) -> str:
    """Names a file's pixels as long as nobody touches the file."""
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    states = [(str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return hashlib.sha256(f"{path.resolve()}|{states}|{extra}".encode()).hexdigest()
