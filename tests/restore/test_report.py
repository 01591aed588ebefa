"""The report: one offline file, honest about what it shows; and the rule that makes any picture visible."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
import skimage.filters
import torch
from PIL import Image

from operators import BadInput, NoiseSource
from restore import report
from restore.report import embed, numbers, plot

NO_WEIGHTS = "the AlexNet features are not here: restore doctor --fetch lpips"
METRICS: dict[str, Any] = {
    "schema": 1,
    "task": "sr4x",
    "task_version": 1,
    "solver": "diffpir",
    "prior": "natural",
    "seed": 0,
    "samples": 8,
    "nfe": 20,
    "seconds": 36.42,
    "psnr": 27.93,
    "ssim": 0.8127,
    "lpips": None,
    "conventions": {"psnr": "psnr[y601,crop=4]", "ssim": "ssim[gauss1.5,y601,crop=4]", "lpips": "lpips[alex,v0.1]"},
    "reasons": {"lpips": NO_WEIGHTS},
    "chi2": 1.08,
    "coverage": {"50": 0.472, "90": 0.861},
    "baseline": {"name": "bicubic", "psnr": 26.41, "ssim": 0.7702, "lpips": None, "seconds": 0.02},
}


class Seen(HTMLParser):
    """Every element with its attributes, and the text of the page without scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self._inside = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {key: value or "" for key, value in attrs}))
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside not in ("script", "style"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def pictures(self) -> list[dict[str, str]]:
        return [image for image in self.all("img") if "src" in image]


def face(size: int = 48) -> torch.Tensor:
    pixels = skimage.data.astronaut()[60 : 60 + size, 190 : 190 + size].copy()
    return torch.from_numpy(pixels).permute(2, 0, 1).float() / 255


def demo(**changes: Any) -> report.Page:
    truth = face()
    smooth = skimage.filters.gaussian(truth.numpy(), 1, channel_axis=0)
    estimate = torch.from_numpy(np.ascontiguousarray(smooth))
    page = report.Page(
        title="sr4x: face",
        command="restore run --task sr4x --input face.png --samples 8",
        task="sr4x",
        metrics=METRICS,
        pictures={
            "truth": truth,
            "measurement": torch.nn.functional.avg_pool2d(truth, 4),
            "baseline": estimate * 0.9,
            "estimate": estimate,
            "std": (estimate - truth).abs() * 0.5 + 0.01,
            "error": estimate - truth,
        },
        trace=[{"step": i, "sigma": 80.0 * 0.5**i, "residual_rms": 0.3 * 0.7**i, "cg_steps": 3} for i in range(20)],
        provenance={"torch": "2.15.0", "settings": {"device": "cpu", "tile": None}, "image_ids": ["ab", "cd"]},
        notes=["the noise includes the rounding to 8 bits"],
        timing={"total": 10.0, "network": 9.0, "noise": 0.4},
    )
    return dataclasses.replace(page, **changes)


@pytest.fixture
def seen(tmp_path: Path) -> Any:
    def render(page: report.Page) -> Seen:
        path = report.write(tmp_path / "report.html", page)
        assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]
        return Seen(path.read_text("utf-8"))

    return render


def decode(image: dict[str, str]) -> Image.Image:
    kind, _, data = image["src"].partition(",")
    assert kind == "data:image/png;base64"
    return Image.open(io.BytesIO(base64.b64decode(data, validate=True)))


# -- one file, offline ------------------------------------------------------------------------------------------------


