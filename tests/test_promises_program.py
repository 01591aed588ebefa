"""The program as a whole: how Python is started, what is installed, which names are public, what a wheel carries."""

from __future__ import annotations

import ast
import importlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import benchmarks
import operators
import priors
import restore
from operators.common.errors import MissingExtra, import_extra
from restore.cli import main
from restore.solvers import tuned

ROOT = Path(restore.__file__).parents[1]
PACKAGES = ("restore", "operators", "priors", "benchmarks")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
ASCII = {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}


def python(*arguments: str, cwd: Path = ROOT, path: Path = ROOT, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(path), **environment},
        timeout=120,
        check=False,
    )


def test_every_module_is_imported_without_a_warning() -> None:
    program = """
import importlib, pkgutil
for package in ("restore", "operators", "priors", "benchmarks"):
    for found in pkgutil.walk_packages(importlib.import_module(package).__path__, package + "."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
"""
    done = python("-W", "error", "-c", program)
    assert done.returncode == 0, done.stderr.decode()


def test_no_check_of_the_program_rests_on_assert() -> None:
    # `python -O` leaves assertions out. Side-by-side scripts may narrow a type by one.
    scripts = set((ROOT / "benchmarks/peers").glob("*.py"))
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in SOURCES
        if path not in scripts
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Assert)
    ]
    assert found == []


def test_help_and_tables_need_no_docstrings() -> None:
    for arguments in (("run", "--help"), ("--help",)):
        plain, stripped = (
            python("-m", "restore", *arguments, PYTHONOPTIMIZE=level).stdout.decode() for level in ("", "2")
        )
        assert stripped == plain and "Options:" in plain


def test_refusals_work_with_assertions_off() -> None:
    done = python("-O", "-m", "restore", "run", "--task", "denoise", "--samples", "0")
    assert done.returncode == 2 and b"samples" in done.stderr and b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments", [("operators", "blur"), ("solvers", "diffpir"), ("tasks",), ("tasks", "\u65e5\u672c")]
)
def test_a_terminal_that_knows_ascii_only_is_served(arguments: tuple[str, ...]) -> None:
    done = python("-m", "restore", *arguments, **ASCII)
    assert b"Traceback" not in done.stderr and done.returncode == (2 if arguments[-1] == "\u65e5\u672c" else 0)
    (done.stdout + done.stderr).decode("ascii")


def test_the_hash_seed_and_the_locale_change_no_noise_and_no_name() -> None:
    program = """
import torch, restore
problem = restore.tasks.load("inpaint-random").problem(torch.linspace(0, 1, 300).reshape(1, 3, 10, 10), seed=3)
denoised = restore.tasks.load("denoise").problem(torch.linspace(0, 1, 300).reshape(1, 3, 10, 10), seed=3)
print(problem.image_ids, problem.y.double().sum().item(), denoised.y.double().sum().item())
"""
    one = python("-c", program, PYTHONHASHSEED="1", TZ="UTC")
    two = python("-c", program, PYTHONHASHSEED="2", TZ="Asia/Tokyo", **ASCII)
    assert one.returncode == two.returncode == 0, one.stderr + two.stderr
    assert one.stdout == two.stdout


def test_public_names_are_those_of_the_list() -> None:
    listed = (ROOT / "tests/public_names.txt").read_text("utf-8").split()
    packages = (restore, operators, priors, benchmarks)
    there = [f"{package.__name__}.{name}" for package in packages for name in sorted(package.__all__)]
    assert there == listed
    assert all(hasattr(importlib.import_module(p), name) for p, _, name in (each.partition(".") for each in listed))


def broken_package(folder: Path, name: str, body: str) -> None:
    (folder / name).mkdir(parents=True)
    (folder / name / "__init__.py").write_text(body)
    information = folder / f"{name}-9.9.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 9.9\n")


@pytest.mark.parametrize("body", ["raise SystemError('other torch')", "import no_such_part", "raise OSError('lib.so')"])
def test_a_package_broken_at_import_only_loses_its_feature(
    body: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken_package(tmp_path, "brokenextra", body)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingExtra, match=r"brokenextra cannot be imported .* Get it\."):
        import_extra("brokenextra", do="Get it.")
    with pytest.raises(MissingExtra, match="absentextra is not installed"):
        import_extra("absentextra", do="Get it.")


def test_the_doctor_shows_a_package_that_breaks_at_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("deepinv", "lpips"):
        broken_package(tmp_path, name, "raise SystemError('made for another torch')")
        monkeypatch.delitem(sys.modules, name, raising=False)  # another test may have imported the whole one
    monkeypatch.syspath_prepend(tmp_path)
    main(["doctor"])
    shown = capsys.readouterr()
    text = " ".join(shown.out.split())
    assert "Traceback" not in shown.err
    assert text.count("SystemError") == 2 and "made for another torch" in text


CARRIED = (
    *(f"restore/tasks/{name}.toml" for name in restore.tasks.REGISTRY),
    *(f"restore/_cards/tasks/{name}.md" for name in restore.tasks.REGISTRY),
    *(f"restore/solvers/tuned/{name}.toml" for name in tuned.names()),
    *(f"restore/_cards/solvers/{name}.md" for name in restore.solvers.REGISTRY),
    *(f"restore/_cards/operators/{name}.md" for name in operators.REGISTRY),
    "restore/report/page.html.j2",
    "restore/report/page.css",
    "restore/report/page.js",
    "restore/_data/datasets.toml",
    "priors/training/natural.toml",
    "priors/weights/NOTICE",
)


def test_a_wheel_carries_every_file_and_works_outside_the_repository(tmp_path: Path) -> None:
    pytest.importorskip("hatchling", reason="hatchling builds the wheel: pip install hatchling")
    built = python("-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist"))
    assert built.returncode == 0, built.stderr.decode()
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert set(CARRIED) <= set(archive.namelist())
        archive.extractall(tmp_path / "there")
    shown = python("-m", "restore", "tasks", "sr4x", cwd=tmp_path, path=tmp_path / "there")
    card = (ROOT / "docs/cards/tasks/sr4x.md").read_text("utf-8")
    first = next(line for line in card.splitlines() if line and not line.startswith("#"))
    assert shown.returncode == 0 and " ".join(first.split()[:5]) in " ".join(shown.stdout.decode().split())
    where = python("-c", "import restore; print(restore.__file__)", cwd=tmp_path, path=tmp_path / "there")
    assert str(tmp_path) in where.stdout.decode()
