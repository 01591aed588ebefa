"""Input that no number can be right for is an error; a score that cannot be had is null with its reason."""

from __future__ import annotations

import json
import math

import pytest
import torch

from operators import BadInput, BadType
from restore import metrics

TRUTH = torch.full((2, 3, 16, 16), 0.5)
EVERY = (
    "psnr[rgb,clip,peak=1]",
    "ssim[gauss1.5,rgb]",
    "mae[any]",
    "rmse[any]",
    "chroma-rmse[bt601]",
    "lpips[alex,v0.1]",
)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("shape", [(2, 1, 16, 16), (1, 3, 16, 16), (2, 3, 1, 16), (2, 3, 16, 15), (3, 16, 16)])
def test_shapes_that_would_broadcast_are_refused(name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(BadInput, match="shape"):
        metrics.parse(name)(torch.full(shape, 0.5), TRUTH)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("where", ["estimate", "truth"])
def test_values_that_are_not_finite_are_refused_with_count_and_place(name: str, value: float, where: str) -> None:
    spoiled = TRUTH.clone()
    spoiled[1, 2, 3, 4] = value
    arguments = (spoiled, TRUTH) if where == "estimate" else (TRUTH, spoiled)
    with pytest.raises(BadInput, match=rf"{where} holds 1 values that are not finite, the first at \(1, 2, 3, 4\)"):
        metrics.parse(name)(*arguments)


@pytest.mark.parametrize("name", EVERY[:-1])
def test_a_truth_outside_the_declared_range_is_refused_with_both_ranges(name: str) -> None:
    with pytest.raises(BadInput, match=r"truth has values from 127.5 to 127.5; wanted values in \[0, 1\]"):
        metrics.parse(name)(TRUTH, 255 * TRUTH)


def test_an_overshooting_estimate_is_refused_unless_the_convention_says_what_to_do() -> None:
    overshoot = TRUTH.clone()
    overshoot[:, :, 0, 0] = 1.2
    with pytest.raises(BadInput, match=r"estimate has values from 0.5 to 1.2"):
        metrics.parse("psnr[rgb,peak=1]")(overshoot, TRUTH)
    clipped = metrics.parse("psnr[rgb,clip,peak=1]")(overshoot, TRUTH)
    unclipped = metrics.parse("psnr[rgb,unclipped,peak=1]")(overshoot, TRUTH)
    assert bool((clipped > unclipped).all())


@pytest.mark.parametrize("name", EVERY[:-1])
def test_clipping_does_not_hide_an_estimate_in_other_units(name: str) -> None:
    with pytest.raises(BadInput, match=r"estimate .*127.5"):
        metrics.parse(name)(255 * TRUTH, TRUTH)


def test_stored_codes_are_refused_by_their_data_type() -> None:
    codes = torch.zeros(1, 3, 16, 16, dtype=torch.uint8)
    with pytest.raises(BadType, match="uint8"):
        metrics.parse("psnr")(codes, codes)


@pytest.mark.parametrize(
    ("name", "size", "smallest"),
    [
        ("ssim[rgb]", 10, "11x11"),
        ("ssim[y601,crop=4]", 18, "19x19"),
        ("psnr[y601,crop=4]", 8, "9x9"),
        ("lpips", 30, "31x31"),
    ],
)
def test_a_picture_that_is_too_small_is_refused_naming_the_smallest_size(name: str, size: int, smallest: str) -> None:
    small = torch.full((1, 3, size, 64), 0.5)
    with pytest.raises(metrics.NotApplicable, match=f"at least {smallest}"):
        metrics.parse(name)(small, small)


def test_a_metric_that_does_not_apply_is_null_with_its_reason_and_the_others_go_on() -> None:
    small = torch.full((1, 3, 7, 7), 0.5)
    scores = metrics.evaluate(small + 0.1, small, ["psnr[rgb,clip,peak=1]", "ssim[gauss1.5,rgb]"])
    assert scores["psnr[rgb,clip,peak=1]"].value == pytest.approx(20, abs=1e-4)
    missing = scores["ssim[gauss1.5,rgb]"]
    assert missing.value is None
    assert missing.reason is not None
    assert "11x11" in missing.reason


def test_bands_and_complex_pictures_have_no_colour_scores() -> None:
    bands = torch.full((1, 28, 16, 16), 0.5)
    names = ["psnr[rgb]", "psnr[y601]", "ssim[rgb]", "chroma-rmse[bt601]", "psnr[any]", "ssim[gauss1.5]"]
    scores = metrics.evaluate(bands + 0.1, bands, names)
    assert [scores[name].value is None for name in names] == [True, True, True, True, False, False]
    complex_ones = torch.full((1, 1, 16, 16), 0.5 + 0.5j)
    scores = metrics.evaluate(complex_ones, complex_ones, ["psnr[any]", "psnr[magnitude]"])
    assert scores["psnr[any]"].value is None
    assert scores["psnr[magnitude]"].value == math.inf


def test_conventions_that_need_a_range_are_null_without_one() -> None:
    hounsfield = torch.linspace(-1000, 1000, 256).reshape(1, 1, 16, 16)
    names = ["psnr[any]", "psnr[y601]", "psnr[peak=2000]", "psnr[volume-max]", "mae[any]", "ssim[gauss1.5]"]
    scores = metrics.evaluate(hounsfield + 1, hounsfield, names, data_range=None)
    assert [scores[name].value is None for name in names] == [True, True, False, False, False, True]


@pytest.mark.parametrize("data_range", [(1.0, 0.0), (0.0, 0.0), (0.0, math.inf), (math.nan, 1.0)])
def test_an_empty_or_endless_range_is_refused(data_range: tuple[float, float]) -> None:
    with pytest.raises(BadInput, match="data_range"):
        metrics.evaluate(TRUTH, TRUTH, ["psnr"], data_range=data_range)


def test_evaluate_takes_a_table_of_names_and_keeps_its_keys() -> None:
    scores = metrics.evaluate(TRUTH + 0.1, TRUTH, {"psnr": "psnr[clip, rgb]", "error": "mae"})
    assert list(scores) == ["psnr", "error"]
    assert scores["psnr"].metric == "psnr[rgb,clip]"
    assert len(scores["psnr"].values) == 2
    assert scores["error"].value == pytest.approx(0.1, abs=1e-6)


def test_a_pair_may_come_without_its_batch() -> None:
    expected = metrics.evaluate(TRUTH[:1, :1] + 0.1, TRUTH[:1, :1], ["psnr"])
    assert metrics.score_pair(TRUTH[0, 0] + 0.1, TRUTH[0, 0], ["psnr"]) == expected
    assert metrics.score_pair(TRUTH[0, :1] + 0.1, TRUTH[0, :1], ["psnr"]) == expected


def test_equal_pictures_are_infinite_and_written_as_null_with_a_flag() -> None:
    scores = metrics.evaluate(TRUTH, TRUTH, {"psnr": "psnr", "ssim": "ssim", "mae": "mae"})
    assert scores["psnr"].value == math.inf
    written = metrics.as_metrics_json(scores)
    text = json.dumps(written, allow_nan=False)
    assert json.loads(text)["psnr"] is None
    assert written["flags"] == {"psnr": "infinite"}
    assert written["reasons"]["psnr"].startswith("infinite")
    assert written["ssim"] == pytest.approx(1, abs=1e-12)
    assert written["mae"] == 0


@pytest.mark.parametrize("value", [1.5, None, math.inf, -math.inf, -0.25])
def test_json_encoding_round_trips(value: float | None) -> None:
    stored, flag = metrics.to_json(value)
    json.dumps(stored, allow_nan=False)
    assert metrics.from_json(stored, flag) == value


def test_a_mean_says_over_how_many_pictures_it_was_taken() -> None:
    summary = metrics.summarize([30.0, None, 32.0])
    assert (summary.mean, summary.ok, summary.failed) == (31.0, 2, 1)
    assert str(summary) == "31 (n = 2, 1 failed)"
    assert metrics.summarize([None]).mean is None
