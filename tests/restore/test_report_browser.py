"""The report in a real browser: the script runs without an error, and hand, wheel and keys do what the page says."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from restore import report

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--window-size=1000,900",
    "--remote-debugging-pipe",
]
PATIENCE = 40  # seconds for one answer; a busy machine starts a browser slowly

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium on this machine: the report's script is not tried in a browser"
)


class Browser:
    """Chromium behind its debugging pipe: messages in JSON, each ended by a zero byte."""

    def __init__(self, profile: str) -> None:
        read_end, self._write = os.pipe()
        self._read, write_end = os.pipe()
        shell = 'exec "$0" "$@" 3<&"$IN" 4>&"$OUT"'
        self.process = subprocess.Popen(
            ["bash", "-c", shell, str(CHROMIUM), *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            pass_fds=(read_end, write_end),
            env={**os.environ, "IN": str(read_end), "OUT": str(write_end)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(read_end)
        os.close(write_end)
        os.set_blocking(self._read, False)
        self._buffer, self._number, self._session = b"", 0, ""
        self._loaded = 0
        self.errors: list[str] = []
        targets = self.call("Target.getTargets")["targetInfos"]
        target = next(entry["targetId"] for entry in targets if entry["type"] == "page")
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Runtime", "Page", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self._number:
            self._note(answer)
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    def _next(self) -> dict[str, Any]:
        until = time.monotonic() + PATIENCE
        while b"\0" not in self._buffer:
            assert time.monotonic() < until, "the browser does not answer"
            try:
                self._buffer += os.read(self._read, 1 << 16)
            except BlockingIOError:
                time.sleep(0.01)
        line, _, self._buffer = self._buffer.partition(b"\0")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _note(self, event: dict[str, Any]) -> None:
        if event["method"] == "Runtime.exceptionThrown" or (
            event["method"] == "Log.entryAdded" and event["params"]["entry"]["level"] == "error"
        ):
            self.errors.append(json.dumps(event["params"]))
        self._loaded += event["method"] == "Page.loadEventFired"
        if event["method"] == "Network.requestWillBeSent":
            url = event["params"]["request"]["url"]
            if not url.startswith(("file://", "data:", "about:")):
                self.errors.append(f"request to {url}")

    def open(self, path: Path, fragment: str = "") -> None:
        self.go("about:blank")  # a change of the fragment alone would not load the page again
        self.go(f"{path.as_uri()}#{fragment}")
        assert self.js("document.documentElement.dataset.ready") == "yes", self.errors
        self.settle()

    def go(self, url: str) -> None:
        """Load an address and wait until that is done."""
        self._loaded = 0
        self.call("Page.navigate", url=url)
        while not self._loaded:
            self._note(self._next())

    def settle(self) -> None:
        """Until pictures are decoded and two frames are drawn."""
        frames = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
        decoded = "Promise.allSettled([...document.images].filter(i => i.src).map(i => i.decode()))"
        self.js(f"{decoded}.then(() => {frames}).then(() => 0)")

    def js(self, expression: str) -> Any:
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """From one place of the stage to another, both as shares of its sides."""
        box = self.js("(() => { const b = document.getElementById('stage').getBoundingClientRect();"
                      " return [b.left, b.top, b.width, b.height]; })()")  # fmt: skip
        places = [(box[0] + box[2] * u, box[1] + box[3] * v) for u, v in (start, end)]
        self.mouse("mousePressed", *places[0], button="left", buttons=1, clickCount=1)
        for share in (0.5, 1.0):
            middle = [a + share * (b - a) for a, b in zip(*places, strict=True)]
            self.mouse("mouseMoved", *middle, button="left", buttons=1)
        self.mouse("mouseReleased", *places[1], button="left", clickCount=1)
        self.settle()

    def key(self, key: str) -> None:
        text = {"text": key} if len(key) == 1 else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    def split(self) -> float:
        return float(self.js("document.getElementById('handle').getAttribute('aria-valuenow')"))

    def factor(self) -> str:
        return str(self.js("document.getElementById('factor').textContent"))

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(PATIENCE)
        os.close(self._read)
        os.close(self._write)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        started = Browser(profile)
        yield started
        started.close()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    ramp = torch.linspace(0, 1, 64).expand(3, 64, 64).contiguous()
    shown = {"truth": ramp, "measurement": ramp[:, ::4, ::4], "estimate": ramp * 0.9, "error": ramp * 0.1}
    made = report.Page(
        title="sr4x: ramp",
        command="restore run --task sr4x",
        task="sr4x",
        metrics={},
        pictures=shown,
        trace=[{"step": 0, "residual_rms": 0.1}],
        provenance={},
    )
    return report.write(tmp_path_factory.mktemp("page") / "report.html", made)


def test_the_script_runs_without_an_error_or_a_request(browser, page) -> None:
    browser.open(page)
    assert browser.js("document.documentElement.dataset.error || ''") == ""
    assert browser.errors == []
    assert browser.js("getComputedStyle(document.getElementById('viewer')).display") != "none"
    assert browser.js("[...document.images].every(i => i.complete && i.naturalWidth > 0)")


def test_measurement_and_estimate_are_compared_first_and_any_two_can_be_chosen(browser, page) -> None:
    browser.open(page)
    chosen = "[left, right].map(s => s.value).join()"
    assert browser.js(chosen) == "measurement,estimate"
    assert browser.js("[...left.options].map(o => o.value).join()") == "truth,measurement,estimate,error"
    browser.js("left.value = 'truth'; left.dispatchEvent(new Event('change')); 0")
    sources = "document.getElementById('one-side').src === document.querySelector('[data-name=truth] img').src"
    assert browser.js(sources)


def test_dragging_moves_the_split(browser, page) -> None:
    browser.open(page)
    browser.drag((0.5, 0.5), (0.25, 0.6))
    assert browser.split() == pytest.approx(25, abs=1)
    clip = browser.js("document.getElementById('top').style.clipPath")
    assert float(clip.split()[-1].rstrip("%)")) == pytest.approx(25, abs=1)
    browser.drag((0.25, 0.5), (1.5, 0.5))
    assert browser.split() == 100


def test_the_split_moves_with_the_keyboard(browser, page) -> None:
    browser.open(page, "split=50")
    browser.js("document.getElementById('handle').focus(); 0")
    for key, expected in (("ArrowLeft", 48), ("ArrowRight", 50), ("Home", 0), ("End", 100)):
        browser.key(key)
        assert browser.split() == expected


def test_the_wheel_zooms_every_picture_about_the_pointer(browser, page) -> None:
    browser.open(page)
    left, top, wide, high = browser.js(
        "(() => { const b = stage.getBoundingClientRect(); return [b.left, b.top, b.width, b.height]; })()"
    )
    browser.mouse("mouseWheel", left + 0.25 * wide, top + 0.5 * high, deltaX=0, deltaY=-500)
    until = time.monotonic() + PATIENCE
    while browser.factor() == "1×" and time.monotonic() < until:
        time.sleep(0.02)
    transforms = browser.js(
        "[...new Set([...document.querySelectorAll('[data-follows] img, .layer img')].map(i => i.style.transform))]"
    )
    assert len(transforms) == 1
    before, scale = transforms[0].split("scale(")
    zoom, shift = float(scale.rstrip(")")), float(before.split("(")[1].split("%")[0]) / 100
    assert zoom > 2
    assert 0.25 * zoom + shift == pytest.approx(0.25, abs=0.01)  # the point under the pointer stays


def test_a_zoomed_picture_shows_pixels_and_dragging_moves_it(browser, page) -> None:
    browser.open(page, "zoom=4&split=90")
    assert browser.factor() == "4×"
    assert browser.js("getComputedStyle(document.getElementById('one-side')).imageRendering") == "pixelated"
    before = browser.js("document.getElementById('one-side').style.transform")
    browser.drag((0.3, 0.5), (0.5, 0.5))
    assert browser.js("document.getElementById('one-side').style.transform") != before
    assert browser.split() == 90
    browser.js("document.getElementById('fit').click(); 0")
    assert browser.factor() == "1×"


def test_plus_minus_and_zero_zoom_from_the_keyboard(browser, page) -> None:
    browser.open(page)
    browser.js("document.getElementById('stage').focus(); 0")
    for key, expected in (("+", "1.5×"), ("-", "1×"), ("+", "1.5×"), ("0", "1×")):
        browser.key(key)
        assert browser.factor() == expected


def test_a_narrow_window_has_no_sideways_scroll(browser, page) -> None:
    browser.call("Emulation.setDeviceMetricsOverride", width=360, height=800, deviceScaleFactor=2, mobile=True)
    try:
        browser.open(page)
        assert browser.js("document.documentElement.scrollWidth") <= 360
    finally:
        browser.call("Emulation.clearDeviceMetricsOverride")


def test_without_scripts_the_pictures_are_shown(browser, page) -> None:
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.go("about:blank")
        browser.go(page.as_uri())
        root = browser.call("DOM.getDocument")["root"]["nodeId"]
        assert "data-ready" not in browser.call("DOM.getOuterHTML", nodeId=root)["outerHTML"]
        found = browser.call("DOM.querySelector", nodeId=root, selector="[data-name=estimate] img")["nodeId"]
        box = browser.call("DOM.getBoxModel", nodeId=found)["model"]
        assert box["width"] > 100 and box["height"] > 100
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)
