"""A file of the user's with the name of one of our packages is told in one line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import restore

ROOT = Path(restore.__file__).parents[1]


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python started in the folder, whose files come before ours."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def file_named(folder: Path, name: str) -> Path:
    """An empty module, or package where the name ends in a stroke; what stands in the way."""
    if name.endswith("/"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").touch()
        return folder / name
    (folder / name).touch()
    return folder / name


@pytest.mark.parametrize("name", ["operators.py", "operators/", "priors.py", "priors/", "benchmarks.py", "benchmarks/"])
def test_importing_restore_beside_a_namesake_names_it_and_the_remedy(tmp_path: Path, name: str) -> None:
    place = file_named(tmp_path, name)
    (tmp_path / "mine.py").write_text("import restore\n")
    done = python(tmp_path, "mine.py")
    package = name.strip("/").removesuffix(".py")
    assert done.stderr.splitlines()[-1] == (
        f"ImportError: {place} stands in the way of the package {package!r} that comes with restore. "
        "Rename it, or start Python where it is not found first."
    )
    assert "ModuleNotFoundError" not in done.stderr and done.returncode == 1


def test_the_command_line_beside_a_namesake_says_it_in_one_line(tmp_path: Path) -> None:
    place = file_named(tmp_path, "operators.py")
    done = python(tmp_path, "-m", "restore", "tasks")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith(f"restore: {place} stands in the way of the package 'operators'")


def test_a_namesake_that_was_imported_first_is_told_too(tmp_path: Path) -> None:
    place = file_named(tmp_path, "operators.py")
    done = python(tmp_path, "-c", "import operators, restore")
    assert done.stderr.splitlines()[-1].startswith(f"ImportError: {place} stands in the way")


def test_a_folder_that_is_no_package_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "notes.txt").touch()
    done = python(tmp_path, "-c", "import restore, benchmarks; print(benchmarks.__file__)")
    assert done.stdout.strip() == str(ROOT / "benchmarks" / "__init__.py"), done.stderr
