"""A file of the user's that Python takes for one of our packages: said in one error, before anything fails inside."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path

USAGE_ERROR = 2
# Each sister package, and a file by which it is recognised wherever it is installed.
SISTERS = {"operators": "common/registry.py", "priors": "schedules.py", "benchmarks": "cases/planning.py"}


def refuse_namesakes() -> None:
    """ImportError, naming the file in the way, where `operators`, `priors` or `benchmarks` is not ours.

    `python -m restore` ends with the same line on the error stream and status 2, as for all that a user can mend.
    """
    for name, mark in SISTERS.items():
        spec = _spec(name)
        if spec is None or _is_ours(spec, mark):
            continue
        place = _place(spec)
        text = (
            f"{place} stands in the way of the package {name!r} that comes with restore. "
            "Rename it, or start Python where it is not found first."
        )
        if sys.argv[:1] == ["-m"]:  # so it is while Python looks for the module to run
            sys.stderr.write(f"restore: {text}\n")
            sys.exit(USAGE_ERROR)
        raise ImportError(text, name=name, path=str(place))


def _spec(name: str) -> ModuleSpec | None:
    """How the package was or would be imported; None where there is none, which its own import will say."""
    if name in sys.modules:
        return getattr(sys.modules[name], "__spec__", None)
    return find_spec(name)


def _is_ours(spec: ModuleSpec, mark: str) -> bool:
    """Whether it is a folder with our file in it; a folder that cannot be looked into (a zip archive) passes."""
    if spec.submodule_search_locations is None:
        return False
    folders = [Path(folder) for folder in spec.submodule_search_locations]
    return any((folder / mark).is_file() for folder in folders) or not any(folder.is_dir() for folder in folders)


def _place(spec: ModuleSpec) -> Path:
    """The user's file, or the folder where it is a package."""
    if spec.submodule_search_locations is None:
        return Path(spec.origin or spec.name)
    return Path(next(iter(spec.submodule_search_locations)))
