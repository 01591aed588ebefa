"""A suite: which tasks, on which sets, by which solvers, within which limits. Plain TOML; `load("smoke")` reads one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from operators.common import outside
from operators.common.errors import BadInput
from operators.common.registry import check_types, unknown_name
from operators.common.settings import Checked, Count, Length, Positive, Range

__all__ = ["Part", "Suite", "load", "names"]


@dataclass(frozen=True)
class Part(Checked):
    """Tasks that share sets, solvers and limits. The baseline always runs too."""

    tasks: Annotated[tuple[str, ...], Length(1), "their names"]
    solvers: Annotated[tuple[str, ...], 'registry names, labels of the suite\'s [solvers], or "module:attribute"']
    kind: Annotated[Literal["pictures", "oracle"], "oracle: problems whose posterior is known, which need no sets"] = (
        "pictures"
    )
    sets: Annotated[tuple[str, ...], "of pictures"] = ()
    images: Annotated[int, Range(0), "pictures of each task; 0: all"] = 0
    crop: Annotated[int, Range(0), "side of the centre crop; 0: whole pictures"] = 0
    seeds: Annotated[Count, "from 0 on"] = 1
    samples: Annotated[Count, "draws per picture"] = 1
    calls: Annotated[int, Range(0), "most network calls per draw; 0: no limit"] = 0
    metrics: Annotated[
        Mapping[str, str], 'conventions beside those of the task, {"ms-ssim": "ms-ssim[gauss1.5,rgb]"}'
    ] = field(default_factory=dict)


@dataclass(frozen=True)
class Suite(Checked):
    """What a benchmark runs."""

    name: str
    version: Annotated[Count, "of what it runs"]
    summary: str
    parts: tuple[Part, ...]
    timeout: Annotated[Positive, "seconds per picture and solver"] = 600.0
    solvers: Annotated[
        Mapping[str, Mapping[str, Any]], 'label -> {name = "diffpir", steps = 100, ...}: settings of its own'
    ] = field(default_factory=dict)

    def narrowed(self, *, tasks: tuple[str, ...] = (), solvers: tuple[str, ...] = (), **limits: int | None) -> Suite:
        """The suite with only these tasks, these solvers instead of its own, and limits of each part replaced.

        limits: images, crop, seeds, samples, calls; None leaves the suite's own. BadInput for a task it has not.
        """
        offered = dict.fromkeys(task for part in self.parts for task in part.tasks)
        for task in tasks:
            if task not in offered:
                raise unknown_name(f"task of suite {self.name!r}", task, offered)
        changes: dict[str, Any] = {key: value for key, value in limits.items() if value is not None}
        if solvers:
            changes["solvers"] = solvers
        parts = []
        for part in self.parts:
            kept = tuple(task for task in part.tasks if not tasks or task in tasks)
            if kept:
                parts.append(_checked(replace(part, tasks=kept, **changes), self.name))
        return replace(self, parts=tuple(parts))


def names() -> list[str]:
    """The suites that ship."""
    return sorted(
        p.name.removesuffix(".toml") for p in resources.files(__package__).iterdir() if p.name.endswith(".toml")
    )


def load(name: str) -> Suite:
    """A suite by name or from a TOML file; BadInput with a suggestion for an unknown one or an unknown key."""
    if name.endswith(".toml"):
        path = Path(name)
        return parse(outside.text(path), name=path.stem)
    if name not in names():
        raise unknown_name("suite", name, dict.fromkeys(names()))
    return parse(resources.files(__package__).joinpath(f"{name}.toml").read_text("utf-8"), name=name)


def parse(text: str, *, name: str) -> Suite:
    """The text of a suite file, checked."""
    raw = outside.toml(text, where=f"suite {name!r}", guide="docs/benchmarks.md")
    parts = raw.pop("part", [])
    limits = {f.name for f in fields(Part)}
    shared = {key: raw.pop(key) for key in list(raw) if key in limits and key != "solvers"}
    keys = {f.name for f in fields(Suite)} - {"name", "parts"}
    for key in raw:
        if key not in keys:
            raise unknown_name(f"key of suite {name!r}", key, dict.fromkeys([*keys, *limits, "part"]))
    if not parts or not {"version", "summary"} <= set(raw):
        raise BadInput(f"suite {name!r} lacks version, summary or [[part]]", do="See docs/benchmarks.md for its form.")
    for label, entry in raw.get("solvers", {}).items():
        if not isinstance(entry, dict) or "name" not in entry:
            raise BadInput(f"[solvers.{label}] of suite {name!r} has no name", wanted='name = "diffpir", say')
    return Suite(name=name, parts=tuple(_part({**shared, **part}, name) for part in parts), **raw)


def _part(raw: Mapping[str, Any], suite: str) -> Part:
    entries = {f.name: f for f in fields(Part)}
    settings: dict[str, Any] = {}
    for key, value in raw.items():
        if key not in entries:
            raise unknown_name(f"key of a part of suite {suite!r}", key, entries)
        settings[key] = tuple(value) if isinstance(value, list) else value
    for key in ("tasks", "solvers"):
        if key not in settings:
            raise BadInput(f"a part of suite {suite!r} has no {key!r}")
    check_types(Part, settings, where=f"suite {suite!r}")
    return _checked(Part(**settings), suite)


def _checked(part: Part, suite: str) -> Part:
    if part.kind == "pictures" and not part.sets:
        raise BadInput(f"a part of suite {suite!r} names no sets")
    return part
