"""Residual diffusion beside other methods: means, tables, plots and sections from rows; the spread of draws."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import scipy.stats
import torch

from benchmarks import suites
from benchmarks.studies import posterior_statistics
from benchmarks.studies import residual_comparison as comparison
from benchmarks.studies.residual_comparison import SetScore
from benchmarks.tables import loglog, sections
from operators import BadInput


def score(
    method: str, data_set: str, *, nfe: float = 5, pictures: int = 5, psnr: float = 28.0, prior: str = ""
) -> SetScore:
    return SetScore(method, data_set, pictures, nfe, psnr, 0.8, 0.3, 1.0, prior)


ROWS = [
    score("bicubic (baseline)", "set5", nfe=0),
    score("bicubic (baseline)", "set14", nfe=0, pictures=15, psnr=24.0),
    score("mrs-1", "set5", nfe=1, psnr=29.0, prior="ir-sde-sr4x"),
    score("mrs-1", "set14", nfe=1, pictures=15, psnr=25.0, prior="ir-sde-sr4x"),
    score("mrs-100", "set5", nfe=100, psnr=30.0, prior="ir-sde-sr4x"),
]


def test_means_over_sets_weigh_pictures_and_leave_out_methods_that_lack_some():
    found = comparison.over_all(ROWS)
    assert list(found) == ["bicubic (baseline)", "mrs-1"]
    assert found["mrs-1"].psnr == pytest.approx((5 * 29 + 15 * 25) / 20) and found["mrs-1"].pictures == 20


def test_the_table_has_a_line_for_each_method_and_a_dash_where_a_set_is_missing():
    lines = comparison.table(ROWS).splitlines()
    assert len(lines) == 2 + 3
    assert lines[-1].startswith("| MRS | 100 | 30.00 / 0.800 / 0.300 | - |")


def test_numbers_of_steps_are_points_of_one_curve_and_what_takes_no_calls_a_line_across():
    found = comparison.curves({one.method: one for one in ROWS if one.set == "set5"}, "psnr")
    assert found == {"bicubic (dashed)": [(1.0, 28.0), (100, 28.0)], "MRS": [(1, 29.0), (100, 30.0)]}


def test_a_section_is_replaced_up_to_the_next_heading():
    assert sections.fill("# A\n\nold\n\n## B\n\nkept\n", "# A", "new") == "# A\n\nnew\n\n## B\n\nkept\n"
    assert sections.fill("# A\n\nold\n", "# A", "new\n") == "# A\n\nnew\n"
    with pytest.raises(BadInput):
        sections.fill("# A\n", "# B", "new")


def test_documents_are_written_from_a_finished_run_and_again_from_what_it_left(tmp_path, capsys):
    for folder in (comparison.RESULTS.parent, comparison.CARDS):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / comparison.PAGE).write_text("# Page\n\n### Table\n\n### Spread of the draws\n\n")
    card = tmp_path / comparison.CARDS / "ir-sde-sr4x.md"
    card.write_text("# ir-sde-sr4x\n\n## Measured\n")
    run = tmp_path / "run"
    run.mkdir()
    lines = [{"task": "sr4x", **vars(row)} for row in ROWS]
    (run / "leaderboard.json").write_text(json.dumps({"rows": lines}))
    assert comparison.main(["--run", str(run), "--root", str(tmp_path)]) == 0
    page = (tmp_path / comparison.PAGE).read_text()
    assert "| MRS | 1 |" in page and "| bicubic | 0 |" in card.read_text()
    assert (tmp_path / "docs/residual-psnr.svg").read_text().startswith("<svg")
    assert comparison.main(["--root", str(tmp_path)]) == 0
    assert (tmp_path / comparison.PAGE).read_text() == page
    again = [{"task": "sr4x", **vars(ROWS[2]), "psnr": 29.5}]
    (run / "leaderboard.json").write_text(json.dumps({"rows": again}))
    assert comparison.main(["--run", str(run), "--keep", "--root", str(tmp_path)]) == 0
    assert (tmp_path / comparison.PAGE).read_text() == page.replace("29.00 / 0.800", "29.50 / 0.800")
    assert comparison.main(["--run", str(tmp_path / "none"), "--root", str(tmp_path)]) == 2
    assert "no " in capsys.readouterr().err


def test_axes_give_round_values_inside_their_range():
    axis = loglog.Even.around([28.0, 29.4], 300, 20)
    assert axis.ticks() == pytest.approx([28.0, 28.2, 28.4, 28.6, 28.8, 29.0, 29.2, 29.4])
    assert axis(28.0) > axis(29.4)
    assert loglog.LogAxis.around([1, 100], 0, 100).ticks() == [1, 2, 5, 10, 20, 50, 100]


def test_the_suite_names_the_published_steps_and_more_than_15_on_set5_alone():
    suite = suites.load("residual")
    steps = {name: entry["steps"] for name, entry in suite.solvers.items() if "steps" in entry}
    assert {n for name, n in steps.items() if name.startswith("rddm")} == {1, 2, 4, 5, 10, 15, 100}
    assert "steps" not in suite.solvers["resshift"] and "steps" not in suite.solvers["resfusion"]
    for part in suite.parts:
        assert part.sets == ("set5",) or not any(steps.get(name, 0) > 15 for name in part.solvers)
    assert set(suite.solvers) <= {name for part in suite.parts for name in part.solvers}


# -- the spread of draws ----------------------------------------------------------------------------------------------


def test_rank_correlation_is_spearmans():
    generator = torch.Generator().manual_seed(0)
    a, b = torch.rand(2, 50, generator=generator).round(decimals=1)  # with ties
    assert posterior_statistics.spearman(a, b) == pytest.approx(scipy.stats.spearmanr(a, b).statistic)
    assert posterior_statistics.spearman(a, torch.ones(50)) == 0.0
    assert posterior_statistics.spearman(a, a.exp()) == pytest.approx(1.0)  # ranks know no scale


def test_draws_from_the_posterior_are_calibrated_and_reach_what_is_attainable():
    generator = torch.Generator().manual_seed(1)
    std = torch.rand(20000, generator=generator, dtype=torch.float64)
    drawn = std * torch.randn(9, 20000, generator=generator, dtype=torch.float64)
    samples, truth = drawn[1:], drawn[0]
    # 20000 errors: their root mean square is known to 1 %, a rank correlation to 0.007.
    assert posterior_statistics.calibration(samples, truth) == pytest.approx(1.0, abs=0.03)
    assert posterior_statistics.calibration(samples / 2, truth) > 1.5
    rank = posterior_statistics.spearman(samples.std(0), (samples.mean(0) - truth).abs())
    assert posterior_statistics.attainable(std, 8) == pytest.approx(rank, abs=0.03)


def test_draws_that_are_all_alike_are_refused():
    with pytest.raises(BadInput):
        posterior_statistics.calibration(torch.ones(4, 3), torch.zeros(3))


def test_the_command_keeps_the_rows_of_other_methods_of_the_same_setting(tiny, tmp_path, capsys):
    out = tmp_path / "spread.json"
    few = tmp_path / "few.toml"
    few.write_text(
        'version = 1\nsummary = "few"\n[[part]]\ntasks = ["sr4x"]\nsets = ["tiny"]\nsolvers = ["few"]\n'
        '[solvers.few]\nname = "diffpir"\nsteps = 2\n'
    )
    plain = ["--suite", str(few), "--set", "tiny", "--images", "1", "--crop", "16", "--samples", "2", "--out", str(out)]
    row = posterior_statistics.Spread(*[0.5] * 8)
    setting = {"task": "sr4x", "set": "tiny", "images": 1, "crop": 16, "samples": 2}
    posterior_statistics.store(out, {"other": row}, setting)
    assert posterior_statistics.main(["--solvers", "few", *plain]) == 0
    kept, rows = posterior_statistics.load(out)
    assert kept == setting and list(rows) == ["other", "few"] and rows["other"] == row
    assert rows["few"].nfe == 2 and math.isfinite(rows["few"].ratio)
    assert "| few | 2 |" in capsys.readouterr().out
    assert posterior_statistics.main(["--solvers", "nosuch", *plain]) == 2


def test_shown_files_are_those_of_this_repository():
    assert (comparison.ROOT / comparison.PAGE).is_file() and (comparison.ROOT / comparison.CARDS).is_dir()
    assert Path(comparison.__file__).is_relative_to(comparison.ROOT)
