"""The exact laws of residual samplers: against drawn samples, against closed forms, and as a printed table."""

from __future__ import annotations

import pytest
import torch

from benchmarks.studies import residual_oracle
from benchmarks.studies.residual_oracle import law, ode_errors
from operators.common.randomness import NoiseSource
from operators.core.identity import Identity
from operators.noise import Gaussian
from priors import residual
from priors.residual.analytic import GaussianPair
from restore import solvers
from restore.problem import Problem

PIXEL = (0.2, 0.1)


def test_the_law_is_that_of_drawn_samples():
    process, solver = residual.build("rddm", sum_scale=1.0), solvers.build("rddm", steps=10, sampler="ancestral")
    expected = law(process, solver, PIXEL, draws=12)
    shape, count = (1, 30, 30), 900
    unit = torch.eye(count, dtype=torch.float64)
    mean = torch.full(shape, -PIXEL[0], dtype=torch.float64)
    prior = GaussianPair(process, mean=mean, mean_y=0 * mean, gain=0 * unit, covariance=PIXEL[1] ** 2 * unit)
    problem = Problem(torch.zeros(1, *shape, dtype=torch.float64), Identity(shape), Gaussian(sigma=0.0))
    drawn = list(solver.iterate(problem, prior, NoiseSource(0, ["pixels"])))[-1].estimate
    # 900 pixels: the mean is known to 1/30 of a standard deviation, the spread to 1/42; three times that is asked.
    assert float(drawn.mean() + PIXEL[0]) / PIXEL[1] == pytest.approx(expected.bias, abs=0.1)
    assert float(drawn.std()) / PIXEL[1] == pytest.approx(expected.spread, abs=0.07)


def test_one_call_returns_the_posterior_mean():
    for name in ("resshift", "rddm", "i2sb"):
        settings = {"resshift": {"steps": 1}}.get(name, {})
        found = law(residual.build(name, **settings), solvers.build(name, steps=1), PIXEL, draws=3)
        # I2SB ends at its first index, whose state holds a trace of y.
        assert found.bias == pytest.approx(0.0, abs=0.01) and found.spread < 0.01


@pytest.mark.parametrize("name", ["rddm", "ir-sde", "mrs"])
def test_more_calls_come_nearer_to_the_posterior(name):
    process = residual.build("ir-sde" if name == "mrs" else name)
    few, many = (law(process, solvers.build(name, steps=n), PIXEL, draws=n + 2).distance for n in (5, 50))
    assert many < 0.3 * few


def test_orders_of_the_mr_sampler_are_those_of_its_formulas():
    for order in (1, 2, 3):
        errors = ode_errors(formulas="consistent", order=order, steps=(20, 40))
        assert errors[20] / errors[40] > 0.93 * 2**order


def test_the_table_names_every_method_and_the_plots_are_written(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(residual_oracle, "CALLS", (1, 2))
    monkeypatch.setattr(residual_oracle, "table", lambda pixel: table_of_two(pixel))
    assert residual_oracle.main(["--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in ("ResShift", "RDDM", "Resfusion", "IR-SDE", "MRS"))
    assert (tmp_path / "residual-oracle.svg").read_text().startswith("<svg")
    assert "order 3, consistent" in (tmp_path / "mrs-order.svg").read_text()


def table_of_two(pixel, real=residual_oracle.table):
    return real(pixel, (1, 2))
