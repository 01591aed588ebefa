"""IR-SDE against recorded runs of its public code, in float64: schedules, states, targets and losses."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from operators.common.randomness import Tape
from priors.residual.ir_sde import IRSDEProcess
from restore.solvers.residual.ir_sde import IRSDE

CASES = ("cosine100_s10", "cosine100_s50", "linear100_s30", "constant20_s50")
every_case = pytest.mark.parametrize("case", CASES)


def process_of(config) -> IRSDEProcess:
    return IRSDEProcess(
        steps=config["T"], max_sigma=config["max_sigma"], schedule=config["schedule"], eps=config["eps"]
    )


@every_case
def test_schedule_is_the_recorded_one(recorded, close, case):
    record = recorded("irsde")[case]
    process = process_of(record.config)
    close(process.thetas, record["thetas"])
    close(process.sums, record["thetas_cumsum"])
    close(process.dt, record["dt"])
    close(process.spread, record["max_sigma_unit"])
    close(process.spread * np.sqrt(2 * process.thetas), record["sigmas"])
    close(process.sigma_bars, record["sigma_bars"])
    close([process.bridge(t, t - 1)[2] for t in range(1, process.steps + 1)], record["post_std"])


@every_case
@pytest.mark.parametrize("sampler", ["sde", "ode", "posterior"])
def test_states_follow_the_recorded_run(recorded, toy_residual, posed, close, case, sampler):
    record = recorded("irsde")[case]
    prior = toy_residual(process_of(record.config), record.config["toy"])
    steps = [] if sampler == "ode" else list(record[f"{sampler}/noise_tape"])
    tape = Tape([record["xT_noise"], *steps])
    states = list(IRSDE(sampler=sampler).iterate(posed(record["mu"]), prior, tape))
    close(prior.network.seen[0][0], record["xT"])
    close(torch.stack([s.x for s in states]), record[f"{sampler}/states"])
    close(states[-1].estimate, record[f"{sampler}/final"])
    assert tape.position == 1 + len(steps)


@every_case
def test_the_chain_of_optimal_steps_ends_where_it_was_recorded(recorded, close, case):
    record = recorded("irsde")[case]
    process = process_of(record.config)
    x = record["xT"]
    for t in range(process.steps, 0, -1):
        x = process.optimum(x, record["mu"], record["x0"], t, t - 1)
    close(x, record["optimal_reverse"])


@every_case
def test_training_follows_the_recorded_loss(recorded, toy_residual, close, case):
    record = recorded("irsde")[case]
    process = process_of(record.config)
    network = toy_residual(process, record.config["toy"]).network
    losses = []
    for k, t in enumerate(record["train/t"].flatten().tolist()):
        x0, y, eps = (record[f"train/{key}"][k : k + 1] for key in ("x0", "mu", "noise"))
        x_t = process.diffuse(x0, y, eps, t)
        close(x_t[0], record["train/state"][k])
        outputs = network(x_t, torch.full((1,), float(t), dtype=torch.float64), y)
        close(outputs[0][0], record["train/net_out"][k])
        expected = process.euler_mean(x_t, y, process.read(outputs, x_t, y, t), t, t - 1)
        close(expected[0], record["train/expected"][k])
        close(process.optimum(x_t, y, x0, t, t - 1)[0], record["train/optimum"][k])
        losses.append(process.loss(outputs, x0, y, eps, t))
    close(torch.stack(losses).mean(), record["train/loss_l1"])
