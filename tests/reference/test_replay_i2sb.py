"""I2SB against recorded runs of its public code, in float64: schedules, states, predictions and targets."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from operators.common.randomness import Tape
from priors.residual.i2sb import I2SBProcess
from restore.solvers.residual.i2sb import I2SB

every_case = pytest.mark.parametrize("case", ["sde_nfe10", "otode_nfe5", "clip_bmax1"])


def process_of(config) -> I2SBProcess:
    return I2SBProcess(
        steps=config["interval"],
        beta_max=config["beta_max"],
        bridge="ode" if config["ot_ode"] else "sde",
        clip=(-1.0, 1.0) if config["clip"] else None,
    )


@every_case
def test_schedule_is_the_recorded_one(recorded, close, case):
    record = recorded("i2sb")[case]
    process = process_of(record.config)
    close(process.betas, record["betas"])
    close(np.sqrt(process.forward_variances), record["std_fwd"])
    close(np.sqrt(process.backward_variances), record["std_bwd"])
    marginals = [process.marginal(t) for t in range(process.steps)]
    close([m.a for m in marginals], record["mu_x0"])
    close([m.b for m in marginals], record["mu_x1"])
    if process.bridge == "sde":
        close([m.s for m in marginals], record["std_sb"])
    assert process.times(record.config["nfe"])[::-1] == record["steps"].tolist()


@every_case
def test_states_follow_the_recorded_run(recorded, toy_residual, posed, close, case):
    record = recorded("i2sb")[case]
    prior = toy_residual(process_of(record.config), record.config["toy"])
    tape = Tape(record["noise_tape"])
    states = list(I2SB(steps=record.config["nfe"]).iterate(posed(record["x1"]), prior, tape))
    close(torch.stack([s.x for s in states]), record["states"])
    close(torch.stack([s.x0 for s in states]), record["pred_x0"])
    close(states[-1].estimate, record["final"])
    assert tape.position == len(record["noise_tape"])


@every_case
def test_training_follows_the_recorded_targets(recorded, close, case):
    record = recorded("i2sb")[case]
    process = process_of(record.config)
    for k, t in enumerate(record["train_t"].tolist()):
        x0, y = record["train_x0"][k], record["train_x1"][k]
        eps = record["train_noise"][k] if len(record["train_noise"]) else torch.zeros_like(x0)
        close(process.diffuse(x0, y, eps, t), record["train_xt"][k])
        close(process.targets(x0, y, eps, t)[0], record["train_label"][k])