def test_nothing_on_the_page_is_fetched_from_elsewhere(seen) -> None:
    page = seen(demo())
    for tag, attributes in page.elements:
        for key, value in attributes.items():
            if key in ("src", "href", "srcset", "action", "data", "poster", "xlink:href"):
                assert value.startswith("data:image/png;base64,"), f"<{tag} {key}>"
        assert tag not in ("link", "iframe", "object", "embed", "base", "form")
        assert not any(key.startswith("on") for key in attributes)
    policy = next(m["content"] for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy and "http" not in policy


def test_styles_and_script_name_no_address(tmp_path) -> None:
    text = report.write(tmp_path / "report.html", demo()).read_text("utf-8")
    for body in re.findall(r"<(?:style|script)>(.*?)</(?:style|script)>", text, re.S):
        assert "://" not in body and "url(" not in body and "@import" not in body


def test_the_policy_lets_only_the_page_s_own_script_run(tmp_path) -> None:
    import hashlib

    text = report.write(tmp_path / "report.html", demo()).read_text("utf-8")
    scripts = re.findall(r"<script>(.*?)</script>", text, re.S)
    assert len(scripts) == 1
    assert f"'sha256-{base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()}'" in text


def test_every_picture_is_a_png_of_its_own_size(seen) -> None:
    page = demo()
    drawn = seen(page)
    sizes = [decode(image).size for image in drawn.pictures]
    assert sizes == [(48, 48), (12, 12), (48, 48), (48, 48), (48, 48), (48, 48)]
    assert [figure["data-name"] for figure in drawn.all("figure")] == [
        "truth",
        "measurement",
        "baseline",
        "estimate",
        "std",
        "error",
    ]
    shown = np.asarray(decode(drawn.pictures[0]).convert("RGB"))
    assert np.array_equal(shown, (page.pictures["truth"] * 255).round().byte().permute(1, 2, 0).numpy())


def test_a_large_picture_is_shown_by_a_smaller_copy_and_says_so(seen) -> None:
    large = torch.rand(1, 8, 8).repeat_interleave(200, 1).repeat_interleave(200, 2)
    drawn = seen(demo(pictures={"estimate": large}))
    assert decode(drawn.pictures[0]).size == (800, 800)
    assert "reduced by 2" in drawn.text and "1600 x 1600 pixels" in drawn.text


@pytest.mark.parametrize("colours", ["grey", "palette", "true colour"])
def test_a_picture_comes_back_bit_by_bit_from_its_data_uri(colours) -> None:
    source = (NoiseSource(0, ["a"]).normal("x", like=torch.empty(1, 40, 30, 3))[0] * 60 + 128).clamp(0, 255).byte()
    pixels = source.numpy()
    if colours == "grey":
        pixels = np.repeat(pixels[..., :1], 3, axis=-1)
    elif colours == "palette":
        pixels = pixels // 64 * 64
    uri = embed.data_uri(pixels)
    image = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
    assert image.mode == {"grey": "L", "palette": "P", "true colour": "RGB"}[colours]
    assert np.array_equal(np.asarray(image.convert("RGB")), pixels)


def test_hostile_names_are_text_and_never_markup(seen) -> None:
    evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&amp;{{ 7 * 7 }}"
    bad = {**METRICS, "reasons": {"lpips": evil}, "solver": evil, "baseline": {**METRICS["baseline"], "name": evil}}
    pictures = {**demo().pictures, evil: face()}
    page = seen(
        demo(
            title=evil,
            command=evil,
            task=evil,
            metrics={**bad, "conventions": {"psnr": evil}},
            pictures=pictures,
            trace=[{"step": 0, "residual_rms": 0.1, evil: 1.0}],
            provenance={evil: {evil: [evil]}},
            notes=[evil],
        )
    )
    assert len(page.all("script")) == 1
    assert all(image.get("src", "data:").startswith("data:") for image in page.all("img"))
    assert page.text.count(evil) >= 10
    assert not any("onerror" in attributes for _, attributes in page.elements)


def test_a_file_name_that_is_no_text_does_not_stop_the_report(tmp_path) -> None:
    assert "\\udcff" in report.write(tmp_path / "r.html", demo(title="a\udcffb")).read_text("utf-8")


def test_a_failed_report_leaves_no_file(tmp_path) -> None:
    with pytest.raises(BadInput):
        report.write(tmp_path / "report.html", demo(pictures={}))
    with pytest.raises(BadInput):
        report.write(tmp_path / "report.html", demo(pictures={"estimate": torch.zeros(2)}))
    assert list(tmp_path.iterdir()) == []


# -- what it says -----------------------------------------------------------------------------------------------------


def test_the_slider_is_there_for_a_hand_and_for_a_keyboard(seen) -> None:
    page = seen(demo())
    handle = next(a for _, a in page.elements if a.get("id") == "handle")
    assert handle["role"] == "slider" and handle["tabindex"] == "0"
    assert {"aria-valuenow", "aria-valuemin", "aria-valuemax", "aria-label"} <= handle.keys()
    assert {select["id"] for select in page.all("select")} == {"left", "right"}
    assert all("aria-label" in b or "title" in b or b["id"] in ("fit", "copy") for b in page.all("button"))


def test_without_a_script_only_what_works_is_visible(seen) -> None:
    page = seen(demo())
    hidden = {a["id"] for _, a in page.elements if "hidden" in a}
    assert hidden == {"viewer", "copy"}
    assert len(page.pictures) == 6


def test_numbers_carry_their_conventions_and_a_missing_one_its_reason(seen) -> None:
    text = seen(demo()).text
    assert "27.93 dB" in text and "+1.52 dB better" in text and "psnr[y601,crop=4]" in text
    assert f"LPIPS: no value, {NO_WEIGHTS}" in text
    assert "bicubic" in text and "36.4 s" in text and "0.02 s" in text


def test_lower_lpips_is_better() -> None:
    metrics = {**METRICS, "lpips": 0.2, "baseline": {**METRICS["baseline"], "lpips": 0.4}}
    assert [row.verdict for row in numbers.scores(metrics)] == ["better", "better", "better", ""]


def test_equal_pictures_have_an_infinite_psnr_and_not_a_reason() -> None:
    row = numbers.scores({**METRICS, "psnr": None, "flags": {"psnr": "infinite"}})[0]
    assert row.estimate.startswith("infinite") and row.reasons == ()


@pytest.mark.parametrize(
    ("value", "reading"), [(1.02, "and this is"), (2.5, "unexplained"), (0.3, "follows the noise")]
)
def test_chi_square_is_read_in_one_sentence(value, reading) -> None:
    shown, sentence = numbers.consistency({"chi2": value})
    assert float(shown) == value and "about 1 is right" in sentence and reading in sentence


def test_a_null_chi_square_says_why(seen) -> None:
    text = seen(demo(metrics={**METRICS, "chi2": None, "reasons": {"chi2": "the measurement has no noise"}})).text
    assert "Chi-square - the measurement has no noise" in text


def test_coverage_and_time_split_are_written_out(seen) -> None:
    text = seen(demo()).text
    assert "90 % intervals of the samples hold 86.1 %" in text
    assert "network 9 s (90.0 %)" in text and "other 0.6 s (6.0 %)" in text


def test_command_provenance_and_notes_are_on_the_page(seen) -> None:
    text = seen(demo()).text
    assert demo().command in text and "settings.tile - " in text and "ab, cd" in text
    assert "rounding to 8 bits" in text


def test_a_page_without_truth_shows_the_residual_and_no_error(seen) -> None:
    shown = dict(demo().pictures)
    residual = shown.pop("error") * 0.1
    shown.pop("truth")
    reason = "no ground truth: chi-square and the residual picture are the judge"
    nulls = {"psnr": None, "ssim": None, "lpips": None, "coverage": None}
    metrics = {**METRICS, **nulls, "reasons": dict.fromkeys(nulls, reason)}
    metrics["baseline"] = {"name": "bicubic", **dict.fromkeys(("psnr", "ssim", "lpips")), "seconds": 0.1}
    page = seen(demo(pictures={**shown, "residual": residual}, metrics=metrics))
    names = [figure["data-name"] for figure in page.all("figure")]
    assert "residual" in names and "error" not in names and "truth" not in names
    assert page.text.count(f"no value, {reason}") == 3 and "grey is 0" in page.text


def test_a_page_with_one_picture_and_empty_tables_is_still_a_page(seen) -> None:
    page = seen(demo(pictures={"estimate": torch.zeros(1, 1, 1)}, metrics={}, trace=[], provenance={}, timing=None))
    assert "left no trace" in page.text and "not computed" in page.text and len(page.pictures) == 1


# -- the trace --------------------------------------------------------------------------------------------------------


def numbers_of(svg: str) -> list[float]:
    return [float(v) for v in re.findall(r' (?:x|y|x1|x2|y1|y2|cx|cy)="([^"]*)"', svg)]


@pytest.mark.parametrize(
    "trace",
    [
        [{"step": 0.0, "sigma": 0.5, "residual_rms": 0.1}],
        [{"step": i, "residual_rms": 0.25} for i in range(5)],
        [{"step": i, "sigma": 10.0 ** (100 * i - 200), "residual_rms": 1e30} for i in range(5)],
        [{"step": i, "sigma": float("nan"), "residual_rms": max(3.0 - i, 0.0)} for i in range(5)],
        [{"step": 7, "residual_rms": 0.1}, {"step": 7, "residual_rms": 0.2}],
        [{"residual_rms": 0.3}, {"residual_rms": 0.2}],
    ],
    ids=["one step", "constant", "huge range", "zeros and NaN", "same step", "no step"],
)
def test_any_trace_is_drawn_inside_its_frame(trace) -> None:
    svg = plot.trace_svg(trace)
    placed = numbers_of(svg)
    assert svg.startswith("<svg") and all(np.isfinite(placed))
    points = [tuple(map(float, p.split(","))) for line in re.findall('points="([^"]*)"', svg) for p in line.split()]
    assert points
    assert all(plot.LEFT - 0.1 <= x <= plot.WIDTH - plot.RIGHT + 0.1 for x, _ in points)
    assert all(plot.TOP - 0.1 <= y <= plot.HEIGHT - plot.BOTTOM + 0.1 for _, y in points)
    assert 'text-anchor="end">' in svg


def test_the_plot_has_logarithmic_axes_with_their_names() -> None:
    svg = plot.trace_svg([{"step": i, "residual_rms": 10.0**-i, "sigma": 10.0 ** (2 - i)} for i in range(4)])
    line = re.findall('points="([^"]*)"', svg)[0]
    heights = np.diff([float(point.split(",")[1]) for point in line.split()])
    assert np.allclose(heights, heights[0], atol=0.11)  # equal ratios are equal distances, to the printed decimal
    assert "rms of y − A(estimate)" in svg and "σ of the step" in svg and ">step<" in svg


def test_nothing_to_draw_is_no_plot() -> None:
    assert plot.trace_svg([]) == plot.trace_svg([{"step": 0, "residual_rms": 0.0}]) == ""


def test_a_long_trace_is_thinned_and_says_so(seen) -> None:
    page = seen(demo(trace=[{"step": i, "residual_rms": 1 / (i + 1)} for i in range(1001)]))
    assert re.search(r"Trace as a table \((\d+) of 1001 steps\)", page.text)
    assert len(page.all("tr")) < 250


# -- rules and scales -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["complex", "16 bands", "hu", "16 bits"])
def test_the_rule_of_an_unusual_picture_is_on_the_page(kind, seen) -> None:
    shapes = {"16 bands": (16, 8, 8), "16 bits": (3, 8, 8)}
    picture = torch.rand(shapes.get(kind, (1, 8, 8)), dtype=torch.complex64 if kind == "complex" else torch.float32)
    given = {"hu": {"unit": "hu"}, "16 bits": {"unit": "[0,1]", "bits": 16}}.get(kind, {})
    page = seen(demo(pictures={"estimate": picture, "truth": picture}, provenance={"input": given}))
    words = {"complex": "phase", "16 bands": "red is band", "hu": "centre 40, width 400", "16 bits": "stored with 16"}
    assert page.text.count(words[kind]) == 2


def test_pictures_that_are_compared_share_one_scale(seen) -> None:
    truth = torch.linspace(0, 1000, 64).reshape(1, 8, 8)
    pictures = {"truth": truth, "estimate": truth / 2}
    page = seen(demo(pictures=pictures, provenance={"input": {"unit": "counts"}}))
    bright = [int(np.asarray(decode(image)).max()) for image in page.pictures]
    assert bright == [255, pytest.approx(128, abs=2)]


def test_error_and_std_share_one_scale(seen) -> None:
    maps = {"estimate": face(8), "std": torch.full((1, 8, 8), 0.01), "error": torch.full((3, 8, 8), 0.3)}
    assert seen(demo(pictures=maps)).text.count("colours from 0 to 0.5") == 2


# -- comparison.png ---------------------------------------------------------------------------------------------------


def test_the_comparison_enlarges_a_small_measurement_by_repeating_pixels() -> None:
    page = demo()
    strip = report.comparison(page.pictures)
    assert strip.shape[:2] == (3, 48) and strip.min() >= 0 and strip.max() <= 1
    small = (page.pictures["measurement"] * 255).round() / 255
    assert torch.allclose(strip[:, :, :48], small.repeat_interleave(4, 1).repeat_interleave(4, 2))
    assert torch.allclose(strip[:, :, -48:], page.pictures["truth"], atol=1e-6)
    gap = (strip.shape[2] - 4 * 48) // 3
    assert gap >= 2 and (strip[:, :, 48 : 48 + gap] == 1).all()


def test_the_comparison_of_grey_pictures_is_grey_and_leaves_out_what_is_missing() -> None:
    strip = report.comparison({"estimate": torch.rand(1, 10, 12), "error": torch.rand(1, 10, 12)})
    assert strip.shape == (1, 10, 12)
    with pytest.raises(BadInput, match="measurement"):
        report.comparison({"error": torch.rand(1, 10, 12)})


# -- from a stored result ---------------------------------------------------------------------------------------------


@pytest.fixture
def stored(tmp_path: Path) -> Any:
    """A result of the classical solver `tikhonov`, with or without a truth, and its metrics table."""
    import restore

    def save(task: str, *, truth: bool = True) -> Path:
        made = restore.tasks.load(task).problem(face(32), seed=0)
        problem = made if truth else dataclasses.replace(made, truth=None)
        result = restore.solve(problem, solver="tikhonov", seed=0)
        given = {"name": "face.png", "unit": "[0,1]", "bits": 8, "notes": ["a note of the reader"]}
        kept = {**result.provenance, "command": f"restore run --task {task}", "input": given}
        return dataclasses.replace(result, provenance=kept).save(tmp_path / "result.h5")

    return save


def test_a_page_is_made_again_from_a_result(stored) -> None:
    page = report.page_from_result(stored("denoise"), {**METRICS, "task": "denoise"})
    assert set(page.pictures) == {"truth", "measurement", "baseline", "estimate", "error"}
    assert page.title == "denoise: face" and page.command == "restore run --task denoise"
    assert page.timing["total"] > 0 and "a note of the reader" in page.notes and page.trace
    assert torch.equal(page.pictures["error"], page.pictures["estimate"] - page.pictures["truth"])


def test_a_result_without_truth_gets_its_residual(stored) -> None:
    page = report.page_from_result(stored("denoise", truth=False), METRICS, "typed by hand")
    assert set(page.pictures) == {"measurement", "baseline", "estimate", "residual"}
    expected = page.pictures["measurement"] - page.pictures["estimate"]
    assert torch.allclose(page.pictures["residual"], expected, atol=1e-6)
    assert page.command == "typed by hand"


def test_a_measurement_that_is_no_picture_is_shown_by_its_adjoint(stored) -> None:
    page = report.page_from_result(stored("cs4x"), {**METRICS, "baseline": {}})
    shown = page.pictures["measurement"]
    assert shown.shape == page.pictures["estimate"].shape and (shown.min(), shown.max()) == (0, 1)
    assert any("A^H y" in note for note in page.notes) and "baseline" not in page.pictures


def test_an_adjoint_takes_the_range_of_a_picture_in_other_units() -> None:
    import restore

    problem = restore.tasks.load("cs4x").problem(face(32), seed=0)
    hounsfield = problem.truth * 2000 - 1000
    shown, _ = report.pictures(problem, hounsfield)
    assert shown["measurement"].min() == pytest.approx(float(hounsfield.min()))
    assert shown["measurement"].max() == pytest.approx(float(hounsfield.max()))


def test_metrics_are_read_from_the_file_beside_the_result(stored, tmp_path) -> None:
    path = tmp_path / "metrics.json"
    result = stored("denoise")
    with pytest.raises(BadInput, match=r"metrics\.json"):
        report.page_from_result(result, path)
    path.write_text(json.dumps(METRICS))
    assert report.page_from_result(result, path).metrics == METRICS
    path.write_text("{")
    with pytest.raises(BadInput, match="not JSON"):
        report.page_from_result(result, path)
