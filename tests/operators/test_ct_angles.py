"""Any list of angles that covers the scan means the same scan: a disc of value 1 comes back as 1."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
import torch

import operators
from operators.ct.detector import TruncatedScan
from operators.ct.filters import ramp

SIDE = 40
GOLDEN = math.pi * (3 - math.sqrt(5))


def disc(radius: float = 0.72) -> torch.Tensor:
    """1 inside a centred circle of `radius` half sides, antialiased; 1 x 1 x SIDE x SIDE."""
    fine = (np.arange(SIDE * 4) + 0.5) / (SIDE * 2) - 1
    inside = (fine[:, None] ** 2 + fine**2 < radius**2).astype(float)
    return torch.from_numpy(inside.reshape(SIDE, 4, SIDE, 4).mean((1, 3)))[None, None]


def mean_inside(picture: torch.Tensor, low: float = 0.0, high: float = 0.6) -> float:
    """Mean over a ring, its radii in half sides."""
    place = (torch.arange(SIDE) + 0.5) / (SIDE / 2) - 1
    radius = (place[:, None] ** 2 + place**2).sqrt()
    return float(picture[..., (radius >= low) & (radius < high)].mean())


def turn(views: int, span: float, start: float = 0.0) -> np.ndarray:
    return start + span * np.arange(views) / views


def lists(span: float) -> dict[str, np.ndarray]:
    """The same scan in many words. span: pi, or 2 pi."""
    even = turn(72, span)
    shuffled = np.random.default_rng(0).permutation(even)
    return {
        "in order": even,
        "backwards": even[::-1],
        "shuffled": shuffled,
        "wrapped over the seam": np.mod(even + 1.3, span),
        "signed": even - span / 2,
        "a turn later": even + 2 * math.pi,
        "both ends stored": np.append(even, span),
        "a view repeated": np.append(even, even[10]),
        "two turns": np.concatenate([even, even + span]),
        "golden": np.mod(np.arange(90) * (GOLDEN if span > 4 else math.pi / ((1 + math.sqrt(5)) / 2)), span),
    }


def scan(kind: str, angles: np.ndarray, **more: Any) -> Any:
    shape = (1, SIDE, SIDE)
    if kind.startswith("parallel"):
        return operators.ParallelCT(shape, angles=angles, projector=kind.partition("-")[2] or "fourier", **more)
    if kind == "fan":
        return operators.FanCT(shape, angles=angles, source=3 * SIDE, detector=SIDE, **more)
    return operators.ConeCT((1, 3, SIDE, SIDE), angles=angles, source=3 * SIDE, detector=SIDE, **more)


def direct(operator: Any) -> torch.Tensor:
    x = disc()
    if len(operator.input_shape) == 4:
        x = x[:, :, None].expand(1, 1, 3, SIDE, SIDE)
    picture = operator.direct(operator(x))
    return picture if picture.ndim == 4 else picture[:, :, 1]


@pytest.mark.parametrize("words", lists(math.pi))
@pytest.mark.parametrize("kind", ["parallel", "parallel-strip"])
def test_half_a_turn_of_parallel_views_in_any_words(kind: str, words: str) -> None:
    assert mean_inside(direct(scan(kind, lists(math.pi)[words]))) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("words", lists(2 * math.pi))
@pytest.mark.parametrize("kind", ["parallel", "fan", "cone"])
def test_a_whole_turn_in_any_words(kind: str, words: str) -> None:
    assert mean_inside(direct(scan(kind, lists(2 * math.pi)[words]))) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("span", [3.8, 4.6, 5.6, 7.5])
@pytest.mark.parametrize("order", ["in order", "shuffled", "wrapped"])
@pytest.mark.parametrize("kind", ["fan", "cone"])
def test_short_scans_and_over_scans_of_diverging_beams(kind: str, order: str, span: float) -> None:
    """Half a turn and the fan is 3.5 here; 7.5 is more than a turn."""
    angles = np.linspace(0, span, 96)
    if order == "shuffled":
        angles = np.random.default_rng(1).permutation(angles)
    elif order == "wrapped":
        angles = np.mod(angles + 4.0, 2 * math.pi)
    assert mean_inside(direct(scan(kind, angles))) == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("span", [4.0, 5.2])
def test_parallel_views_over_more_than_half_a_turn(span: float) -> None:
    assert mean_inside(direct(scan("parallel", np.linspace(0, span, 90)))) == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("kind", ["parallel", "parallel-strip", "fan", "cone"])
@pytest.mark.parametrize("side", [-1, 1])
def test_a_detector_pushed_aside_over_a_whole_turn_gives_one_in_every_ring(kind: str, side: int) -> None:
    magnified = 4 / 3 if kind in ("fan", "cone") else 1
    half = SIDE / 2 * magnified
    cells = round(1.25 * half)  # of the 2 half that would see everything
    aside = side * (cells / 2 - 0.22 * half)
    picture = direct(scan(kind, turn(144, 2 * math.pi), detectors=cells, shift=aside))
    for low, high in ((0, 0.15), (0.15, 0.3), (0.3, 0.45), (0.45, 0.6)):
        assert mean_inside(picture, low, high) == pytest.approx(1, abs=0.05)


def test_equal_views_have_equal_rows_and_the_adjoint_adds_both() -> None:
    angles = np.append(turn(12, 2 * math.pi), [turn(12, 2 * math.pi)[3], 2 * math.pi])
    for kind in ("fan", "cone", "parallel-strip", "parallel-joseph", "parallel"):
        operator = scan(kind, angles)
        x = torch.randn(1, *operator.input_shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        y = operator(x)
        views = y.reshape(1, len(angles), -1)
        torch.testing.assert_close(views[:, 12], views[:, 3])
        torch.testing.assert_close(views[:, 13], views[:, 0])
        u = torch.randn(y.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        assert float((operator(x) * u).sum()) == pytest.approx(float((x * operator.adjoint(u)).sum()), rel=1e-10)


def test_an_object_that_leaves_the_detector_on_both_sides_is_warned_of() -> None:
    narrow = scan("parallel", turn(60, math.pi), detectors=20)
    with pytest.warns(TruncatedScan, match="both sides"):
        narrow.direct(narrow(disc()))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        whole = scan("parallel", turn(60, math.pi))
        whole.direct(whole(disc()))


def half_seen(angles: np.ndarray, *, shift: float) -> Any:
    """A detector of 24 cells of which the picture's shadow needs 57."""
    return scan("parallel", angles, detectors=24, shift=shift)


