"""Named presets: operator, noise, default prior and solver, baseline, metrics. One TOML file each, in this folder.

problem = restore.tasks.load("sr4x").problem(restore.read("photo.png"), seed=0)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from operators.common import outside
from operators.common.registry import plain, unknown_name

from .physics import rebuild
from .sections import parse
from .settings import parse_settings
from .task import Task

__all__ = ["REGISTRY", "Task", "load", "names", "parse_settings", "rebuild"]


class _Tasks(Mapping[str, Task]):
    """The task files of this folder, read at first use."""

    kind = "task"

    def __getitem__(self, name: str) -> Task:
        if name not in names():
            raise unknown_name(self.kind, name, dict.fromkeys(names()))
        return Task(name, parse(_folder().joinpath(f"{name}.toml").read_text("utf-8"), where=f"task {name!r}"))

    def __contains__(self, name: object) -> bool:
        return name in names()

    def __iter__(self) -> Iterator[str]:
        return iter(names())

    def __len__(self) -> int:
        return len(names())

    @property
    def shipped(self) -> tuple[str, ...]:
        """The names that come with the package."""
        return tuple(names())

    def describe(self, name: str) -> dict[str, Any]:
        """`{name, summary, parameters, source}`, the row that tables and `--json` show."""
        task = self[name]
        preference = task.preference
        parameters = {key: plain(value) for key, value in task.table.items() if key not in ("summary", "source")}
        parameters |= {
            "solver": {"name": preference.solver, **preference.settings_for(preference.solver)},
            "solvers": preference.others,
        }
        return {"name": name, "summary": task.summary, "parameters": parameters, "source": task.source}


REGISTRY = _Tasks()


def names() -> list[str]:
    """The tasks that ship, in alphabetical order."""
    return sorted(entry.name.removesuffix(".toml") for entry in _folder().iterdir() if entry.name.endswith(".toml"))


def load(name: str | Path) -> Task:
    """A task by name, or from a TOML file of the same form; BadInput with a suggestion for an unknown one."""
    if not str(name).endswith(".toml"):
        return REGISTRY[str(name)]
    path = Path(name)
    return Task(path.stem, parse(outside.text(path), where=str(path)))


def _folder() -> Any:
    return resources.files(__package__)
