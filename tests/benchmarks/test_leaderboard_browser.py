"""The leaderboard in a real browser: sorting, filtering, the plot, and pictures under one zoom."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

# The browser behind its pipe is that of the report's own test.
_PATH = Path(__file__).parents[1] / "restore" / "test_report_browser.py"
_SPEC = importlib.util.spec_from_file_location("report_browser", _PATH)
assert _SPEC is not None and _SPEC.loader is not None
report_browser = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(report_browser)
browser = report_browser.browser

pytestmark = pytest.mark.skipif(
    report_browser.CHROMIUM is None, reason="no Chromium on this machine: the page's script is not tried in a browser"
)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Three methods on two tasks of six pictures, one estimate kept for each."""
    from test_statistics import PSNR, row

    from benchmarks.records.item import Item, Outcome, ScoreRow
    from benchmarks.records.store import Store
    from benchmarks.tables import leaderboard

    folder = tmp_path_factory.mktemp("board")
    store = Store(folder)
    keys = []
    ramp = torch.linspace(0, 1, 48).expand(3, 48, 48)
    noise = torch.from_numpy(np.random.default_rng(0).standard_normal((3, 48, 48))).float()
    for task in ("sr4x", "denoise"):
        for place, method in enumerate(("bicubic (baseline)", "fast", "slow")):
            for k in range(6):
                columns = row(method, f"i{k}", 0.0, task=task).columns
                same = ("kind", "task", "data_set", "image", "method", "solver", "prior")
                item = Item(
                    **{name: columns[name] for name in same},
                    role="baseline" if place == 0 else "solver", image_sha256="", parameters={}, samples=1, seed=0,
                    where={}, identity={"task": [task, 1], "image": f"i{k}", "method": method}, metrics={},
                )  # fmt: skip
                arrays = (
                    {"estimate": (ramp + 0.1 / (1 + place) * noise).numpy(), "truth": ramp.numpy()} if k == 0 else {}
                )
                scores = (ScoreRow(PSNR, 20.0 + place + 0.1 * k), ScoreRow("chi2", 1.0 + 0.1 * place))
                seconds = 0.1 * 10**place
                outcome = Outcome(item.key, "ok", scores=scores, nfe=10 * place, seconds=seconds, arrays=arrays)
                store.put(item, outcome)
                keys.append(item.key)
    store.begin(command="restore bench", suite="demo", plan=keys, notes=[], machine={})
    leaderboard.write(store)
    store.close()
    yield folder / "leaderboard.html"


def open_page(browser: Any, page: Path) -> None:
    browser.open(page)
    assert browser.js("document.documentElement.dataset.error || ''") == ""
    assert browser.errors == []


def methods(browser: Any) -> list[str]:
    shown = "[...document.querySelectorAll('#table tbody tr')].filter(r => !r.hidden)"
    return list(browser.js(f"{shown}.map(r => r.querySelector('th').firstChild.textContent)"))


def test_headings_sort_by_how_good_a_score_is(browser: Any, page: Path) -> None:
    open_page(browser, page)
    press = "document.querySelector('#table button[data-key={}]').click()"
    browser.js(press.format("psnr") + ", 0")
    assert methods(browser) == ["slow", "slow", "fast", "fast", "bicubic (baseline)", "bicubic (baseline)"]
    browser.js(press.format("psnr") + ", 0")
    assert methods(browser)[0] == "bicubic (baseline)"
    browser.js(press.format("seconds") + ", 0")
    assert methods(browser)[-1] == "slow"


def test_filters_leave_what_was_asked_for(browser: Any, page: Path) -> None:
    open_page(browser, page)
    browser.js("task.value = 'denoise'; task.dispatchEvent(new Event('input')); 0")
    assert len(methods(browser)) == 3
    browser.js("const f = document.getElementById('find'); f.value = 'fas'; f.dispatchEvent(new Event('input')); 0")
    assert methods(browser) == ["fast"]
    assert browser.js("document.getElementById('count').textContent") == "1 of 6"


def test_the_plot_shows_each_method_and_follows_its_choices(browser: Any, page: Path) -> None:
    open_page(browser, page)
    assert browser.js("document.querySelectorAll('#plot circle').length") == 3
    axis = "[...document.querySelectorAll('#plot text')].map(t => t.textContent).find(t => t.includes('logarithmic'))"
    assert "seconds" in browser.js(axis)
    browser.js(
        "const c = document.getElementById('plot-cost'); c.value = 'nfe'; c.dispatchEvent(new Event('input')); 0"
    )
    assert "network calls" in browser.js(axis)
    front = browser.js("document.querySelector('#plot path').getAttribute('d')")
    assert front.count("H") == 2  # every one of the three is worth its cost


def test_a_click_on_a_row_opens_its_pictures_under_one_zoom(browser: Any, page: Path) -> None:
    open_page(browser, page)
    browser.js("document.querySelectorAll('#table tbody tr')[0].click(); 0")
    browser.settle()
    assert browser.js("document.getElementById('viewer').open")
    names = browser.js("[...document.querySelectorAll('#strip figure')].map(f => f.dataset.name)")
    assert set(names) == {"truth", "bicubic (baseline)", "fast", "slow"}
    browser.js("const z = document.getElementById('zoom'); z.value = 2; z.dispatchEvent(new Event('input')); 0")
    transforms = browser.js("[...new Set([...document.querySelectorAll('#viewer img')].map(i => i.style.transform))]")
    assert len(transforms) == 1 and "scale(4)" in transforms[0]
    browser.js("document.getElementById('fit').click(); 0")
    browser.drag((0.5, 0.5), (0.25, 0.5))
    assert browser.split() == pytest.approx(25, abs=1)
    browser.js("document.getElementById('close').click(); 0")
    assert not browser.js("document.getElementById('viewer').open")
    assert browser.errors == []
