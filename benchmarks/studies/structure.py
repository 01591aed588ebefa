"""How the house is built, read from its sources alone: rooms, circles, arrows between the packages, long files, names.

    python -m benchmarks.studies.structure
    python -m benchmarks.studies.structure path/to/a/checkout

A file imports another where its syntax tree says so, in a function or under TYPE_CHECKING too. A table's line
("package.module:name") is no import: it is followed when the name is used. Nothing of the program is run.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

PACKAGES = ("operators", "priors", "restore", "benchmarks")  # from the ground up: each may import those before it
LONGEST = 500  # lines of a file

Arrow = tuple[str, str]  # importing module, imported module


@dataclass(frozen=True)
class Room:
    """One file: its lines, the modules of ours that it names in imports, and the classes that it defines at its top.

    is_folder: it is the `__init__` of a folder.
    """

    is_folder: bool
    lines: int
    imports: frozenset[str]
    classes: tuple[str, ...]


@dataclass(frozen=True)
class House:
    """Every file of the packages by its module's name; a package's `__init__` has the package's own."""

    rooms: Mapping[str, Room]

    @property
    def tops(self) -> dict[str, tuple[str, ...]]:
        """What stands at each package's top: folders end in a slash."""
        tops = [(module, room) for module, room in self.rooms.items() if module.count(".") == 1]
        return {
            package: tuple(
                m.partition(".")[2] + ("/" if r.is_folder else ".py") for m, r in tops if m.startswith(f"{package}.")
            )
            for package in PACKAGES
        }

    @cached_property
    def arrows(self) -> tuple[Arrow, ...]:
        """Every import of one file by another."""
        return tuple((m, target) for m, room in self.rooms.items() for target in sorted(room.imports - {m}))

    @property
    def between(self) -> Counter[Arrow]:
        """How many files of one package import files of another."""
        crossing = {(m, t.partition(".")[0]) for m, t in self.arrows}
        pairs = ((m.partition(".")[0], target) for m, target in crossing)
        return Counter((package, target) for package, target in pairs if package != target)

    @property
    def upward(self) -> tuple[Arrow, ...]:
        """Imports of a file of a higher package."""
        floor = {package: number for number, package in enumerate(PACKAGES)}
        return tuple((m, t) for m, t in self.arrows if floor[t.partition(".")[0]] > floor[m.partition(".")[0]])

    @property
    def circles(self) -> tuple[tuple[str, ...], ...]:
        """Groups of files of which each imports each other one, directly or not."""
        below: dict[str, set[str]] = {module: set() for module in self.rooms}
        above: dict[str, set[str]] = {module: set() for module in self.rooms}
        for module, target in self.arrows:
            below[module].add(target)
            above[target].add(module)
        placed: set[str] = set()
        groups = []
        for module in self.rooms:
            if module not in placed:
                group = _reached(module, below) & _reached(module, above)
                placed |= group
                if len(group) > 1:
                    groups.append(tuple(sorted(group)))
        return tuple(groups)

    @property
    def long(self) -> dict[str, int]:
        """Files of more than LONGEST lines."""
        return {module: room.lines for module, room in self.rooms.items() if room.lines > LONGEST}

    @property
    def twice(self) -> dict[str, tuple[str, ...]]:
        """Class names that more than one file defines."""
        homes: dict[str, list[str]] = defaultdict(list)
        for module, room in self.rooms.items():
            for name in room.classes:
                homes[name].append(module)
        return {name: tuple(modules) for name, modules in sorted(homes.items()) if len(modules) > 1}


def measured(root: Path) -> House:
    """The house whose four packages lie in `root`."""
    files = {_module(path.relative_to(root)): path for p in PACKAGES for path in sorted((root / p).rglob("*.py"))}
    return House({module: _room(module, path, files) for module, path in files.items()})


def page(house: House) -> str:
    """The counts in words, one line each, with the names where a count should be nought."""
    lines = [f"files: {len(house.rooms)}, lines: {sum(room.lines for room in house.rooms.values())}"]
    for package, names in house.tops.items():
        lines.append(f"rooms of {package}: {len(names)} ({' '.join(names)})")
    for (package, target), count in sorted(house.between.items()):
        lines.append(f"arrow {package} -> {target}: {count} files")
    lines += _counted("arrows up", [f"{module} -> {target}" for module, target in house.upward])
    lines += _counted("circles", [", ".join(group) for group in house.circles])
    lines += _counted(f"files over {LONGEST} lines", [f"{module}: {count}" for module, count in house.long.items()])
    lines += _counted("class names that exist twice", [f"{n}: {', '.join(homes)}" for n, homes in house.twice.items()])
    return "\n".join(lines) + "\n"


def _counted(what: str, items: Sequence[str]) -> Iterator[str]:
    yield f"{what}: {len(items)}"
    yield from (f"  {item}" for item in items)


def _module(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def _room(module: str, path: Path, files: Mapping[str, Path]) -> Room:
    text = path.read_text("utf-8")
    tree = ast.parse(text)
    folder = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    neighbours = {_nearest(name, files) for name in _named(tree, folder)}
    classes = tuple(node.name for node in tree.body if isinstance(node, ast.ClassDef))
    return Room(
        path.name == "__init__.py", len(text.splitlines()), frozenset(name for name in neighbours if name), classes
    )


def _named(tree: ast.AST, folder: Sequence[str]) -> Iterator[str]:
    """The full name of everything that is imported: of `from a import b`, a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            stem = [*folder[: len(folder) + 1 - node.level]] if node.level else []
            stem += node.module.split(".") if node.module else []
            yield from (".".join([*stem, alias.name]) for alias in node.names)


def _nearest(name: str, files: Mapping[str, Path]) -> str:
    """The file that a name lies in: the module itself, or the one that it is an attribute of; "" for none of ours."""
    while name and name not in files:
        name = name.rpartition(".")[0]
    return name


def _reached(start: str, next_to: Mapping[str, set[str]]) -> set[str]:
    reached, waiting = {start}, [start]
    while waiting:
        fresh = next_to[waiting.pop()] - reached
        reached |= fresh
        waiting += fresh
    return reached


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status, 1 where the house is not in order, with the page on standard output."""
    parser = argparse.ArgumentParser(description="Rooms, circles, arrows, long files and names of the four packages.")
    parser.add_argument("root", nargs="?", type=Path, default=Path(__file__).resolve().parents[2])
    house = measured(parser.parse_args(arguments).root)
    sys.stdout.write(page(house))
    return int(bool(house.upward or house.circles or house.long or house.twice))


if __name__ == "__main__":
    sys.exit(main())
