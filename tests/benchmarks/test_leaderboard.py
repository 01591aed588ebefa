"""The leaderboard: one file that needs no network, safe against names, the same numbers in four forms."""

from __future__ import annotations

import csv
import html.parser
import json
import re
from pathlib import Path

import pytest
from bench_helpers import context, rows, suite

from benchmarks.records import rescoring, submission
from benchmarks.records.store import Store
from benchmarks.runs import runner
from benchmarks.tables import leaderboard
from operators.common.errors import RestoreError


@pytest.fixture
def results(tiny: Path, tmp_path: Path) -> Path:
    """Two methods (one fails on bright pictures) and the baseline on four pictures, all estimates kept."""
    planning = context()
    planning.keep_all = True
    runner.bench(suite("identity", "fails_on_one_picture"), tmp_path / "out", context=planning)
    store = Store(tmp_path / "out", create=False)
    leaderboard.write(store)
    store.close()
    return tmp_path / "out"


class Links(html.parser.HTMLParser):
    """Every address a page would load, and its tags."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [
            value or "" for key, value in attributes if key in ("src", "href", "action", "data", "poster")
        ]


def test_the_page_loads_nothing_from_anywhere(results: Path) -> None:
    text = (results / "leaderboard.html").read_text()
    found = Links(text)
    assert not [a for a in found.addresses if a and not a.startswith("data:")]
    assert "link" not in found.tags and "iframe" not in found.tags
    assert "default-src 'none'" in text and not re.search(r"@import|url\(", text)


def test_every_line_of_the_table_is_on_the_page_in_csv_markdown_and_json(results: Path) -> None:
    content = json.loads((results / "leaderboard.json").read_text())
    with (results / "leaderboard.csv").open(newline="") as file:
        listed = list(csv.DictReader(file))
    page, text = (results / "leaderboard.html").read_text(), (results / "leaderboard.md").read_text()
    assert len(content["rows"]) == len(listed) == 3
    for line, flat in zip(content["rows"], listed, strict=True):
        assert flat["method"] == line["method"] and float(flat["psnr"]) == line["psnr"]
        assert line["method"] in page and line["method"] in text
        for column in ("draws", "nfe", "seconds", "memory_mb", "network_share_of_seconds", "failed", "pictures"):
            assert column in flat
    assert content["tuned_on"] == ["photos-val"] and "photos-val" in page and "photos-val" in text


def test_failures_are_shown_with_their_reason_and_have_no_rank(results: Path) -> None:
    content = json.loads((results / "leaderboard.json").read_text())
    broken = next(line for line in content["rows"] if line["method"].endswith("fails_on_one_picture"))
    assert broken["failed"] > 0 and broken["rank"] is None and "too bright" in broken["reasons"]
    assert "too bright" in (results / "leaderboard.html").read_text()


def test_every_picture_of_a_row_is_in_the_page(results: Path) -> None:
    text = (results / "leaderboard.html").read_text()
    block = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    assert block is not None
    gallery = json.loads(block.group(1))["gallery"]["plain|tiny"]
    assert [entry["image"] for entry in gallery] == ["p0", "p1", "p2", "p3"]
    names = {panel["name"] for panel in gallery[0]["panels"]}
    assert {"truth", "measurement", "measurement (baseline)", "bench_methods:identity"} <= names
    assert all(panel["uri"].startswith("data:image/png;base64,") for entry in gallery for panel in entry["panels"])


def test_names_that_would_be_formulas_or_markup_are_harmless() -> None:
    from benchmarks.tables.leaderboard.tables import _safe

    assert _safe("=cmd()") == "'=cmd()" and _safe("@x") == "'@x" and _safe("plain") == "plain" and _safe(-3.0) == -3.0


def test_a_picture_named_like_a_script_ends_no_block(tiny: Path, tmp_path: Path) -> None:
    (tiny / "p0.png").rename(tiny / "=x<script>alert(1)<")
    (tiny / "=x<script>alert(1)<").rename(tiny / "=x<script>alert(1)<.png")
    from benchmarks.sets import collecting

    collecting.add("tiny", tiny)
    planning = context(limit=1)
    planning.keep_all = True
    runner.bench(suite("identity"), tmp_path / "out", context=planning)
    store = Store(tmp_path / "out", create=False)
    leaderboard.write(store)
    store.close()
    assert "<script>alert" not in (tmp_path / "out" / "leaderboard.html").read_text()


# -- rescoring and submissions ---------------------------------------------------------------------------------------


def test_rescoring_adds_a_convention_without_running_anything(results: Path) -> None:
    before = {row.key: (row.date, row.seconds) for row in rows(results)}
    store = Store(results, create=False)
    done = rescoring.rescore(store, ["mae[rgb,clip]"])
    store.close()
    found = rows(results)
    assert done.rows == sum(row.ok for row in found) and done.without == 0
    assert all("mae[rgb,clip]" in row.scores for row in found if row.ok)
    assert {row.key: (row.date, row.seconds) for row in found} == before


def test_rescoring_where_a_network_is_missing_keeps_the_scores_that_were_there(results: Path) -> None:
    from benchmarks.records.item import ScoreRow

    name = "lpips[alex,v0.1]"
    store = Store(results, create=False)
    keys = [row.key for row in store.rows() if row.ok]
    for key in keys:
        store.put_scores(key, [ScoreRow(name, 0.25, version="another")])
    rescoring.rescore(store)  # no weights in these tests, and pictures of 32 pixels
    store.close()
    found = {row.key: row.scores[name].value for row in rows(results) if row.ok}
    assert all(found[key] is not None for key in keys)


def submit(results: Path, folder: Path, *, drop: str = "", shape: int = 32) -> Path:
    """The measurements themselves as somebody's estimates."""
    import numpy as np

    store = Store(results, create=False)
    submission.measurements(store, folder)
    store.close()
    (folder / "submission.toml").write_text(
        'method = "theirs"\nsource = "https://example.org"\nseconds = 0.5\nnfe = 2\n'
    )
    for path in sorted(folder.rglob("*.npy")):
        np.save(path, np.load(path)[:, :shape])
        if path.stem == drop:
            path.unlink()
    for path in folder.rglob("*.json"):
        path.unlink()
    return folder


def test_a_submission_is_scored_by_us_and_merged(results: Path, tmp_path: Path) -> None:
    folder = submit(results, tmp_path / "theirs")
    store = Store(results, create=False)
    assert submission.validate(folder, store).problems == ()
    assert submission.submit(folder, store) == submission.submit(folder, store) == 4  # twice is once
    leaderboard.write(store)
    store.close()
    lines = {line["method"]: line for line in json.loads((results / "leaderboard.json").read_text())["rows"]}
    assert lines["theirs (submitted)"]["psnr"] == lines["bench_methods:identity"]["psnr"]
    assert (lines["theirs (submitted)"]["nfe"], lines["theirs (submitted)"]["seconds"]) == (2.0, 0.5)


@pytest.mark.parametrize(
    ("change", "told"),
    [({"drop": "p2"}, "missing: plain/tiny/p2"), ({"shape": 30}, "shape (3, 30, 32); wanted 3 x 32 x 32")],
)
def test_a_submission_that_is_incomplete_or_of_another_shape_is_refused(
    results: Path, tmp_path: Path, change: dict[str, object], told: str
) -> None:
    folder = submit(results, tmp_path / "theirs", **change)  # type: ignore[arg-type]
    store = Store(results, create=False)
    with pytest.raises(RestoreError) as error:
        submission.submit(folder, store)
    store.close()
    assert told in str(error.value)
