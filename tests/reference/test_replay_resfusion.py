"""Resfusion against recorded runs of its public code, in float64: schedules, states, targets and losses."""

from __future__ import annotations

import math

import pytest
import torch

from operators import BadInput
from operators.common.randomness import Tape
from priors.residual.resfusion import ResfusionProcess
from restore.solvers.residual.resfusion import Resfusion

CASES = (
    "linear12_resnoise",
    "linear12_x0",
    "linear12_residual",
    "linear100_resnoise",
    "cosine12_resnoise",
    "cosine20_x0",
)
OBJECTIVES = {"epsilon": "resnoise", "sample": "x0", "residual": "residual"}


def process_of(config) -> ResfusionProcess:
    return ResfusionProcess(
        schedule_steps=config["T"],
        schedule=config["schedule"].removesuffix("Pro").lower(),
        objective=OBJECTIVES[config["mode"]],
        penalty={"L2": "l2", "L1": "smooth-l1"}[config["loss_type"]],
    )


@pytest.mark.parametrize("case", CASES)
def test_schedule_is_the_recorded_one(recorded, close, case):
    record = recorded("resfusion")[case]
    process = process_of(record.config)
    assert process.length == int(record["T_acc"])
    count = len(record["alphas_hat"])
    close(process.alpha_hats[:count], record["alphas_hat"])
    transitions = [process.transition(t, t - 1) for t in range(count)]
    close([a for a, _, _ in transitions], record["alphas"])
    close([b for _, b, _ in transitions], record["betas"])
    # The public table repeats its first entry, which only the noise of the last step would see, and that is not added.
    close([v for _, _, v in transitions[1:]], record["betas_hat"][1:])


@pytest.mark.parametrize("column", [1, 4])
def test_start_points_are_the_recorded_ones(reference, column):
    for steps, *row in reference("resfusion")["T_acc_table"].tolist():
        schedule = "linear" if column == 1 else "cosine"
        _, start, root = row[column - 1 : column + 2]
        if schedule == "linear" and steps < 10:
            with pytest.raises(BadInput, match="schedule_steps"):
                ResfusionProcess(schedule_steps=int(steps), schedule=schedule)
        elif math.isfinite(root) and start > 0:
            process = ResfusionProcess(schedule_steps=int(steps), schedule=schedule)
            assert process.length == int(start)
            assert math.sqrt(process.alpha_hat(process.start_index)) == pytest.approx(root, abs=1e-10)


@pytest.mark.parametrize("case", CASES)
def test_states_follow_the_recorded_run(recorded, toy_residual, posed, close, case):
    record = recorded("resfusion")[case]
    prior = toy_residual(process_of(record.config), record.config["toy"])
    tape = Tape(record["noise_tape"])
    states = list(Resfusion().iterate(posed(2 * record["lq01"] - 1), prior, tape))
    reached = torch.stack([prior.network.seen[0][0], *(s.x for s in states)])
    close(reached, record["states"])
    assert [int(t[0]) for _, t in prior.network.seen] == record["net_t"][:, 0].tolist()
    close(states[-1].estimate, record["final"])
    assert tape.position >= len(record["noise_tape"]) - 1


@pytest.mark.parametrize("case", CASES)
def test_training_follows_the_recorded_loss(recorded, toy_residual, close, case):
    record = recorded("resfusion")[case]
    process = process_of(record.config)
    network = toy_residual(process, record.config["toy"]).network
    losses = []
    for k, t in enumerate(record["train_t"].tolist()):
        x0, y = (2 * record[key][k : k + 1] - 1 for key in ("train_gt01", "train_lq01"))
        eps = record["train_noise"][k : k + 1]
        x_t = process.diffuse(x0, y, eps, t)
        close(x_t[0], record["train_x_t"][k])
        close(process.targets(x0, y, eps, t)[0][0], record["train_target"][k])
        outputs = network(x_t, torch.full((1,), float(t), dtype=torch.float64), y)
        losses.append(process.loss(outputs, x0, y, eps, t))
    close(torch.stack(losses).mean(), record["train_loss"])
