"""DDS, Score-SDE, FlowChef and TMPD against trajectories computed from their equations on Gaussian priors."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from operators.common.randomness import Tape
from operators.noise import Gaussian
from restore.problem import Problem
from restore.solvers import build
from restore.solvers.diffusion import dds
from restore.solvers.diffusion.flowchef import FlowChef
from restore.solvers.diffusion.score_sde import ScoreSDE

from .flat_problems import Coils, Matrix, Stacked, gaussian, linear, scheduled


def test_dds_follows_the_recorded_run(reference, close):
    record = reference("posterior_more")
    solver = build("dds", preset="paper", steps=4, rho=1 / float(record["dds__gamma"]))
    tape = Tape([record["dds__x_T"], *record["dds__noise"]])
    states = list(solver.iterate(linear(record, "dds"), gaussian(record, "dds"), tape))
    close(torch.stack([s.x0.flatten() for s in states]), record["dds__x0hat"])
    close(torch.stack([s.estimate.flatten() for s in states]), record["dds__x0hat_data"])
    close(torch.stack([s.x.flatten() for s in states]), record["dds__x"])
    assert tape.position == 5


def test_noise_free_dds_follows_the_recorded_run(reference, close):
    record = reference("posterior_more")
    solver = build("dds", preset="noise-free", steps=4)
    tape = Tape([record["dds__x_T"], *record["dds__noise"]])
    last = list(solver.iterate(linear(record, "dds"), gaussian(record, "dds"), tape))[-1]
    close(last.x.flatten(), record["dds__x_final_noiseless"])


def test_dds_of_several_coils_follows_the_recorded_run(reference, close, monkeypatch):
    record = reference("posterior_more")
    monkeypatch.setattr(dds, "ladder", lambda *_, **__: record["ddsc__timesteps"].tolist())
    operator = Coils(torch.as_tensor(record["ddsc__sens"]), torch.as_tensor(record["ddsc__mask"]))
    problem = Problem(torch.as_tensor(record["ddsc__y"])[None], operator, Gaussian(sigma=0.0))
    prior = Stacked(gaussian(record, "ddsc"))
    solver = build(
        "dds",
        preset="paper",
        steps=4,
        rho=1 / float(record["ddsc__gamma"]),
        iterations=int(record["ddsc__cg_iters"]),
    )
    states = list(solver.iterate(problem, prior, Tape([record["ddsc__x_T"], *record["ddsc__noise"]])))
    for found, wanted in (("x0", "x0hat"), ("estimate", "x0hat_data"), ("x", "x")):
        values = torch.stack([getattr(s, found).flatten() for s in states])
        close(torch.view_as_real(values), torch.view_as_real(torch.as_tensor(record[f"ddsc__{wanted}"])))
    wrong = torch.as_tensor(record["ddsc__x0hat_data_step1_unconjugated_wrong"])
    assert float((states[0].estimate.flatten() - wrong).abs().max()) > 1e-3


def test_score_sde_follows_the_recorded_run(reference, close):
    record = reference("posterior_more")
    sigmas = record["scorepc__sigmas"]
    kept = record["scorepc__mask"] > 0
    operator = Matrix(torch.as_tensor(record["scorepc__Q"][kept]))
    problem = Problem(torch.as_tensor(record["scorepc__y"][kept])[None], operator, Gaussian(sigma=0.0))
    solver = ScoreSDE(
        steps=3,
        predictor="reverse",
        corrections=1,
        snr=float(record["scorepc__snr"]),
        lam=float(record["scorepc__lam"]),
        first=float(sigmas[-1]),
        last=float(sigmas[0]),
        start="zero",
    )
    np.testing.assert_allclose(solver.levels(0.0)[::-1], sigmas)
    draws = [record["scorepc__x_init"] / sigmas[-1], *record["scorepc__noise"].reshape(12, -1)]
    tape = Tape(draws)
    states = list(solver.iterate(problem, gaussian(record, "scorepc"), tape))
    close(torch.stack([s.x.flatten() for s in states[:2]]), record["scorepc__x_pred"][:2])
    close(states[-1].x.flatten(), record["scorepc__x_denoised"])
    close(states[-1].estimate.flatten(), record["scorepc__x_final"])
    assert tape.position == 13


@pytest.mark.parametrize("steers_last", [False, True])
def test_flowchef_follows_the_recorded_run(reference, close, steers_last):
    record = reference("posterior_more")
    problem = linear(record, "flowchef")
    solver = FlowChef(
        steps=6,
        rate=2 * float(record["flowchef__scale"]) / len(problem.y[0]),
        data="gradient",
        first_time=1 - 1e-5,
        start="zero",
        steers_last=steers_last,
    )
    np.testing.assert_allclose([*solver.times(), 0.0], record["flowchef__t"])
    start = record["flowchef__z_init"] / (1 - 1e-5)
    states = list(solver.iterate(problem, gaussian(record, "flowchef"), Tape([start])))
    if steers_last:
        close(states[-1].estimate.flatten(), record["flowchef__z_guide_last"])
    else:
        close(torch.stack([s.x.flatten() for s in states]), record["flowchef__z"])
        close(torch.stack([s.x0.flatten() for s in states]), record["flowchef__x0hat"])
        wrong = torch.as_tensor(record["flowchef__z_full_gradient_wrong"])
        assert float((states[-1].x.flatten() - wrong).abs().max()) > 1e-3


def test_flowchef_does_not_look_at_what_was_not_measured(reference, close):
    record = reference("posterior_more")
    mask = torch.as_tensor(record["flowchef__mask"])
    problem = linear(record, "flowchef")
    masked = dataclasses.replace(problem, y=problem.y * mask, operator=Matrix(mask[:, None] * problem.operator.matrix))
    solver = build("flowchef", preset="paper", steps=6, rate=2 * float(record["flowchef__scale"]) / len(mask))
    start = record["flowchef__z_init"] / (1 - 1e-5)
    last = list(solver.iterate(masked, gaussian(record, "flowchef"), Tape([start])))[-1]
    close(last.x.flatten(), record["flowchef__z_masked"])


@dataclass(frozen=True)
class OneTime:
    """A schedule of one time."""

    alpha_bar: float

    def alpha(self, t: float) -> float:
        return self.alpha_bar**0.5

    def sigma(self, t: float) -> float:
        return (1 - self.alpha_bar) ** 0.5


@pytest.mark.parametrize(("kind", "name"), [("full", "full"), ("diagonal", "diag"), ("row-sum", "rowsum")])
def test_tmpd_moves_the_clean_picture_as_recorded(reference, close, kind, name):
    record = reference("posterior_more")
    prior = scheduled(gaussian(record, "tmpd"), OneTime(float(record["tmpd__alpha_bar"])))
    problem = linear(record, "tmpd", sigma=float(record["tmpd__sigma_y"]))
    x = torch.as_tensor(record["tmpd__x_t"]).reshape(1, 1, 1, -1)
    solver = build("tmpd", kind=kind, floor=0.0)
    close(solver.projected(problem, prior, x, 0, Tape([])).flatten(), record[f"tmpd__x0_{name}"])
