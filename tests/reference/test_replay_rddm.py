"""RDDM against recorded runs of its public code, in float64: schedules, states, predictions and losses."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from operators.common.randomness import Tape
from priors.residual.rddm import TINY, RDDMProcess
from restore.solvers.residual.rddm import RDDM

CASES = (
    "ddim_res_noise_s1",
    "ddim_res_noise_s001",
    "ddim_res",
    "ddim_noise",
    "ddim_res_add_noise",
    "ddim_x0_noise",
    "ddim_x0_add_noise",
    "ddpm_res_noise",
    "ddpm_res",
    "gen_eta1",
)


def process_of(config) -> RDDMProcess:
    return RDDMProcess(
        steps=config["timesteps"],
        sum_scale=config["sum_scale"],
        objective=config["objective"].removeprefix("pred_"),
        penalty=config["loss_type"],
    )


def condition(record) -> torch.Tensor:
    """y in [-1, 1]; none where pictures are generated."""
    y = 2 * record["lq01"] - 1 if "lq01" in record.arrays else torch.zeros(record.config["shape"], dtype=torch.float64)
    return y if record.config["condition"] else torch.zeros_like(y)


@pytest.mark.parametrize("case", CASES)
def test_schedules_are_the_recorded_ones(recorded, close, case):
    record = recorded("rddm")[case]
    if "alphas" not in record.arrays:
        pytest.skip("this case shares the schedule of another")
    process = process_of(record.config)
    close(process.alpha_steps, record["alphas"])
    close(process.alpha_sums, record["alphas_cumsum"])
    close([*(1 - process.alpha_sums)[:-1], TINY], record["one_minus_alphas_cumsum"])
    close(process.beta_steps, record["betas2"])
    close(process.beta_sums, record["betas2_cumsum"])
    close(np.sqrt(process.beta_sums), record["betas_cumsum"])
    weights = [process.posterior(t, t - 1) for t in range(process.steps)]
    for index, key in enumerate(
        ("posterior_mean_coef1", "posterior_mean_coef2", "posterior_mean_coef3", "posterior_variance")
    ):
        close([w[index] for w in weights], record[key])


@pytest.mark.parametrize("case", CASES)
def test_states_follow_the_recorded_run(recorded, toy_residual, posed, close, case):
    record = recorded("rddm")[case]
    prior = toy_residual(process_of(record.config), record.config["toy"])
    implicit = record.config["sampling_timesteps"] < record.config["timesteps"]
    solver = RDDM(
        steps=record.config["sampling_timesteps"],
        sampler="implicit" if implicit else "ancestral",
        eta=record.config["eta"],
    )
    tape = Tape(record["noise_tape"])
    states = list(solver.iterate(posed(condition(record)), prior, tape))
    close(torch.stack([x for x, _ in prior.network.seen]), record["net_x"])
    assert [int(t[0]) for _, t in prior.network.seen] == record["net_t"][:, 0].tolist()
    close(torch.stack([s.x0 for s in states]), record["pred_x_start"])
    close((states[-1].estimate + 1) / 2, record["final01"])
    after = torch.stack([(s.x + 1) / 2 for s in states])
    shown = record["images01"]
    close(after[-len(shown) :], shown[-len(after) :])
    assert tape.position == len(record["noise_tape"])


@pytest.mark.parametrize("case", CASES)
def test_predictions_are_the_recorded_ones(recorded, toy_residual, close, case):
    record = recorded("rddm")[case]
    prior = toy_residual(process_of(record.config), record.config["toy"])
    y = condition(record)
    for k, t in enumerate(record["net_t"][:, 0].tolist()):
        known = prior.predict(record["net_x"][k], y, t)
        close(known.residual, record["pred_res"][k])
        close(known.eps, record["pred_noise"][k])


@pytest.mark.parametrize("case", CASES)
def test_training_follows_the_recorded_losses(recorded, toy_residual, close, case):
    record = recorded("rddm")[case]
    process = process_of(record.config)
    network = toy_residual(process, record.config["toy"]).network
    x0, y = 2 * record["train_gt01"] - 1, condition(record)
    for t in record.config["train_t"]:
        eps = record[f"train_t{t}/noise"]
        x_t = process.diffuse(x0, y, eps, t)
        close(x_t, record[f"train_t{t}/x_t"])
        outputs = network(x_t, torch.full((len(x_t),), float(t), dtype=torch.float64), y)
        close(process.loss(outputs, x0, y, eps, t), record[f"train_t{t}/loss"])
