"""ResShift against recorded runs of its public code, in float64: schedule, states, targets and losses."""

from __future__ import annotations

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from operators.common.randomness import Tape
from priors.residual.prior import NetworkPrior
from priors.residual.resshift import ResShiftProcess
from restore.solvers.residual.resshift import ResShift

CASES = ("v1_s15", "v3_s4_sf4", "residual_pixel_clip", "epsilon_scale", "epsilon", "respaced_15_5")
OBJECTIVES = {"xstart": "x0", "residual": "residual", "epsilon": "eps", "epsilon_scale": "scaled-eps"}


def pooled(picture: Tensor) -> Tensor:
    """The encoder of one recording: 4 x 4 means."""
    return F.avg_pool2d(picture, 4)


class Pooled(NetworkPrior):
    """A prior of pooled latents, decoded by repetition; its network sees `low`, the measurement before enlargement."""

    low: Tensor

    def encode(self, picture: Tensor) -> Tensor:
        return pooled(picture)

    def decode(self, state: Tensor) -> Tensor:
        return state.repeat_interleave(4, -1).repeat_interleave(4, -2)

    def condition(self, y: Tensor, y_up: Tensor, observed: Tensor | None = None) -> Tensor:
        return self.low


def process_of(config) -> ResShiftProcess:
    normalised = ("latent" if config["latent_flag"] else "pixel") if config["normalize_input"] else "none"
    return ResShiftProcess(
        steps=config["steps"],
        kappa=config["kappa"],
        min_noise_level=config["min_noise_level"],
        etas_end=config["etas_end"],
        power=config["schedule_kwargs"]["power"],
        objective=OBJECTIVES[config["predict_type"]],
        input_scaling=normalised,
        clip=(-1.0, 1.0) if config["clip_denoised"] else None,
        weighting="bound" if config["weighted_mse"] else "none",
    )


@pytest.mark.parametrize("case", CASES)
def test_schedule_is_the_recorded_one(recorded, close, case):
    record = recorded("resshift")[case]
    process = process_of(record.config)
    times = process.times(record.config["timestep_respacing"])[::-1]
    kept = times[1:]
    assert kept == record["timestep_map"].tolist()
    close(process.sqrt_etas[kept], record["sqrt_etas"])
    posteriors = [process.posterior(t, u) for u, t in zip(times[:-1], kept, strict=True)]
    close([p[0] for p in posteriors], record["posterior_mean_coef1"])
    close([p[1] for p in posteriors], record["posterior_mean_coef2"])
    close([p[2] for p in posteriors], record["posterior_variance"])


@pytest.mark.parametrize("case", CASES)
def test_states_follow_the_recorded_run(recorded, toy_residual, posed, close, case):
    record = recorded("resshift")[case]
    prior = toy_residual(process_of(record.config), record.config["toy"])
    y_up = record["z_y"]
    if record.config["autoencoder"] == "avgpool4":
        prior = Pooled(prior.network, prior.process)
        prior.low = record["lq"]
        y_up = prior.decode(y_up)  # which encodes to z_y again
    tape = Tape(record["noise_tape"])
    solver = ResShift(steps=record.config["timestep_respacing"])
    states = list(solver.iterate(posed(y_up), prior, tape))
    close(torch.stack([s.x for s in states]), record["states"])
    close(torch.stack([s.x0 for s in states]), record["pred_xstart"])
    close(torch.stack([x for x, _ in prior.network.seen]), record["net_in"])
    assert [int(t[0]) for _, t in prior.network.seen] == record["net_t"][:, 0].tolist()
    assert tape.position == len(record["noise_tape"])
    close(states[-1].estimate, record["final"])


@pytest.mark.parametrize("case", CASES)
def test_training_follows_the_recorded_losses(recorded, toy_residual, close, case):
    record = recorded("resshift")[case]
    process = process_of(record.config)
    kept = record["timestep_map"].tolist()
    respaced = record.config["timestep_respacing"] is not None
    plain = dataclasses.replace(process, weighting="none") if respaced else process
    unclipped = dataclasses.replace(process, clip=None)  # training sees the prediction as it is
    network = toy_residual(process, record.config["toy"]).network
    for k, index in enumerate(record["train_t"].tolist()):
        t = kept[index]
        x0, y, eps = (record[key][k : k + 1] for key in ("train_gt", "train_lq", "train_noise"))
        low = y
        if record.config["autoencoder"] == "avgpool4":
            y = pooled(F.interpolate(y, scale_factor=record.config["sf"], mode="bicubic"))
            x0 = pooled(x0)
        x_t = process.diffuse(x0, y, eps, t)
        seen = process.network_input(x_t, t)
        outputs = network(seen, torch.full((1,), float(t), dtype=torch.float64), low)
        close(x_t[0], record["train_z_t"][k])
        close(seen[0], record["train_net_in"][k])
        close(unclipped.read(outputs, x_t, y, t).x0[0], record["train_pred_z0"][k])
        weight = process.weight(t, kept) if respaced else 1.0
        close(weight * plain.loss(outputs, x0, y, eps, t), record["train_loss"][k])


@pytest.mark.parametrize("case", ["epsilon_scale", "v1_s15", "respaced_15_5"])
def test_weights_of_the_bound_are_the_recorded_ones(recorded, close, case):
    record = recorded("resshift")[case]
    process, kept = process_of(record.config), record["timestep_map"].tolist()
    close([process.weight(t, kept) for t in kept], record["weight_loss_mse"])


def test_the_first_prediction_of_a_long_run_is_the_one_step_answer(recorded, toy_residual, posed, close):
    record = recorded("resshift")["v1_s15"]
    prior = toy_residual(process_of(record.config), record.config["toy"])
    first = next(ResShift().iterate(posed(record["z_y"]), prior, Tape(record["noise_tape"])))
    close(first.x0, record["pred_xstart"][0])