def test_a_detector_aside_without_views_from_across_is_warned_of() -> None:
    aside = half_seen(turn(60, math.pi), shift=9.0)
    with pytest.warns(TruncatedScan, match="on one side, and the scan has no view from across"):
        aside.direct(aside(disc()))
    across = half_seen(turn(120, 2 * math.pi), shift=9.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        across.direct(across(disc()))


def test_a_detector_that_hardly_passes_the_axis_is_warned_of() -> None:
    """24 cells pushed aside by 11 or 9.5 cells pass the axis by 1 or 2.5 of them; 2 are wanted."""
    barely = half_seen(turn(120, 2 * math.pi), shift=11.0)
    with pytest.warns(TruncatedScan, match=r"reaches 1\.0 cells beyond the axis of rotation.*rings"):
        barely.direct(barely(disc(0.5)))
    enough = half_seen(turn(120, 2 * math.pi), shift=9.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        enough.direct(enough(disc(0.5)))


@pytest.mark.parametrize("kind", ["fan", "cone"])
def test_a_diverging_beam_warns_of_the_same_at_the_callers_line(kind: str) -> None:
    aside = scan(kind, turn(40, math.pi), detectors=24, shift=9.0)
    x = disc() if kind == "fan" else disc()[:, :, None].expand(1, 1, 3, SIDE, SIDE)
    with pytest.warns(TruncatedScan, match="on one side") as seen:
        aside.direct(aside(x))
    assert seen[0].filename == __file__


RADIANS = {
    "golden, of half a turn": np.arange(300) * math.pi / ((1 + math.sqrt(5)) / 2),
    "golden, of a whole turn": np.arange(232) * GOLDEN,
    "golden, a part of it": (np.arange(400) * GOLDEN)[150:],
    "golden, shuffled": np.random.default_rng(0).permutation(np.arange(232) * GOLDEN),
    "tiny golden": np.arange(300) * math.pi / ((1 + math.sqrt(5)) / 2 + 6),
    "five turns": turn(600, 10 * math.pi),
    "two turns and a little": turn(200, 4.2 * math.pi),
}
DEGREES = {
    "every degree of half a turn": np.arange(180.0),
    "both ends": np.arange(181.0),
    "every half degree of a turn": np.arange(720) / 2,
    "a tenth of a degree": np.arange(1800) / 10,
    "signed": np.arange(-90.0, 90.0),
    "sparse": np.arange(0, 180, 3.0),
    "limited": np.arange(-60.0, 61.0),
    "golden in degrees": np.arange(144) * 111.246117975,
    "shuffled": np.random.default_rng(0).permutation(np.arange(360.0)),
}


@pytest.mark.parametrize("words", RADIANS)
def test_many_turns_in_radians_are_not_talked_about(words: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scan("parallel", RADIANS[words])


@pytest.mark.parametrize("words", DEGREES)
def test_degrees_are_noticed_however_they_are_listed(words: str) -> None:
    with pytest.warns(UserWarning, match="look like degrees"):
        scan("parallel", DEGREES[words])


@pytest.mark.parametrize(
    ("window", "quarter", "end"),
    [
        ("shepp-logan", math.sin(math.pi / 4) / (math.pi / 4), 2 / math.pi),
        ("cosine", math.sqrt(0.5), 0.0),
        ("hamming", 0.54, 0.08),
        ("hann", 0.5, 0.0),
    ],
)
def test_windows_have_their_textbook_values_at_a_quarter_and_half_a_cycle(
    window: str, quarter: float, end: float
) -> None:
    shape = ramp(64, spacing=1.0, window=window) / ramp(64, spacing=1.0, window="ram-lak")
    middle = (len(shape) - 1) // 2
    assert shape[middle] == pytest.approx(quarter, abs=1e-9) and shape[-1] == pytest.approx(end, abs=1e-9)
