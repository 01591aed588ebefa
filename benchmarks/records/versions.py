"""The version of the code behind a number: a hash of the source files it could have run.

Only files count that a method's modules import, directly or not, so that an unrelated change leaves rows valid. Tables
(`__init__.py`) are left out: they name things and compute nothing.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

ATTEMPTS = 5  # at parsing a file
PACKAGES = ("operators", "priors", "restore", "benchmarks")
# What every answer passes through, whoever the method is.
CORE = (
    "operators.core.base",
    "operators.common.randomness",
    "operators.core.linear_solvers",
    "restore.problem",
    "restore.runs.meters",
    "restore.driver",
    "restore.tasks.task",
    "restore.tasks.measurement",
    "restore.tasks.units",
)


@lru_cache(maxsize=256)
def code_version(modules: tuple[str, ...] = (), *, core: bool = True) -> str:
    """Hash (16 digits) of the sources of these modules, of what they import, and of the core."""
    paths: dict[str, Path] = {}
    waiting = [*modules, *(CORE if core else ())]
    while waiting:
        name = waiting.pop()
        path = _source(name)
        if name in paths or path is None:
            continue
        paths[name] = path
        waiting += _imports(name, path)
    total = hashlib.sha256()
    for name in sorted(paths):
        total.update(name.encode() + b"\0" + _file_hash(paths[name]))
    return total.hexdigest()[:16]


@lru_cache(maxsize=1024)
def _source(name: str) -> Path | None:
    """The file of a module; None for packages (their tables), and for what is none of ours and no file."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return None
    if spec is None or not spec.origin or not spec.origin.endswith(".py") or spec.submodule_search_locations:
        return None
    return Path(spec.origin)


@lru_cache(maxsize=1024)
def _file_hash(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes().replace(b"\r\n", b"\n")).digest()


@lru_cache(maxsize=1024)
def _imports(name: str, path: Path) -> tuple[str, ...]:
    return tuple(_ours(_named(_parsed(path.read_text("utf-8")), name)))


def _parsed(text: str) -> ast.AST:
    """The syntax tree of a file.

    CPython 3.11 counts its depth across threads and may raise SystemError for no fault of the file's while another
    thread parses too, as on a worker of a cluster; it is right the next time.
    """
    for _ in range(ATTEMPTS - 1):
        try:
            return ast.parse(text)
        except SystemError:
            continue
    return ast.parse(text)


def _ours(names: Iterable[str]) -> Iterator[str]:
    return (name for name in names if name.partition(".")[0] in PACKAGES)


def _named(tree: ast.AST, module: str) -> Iterator[str]:
    """Every module a file may mean: `from a import b` names both a and a.b."""
    parents = module.split(".")
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = parents[: len(parents) - node.level] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            yield stem
            yield from (f"{stem}.{alias.name}" for alias in node.names)
