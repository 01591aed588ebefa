"""The house as its sources say it stands: one way down, no circle, no file too long, each class name one thing."""

from __future__ import annotations

from pathlib import Path

import pytest

import restore
from benchmarks.studies import structure

ROOT = Path(restore.__file__).parents[1]
HOUSE = structure.measured(ROOT)


def test_no_package_imports_one_that_stands_above_it() -> None:
    assert HOUSE.upward == ()


def test_no_files_import_each_other_in_a_circle() -> None:
    assert HOUSE.circles == ()


def test_no_file_is_longer_than_five_hundred_lines() -> None:
    assert HOUSE.long == {}


def test_a_class_name_means_one_thing() -> None:
    assert HOUSE.twice == {}


def test_the_tops_of_the_packages_are_the_folders_that_stand_there() -> None:
    for package, names in HOUSE.tops.items():
        entries = (ROOT / package).iterdir()
        there = {p.name + "/" if p.is_dir() else p.name for p in entries if p.suffix == ".py" or any(p.glob("*.py"))}
        assert set(names) == there - {"__init__.py"}


@pytest.fixture
def crooked(tmp_path: Path) -> structure.House:
    files = {
        "operators/__init__.py": "",
        "operators/noise.py": "class Gaussian: ...\n",
        "operators/core/__init__.py": "",
        "operators/core/base.py": "def product():\n    from .algebra import Sum\n    return Sum\n",
        "operators/core/algebra.py": "if TYPE_CHECKING:\n    from . import base\n",
        "priors/__init__.py": "from operators import noise, missing\n",
        "priors/analytic.py": "import numpy\nimport restore.driver as d\nclass Gaussian: ...\n",
        "restore/__init__.py": "",
        "restore/driver.py": "from priors.analytic import Gaussian\n" + "\n" * structure.LONGEST,
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return structure.measured(tmp_path)


def test_what_is_crooked_is_found_and_printed(crooked: structure.House) -> None:
    assert crooked.upward == (("priors.analytic", "restore.driver"),)
    assert crooked.circles == (
        ("operators.core.algebra", "operators.core.base"),
        ("priors.analytic", "restore.driver"),
    )
    assert crooked.twice == {"Gaussian": ("operators.noise", "priors.analytic")}
    assert crooked.long == {"restore.driver": structure.LONGEST + 1}
    assert crooked.between == {("priors", "operators"): 1, ("priors", "restore"): 1, ("restore", "priors"): 1}
    printed = structure.page(crooked)
    assert "arrows up: 1\n  priors.analytic -> restore.driver" in printed and "circles: 2" in printed


def test_the_command_says_by_its_exit_status_whether_all_stands_straight(
    crooked: structure.House, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert crooked.circles and structure.main([str(tmp_path)]) == 1
    assert "class names that exist twice: 1" in capsys.readouterr().out
