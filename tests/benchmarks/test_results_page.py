"""The page of results says what the kept rows say."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from benchmarks.tables import results_page
from operators import BadInput


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the page and of its rows."""
    for path in (results_page.PAGE, *(results_page.KEPT / f"{name}.json" for name, _ in results_page.TABLES.values())):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(results_page.ROOT / path, tmp_path / path)
    return tmp_path


def test_the_page_in_the_repository_is_what_its_command_writes(checkout: Path) -> None:
    before = (checkout / results_page.PAGE).read_text()
    assert results_page.main(["--root", str(checkout)]) == 0
    assert (checkout / results_page.PAGE).read_text() == before


def test_rows_of_a_run_replace_the_kept_ones_and_their_table(checkout: Path) -> None:
    stored = json.loads((checkout / results_page.KEPT / "deepinv-set14.json").read_text())
    run = checkout / "run"
    run.mkdir()
    stored["rows"] = [{**row, "psnr": 12.345} for row in stored["rows"]]
    (run / "leaderboard.json").write_text(json.dumps(stored))
    before = (checkout / results_page.PAGE).read_text().splitlines()
    assert results_page.main(["--root", str(checkout), "--run", str(run), "--keep-as", "deepinv-set14"]) == 0
    after = (checkout / results_page.PAGE).read_text().splitlines()
    changed = [new for old, new in zip(before, after, strict=True) if old != new]
    assert len(changed) == len(stored["rows"]) and all("| 12.35 |" in line or "| 12.34 |" in line for line in changed)


def test_a_run_that_is_not_whole_replaces_nothing(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = checkout / results_page.KEPT / "deepinv-set14.json"
    before = path.read_bytes()
    run = checkout / "run"
    run.mkdir()
    (run / "leaderboard.json").write_text(json.dumps({**json.loads(before), "missing_rows": 3}))
    given = ["--root", str(checkout), "--keep-as", "deepinv-set14"]
    assert results_page.main([*given, "--run", str(run)]) == 2
    assert results_page.main([*given, "--run", str(checkout / "none")]) == 2
    assert path.read_bytes() == before and capsys.readouterr().err.count("\n") == 2


def test_a_table_needs_all_its_tasks() -> None:
    with pytest.raises(BadInput, match="sr4x"):
        results_page.section({"rows": []}, ("sr4x",))
