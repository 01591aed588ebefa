"""The board of samplers: its cells are those that were recorded, exact draws score what they must, it goes on."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.cases import board_scores as scores
from benchmarks.cases.levy import SAMPLED, LevyCell, MixtureCell, levy_matrix, levy_sigma
from benchmarks.studies import oracle_board
from operators import BadInput

Reference = Callable[[str], Mapping[str, np.ndarray]]


def test_operators_are_those_that_were_recorded(reference: Reference) -> None:
    arrays = reference("calibration")
    assert tuple(arrays["levy__keep"]) == SAMPLED
    assert np.abs(levy_matrix("fourier").numpy() - arrays["levy__A_fourier"]).max() < 1e-12
    unit = levy_matrix("convolution")
    assert torch.allclose(unit[:, 20].roll(-14)[:13], torch.from_numpy(arrays["levy__kernel"]), atol=1e-15)
    assert torch.allclose(unit, unit.T) and torch.allclose(unit.sum(1), torch.ones(64, dtype=torch.float64))
    for name, law in (("laplace", "laplace"), ("student", "student-3"), ("gauss", "gauss")):
        recorded = float(arrays[f"levy__{name}__sample__sigma2"]) ** 0.5
        assert levy_sigma(law, "sample") == pytest.approx(recorded, rel=0.08)  # a median over other signals


@pytest.mark.parametrize(("dimensions", "measurements"), [(8, 1), (80, 4)])
def test_mixture_posteriors_are_those_that_were_recorded(
    reference: Reference, dimensions: int, measurements: int, tmp_path: Path
) -> None:
    arrays = reference("gmm_instances")
    place = tmp_path / "instances.npz"
    at = f"d{dimensions}_m{measurements}_s0__"
    np.savez(place, **{key: value for key, value in arrays.items() if key.startswith(at)})
    cell = MixtureCell(dimensions, measurements, place)
    problem = cell.problem((0,))
    posterior = cell.prior((0,)).posterior(problem)
    assert np.abs(posterior.weights[0].numpy() - arrays[at + "pw"]).max() < 1e-8
    exact = cell.exact(problem, (0,), 400)
    assert np.abs(exact.mean[0].numpy() - arrays[at + "post_mean"]).max() < 1e-7
    off = (exact.draws[:, 0].mean(0) - exact.mean[0]) / (exact.covariance[0].diagonal() / 400).sqrt()
    assert float(off.square().mean()) < 3
    with pytest.raises(BadInput, match="no instance 7"):
        cell.problem((7,))


def test_order_statistics_cover_exactly_what_they_say_with_atoms_too() -> None:
    rng = np.random.default_rng(0)
    for _ in range(2):
        targets, draws = (torch.from_numpy(rng.standard_normal((n, 20000))).clamp_min(0) for n in (1, 19))
        assert scores.interval_coverage(draws, targets, 90) == pytest.approx(0.9, abs=0.01)
        assert scores.interval_coverage(draws, targets, 50) == pytest.approx(0.5, abs=0.012)
    assert scores.interval_coverage(torch.zeros(19, 3), torch.ones(1, 3), 90) == 0
    for draws_count in (18, 20, 29):
        with pytest.raises(BadInput, match="19, 39"):
            scores.order_statistics(draws_count, 90)


def _scored(factor: float, shift: float) -> dict[str, float]:
    """A sampler of N(0, I) in eight dimensions that is too wide by a factor and shifted, 60 cases of 39 draws."""
    generator = torch.Generator().manual_seed(3)
    rows = []
    for k in range(60):
        exact, drawn, rest = (torch.randn(n, 8, generator=generator, dtype=torch.float64) for n in (39, 39, 2))
        known = scores.Known(torch.zeros(8), torch.eye(8).double(), exact, rest[0], rest[1])
        own = shift + factor * drawn
        density = tuple(-0.5 * x.square().sum(1) for x in (own, torch.cat([rest[:1], exact])))
        rows.append(scores.values(own, known, regions=(density[0], density[1]), seed=k))
    found = {name: scores.column(name, rows, resamples=2) for name in scores.FIGURES}
    tests = {name: test(rows, 39) for name, test in (("sbc", scores.rank_test), ("tarp", scores.ball_test))}
    values = {name: one.value for name, one in found.items() if one is not None}
    return {**values, **{name: one[1] for name, one in tests.items() if one is not None}}


def test_exact_draws_pass_and_narrow_wide_and_shifted_ones_fail_where_they_must() -> None:
    exact, narrow, wide, shifted = _scored(1, 0), _scored(0.6, 0), _scored(1.5, 0), _scored(1, 1)
    assert exact["gap"] == pytest.approx(0, abs=0.05) and narrow["gap"] == pytest.approx(0, abs=0.05)
    assert shifted["gap"] == pytest.approx(10 * np.log10(2), abs=0.15)
    assert exact["cover90"] == pytest.approx(0.9, abs=0.02) and exact["cover50"] == pytest.approx(0.5, abs=0.02)
    assert exact["region90"] == pytest.approx(0.9, abs=0.03)  # ceil(0.9 * 39) / 40
    assert narrow["region90"] < 0.5 and wide["region90"] > 0.98
    assert narrow["cover90"] < 0.75 and wide["cover90"] > 0.96
    assert narrow["spread"] == pytest.approx(0.36, rel=0.1) and wide["spread"] == pytest.approx(2.25, rel=0.1)
    assert exact["sbc"] > 0.05 and exact["tarp"] > 0.05
    assert narrow["sbc"] < 0.05 and narrow["tarp"] < 1e-6 and shifted["sbc"] < 1e-6 and shifted["tarp"] < 1e-6
    assert exact["distance"] < narrow["distance"] < shifted["distance"]
    assert exact["covariance"] < wide["covariance"]


def test_the_board_prints_every_sampler_and_goes_on_where_it_stopped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--out", str(tmp_path / "out"), "--cells", "gauss/sample,mixture/d8-m2"]
    words += ["--solvers", "diffpir:steps=4,dpir:steps=2", "--mixture-draws", "19"]
    assert oracle_board.main([*words, "--signals", "1"]) == 0
    first = (tmp_path / "out" / "rows.jsonl").read_text("utf-8")
    (tmp_path / "out" / "rows.jsonl").write_text(first + '{"cut": ', "utf-8")  # killed while writing
    capsys.readouterr()
    page = tmp_path / "oracle.md"
    assert oracle_board.main([*words, "--signals", "2", "--page", str(page)]) == 0
    printed = capsys.readouterr()
    rows = [json.loads(line) for line in (tmp_path / "out" / "rows.jsonl").read_text("utf-8").splitlines()]
    assert len(rows) == 2 * 2 * 4 and first.splitlines() == [json.dumps(r) for r in rows[: len(first.splitlines())]]
    assert "mixture/d8-m2 signals 0 to 0" not in printed.err  # what is there is not computed again
    for method in ("exact draws (floor)", "prior draws (ceiling)", "diffpir:steps=4", "dpir:steps=2"):
        assert printed.out.count(f"| {method} |") == 3
    assert printed.out in page.read_text("utf-8")
    value = {r["method"]: r for r in rows if r["cell"] == "gauss/sample"}
    assert value["exact draws (floor)"]["bias"] < value["prior draws (ceiling)"]["bias"]
    assert "cover90" not in value["dpir:steps=2"]  # one answer has no interval


def test_wrong_arguments_end_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, why in (
        (["--cells", "laplac/*"], "no cell matches"),
        (["--draws", "20"], "19, 39, 59"),
        (["--solvers", "diffpur"], "diffpir"),
        (["--solvers", "diffpir:steps"], "key=value"),
    ):
        assert oracle_board.main(["--out", str(tmp_path), *words]) == 2
        assert why in capsys.readouterr().err


def test_registered_samplers_are_found_by_name() -> None:
    assert {"diffpir", "dpir", "dps", "red-diff"} <= set(oracle_board.samplers())
    assert not {"tv", "resshift", "hio"} & set(oracle_board.samplers())


def test_signals_and_noise_of_a_cell_depend_on_their_number_alone() -> None:
    cell = LevyCell("student-1", "fourier")
    many, one = cell.problem((0, 1, 2)), cell.problem((2,))
    assert torch.allclose(many.y[2:], one.y) and many.image_ids[2:] == one.image_ids
