"""MR Sampler against recorded runs of its public code, in float64: grids, states and predictions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from operators.randomness import Tape
from priors.residual.ir_sde import IRSDE as Process
from restore.solvers.mrs import MRS, Multistep

PLAIN = [
    f"{equation}_{prediction}_o{order}_{target}"
    for equation in ("ode", "sde")
    for prediction in ("data", "noise")
    for order in (1, 2)
    for target in ("noise", "data", "velocity")
]
GRIDS = [f"sched_{grid}" for grid in ("linspace", "leading", "trailing", "karras-n", "karras-t")]
COUNTS = ["N5_linspace", "N20_linspace", "N5_linear-lambda", "N20_linear-lambda", "N5_ode"]
CASES = [*PLAIN, "ode_data_o3_noise", "ode_noise_o3_noise", *GRIDS, *COUNTS, "denoise_last", "threshold"]


def process_of(config) -> Process:
    return Process(
        steps=config["T"],
        max_sigma=config["max_sigma"],
        schedule=config["schedule"],
        eps=config["eps"],
        first_theta="keep",
        between="tables",
        objective={"data": "x0"}.get(config["fit_target"], config["fit_target"]),
    )


def solver_of(config, **settings) -> MRS:
    given = {
        "steps": config["num_sample_steps"],
        "order": config["order"],
        "equation": config["solver_type"],
        "prediction": config["parameterization"],
        "grid": config["time_schedule"],
        "lambda_min": config["lambda_min"],
        "threshold": config["threshold_ratio"] if config["thresholding"] else None,
        "threshold_max": config["threshold_max"],
        "last": "data" if config["denoise_last"] else "step",
        "formulas": "released",
    }
    return MRS(**given | settings)


def test_schedule_is_the_recorded_one(reference, close):
    arrays = reference("mrs")
    process = Process(max_sigma=50, first_theta="keep")
    close(process.thetas, arrays["schedule/thetas"])
    close(process.dt, arrays["schedule/dt"])
    close(process.alphas, arrays["schedule/alpha_array"])
    close(process.sigma_bars, arrays["schedule/sigma_array"])
    close(np.log(process.alphas / process.sigma_bars), arrays["schedule/lambda_array"])


@pytest.mark.parametrize("case", CASES)
def test_times_and_orders_are_the_recorded_ones(recorded, close, case):
    record = recorded("mrs")[case]
    process, solver = process_of(record.config), solver_of(record.config)
    times = solver.times(process)
    close(times, record["timesteps"])
    close([process.alpha(t) for t in times], record["alphas"])
    close([process.sigma_bar(t) for t in times], record["sigmas"])
    close([Multistep(solver, process).log_ratio(t) for t in times], record["lambdas"])
    orders = record["step_order"].tolist()
    assert solver.orders()[: len(orders)] == orders


@pytest.mark.parametrize("case", CASES)
def test_states_follow_the_recorded_run(recorded, toy_residual, posed, close, case):
    record = recorded("mrs")[case]
    prior = toy_residual(process_of(record.config), record.config["toy"])
    tape = Tape(record["noise_tape"])
    states = list(solver_of(record.config).iterate(posed(record["mu"]), prior, tape))
    count = len(record["states"])
    close(torch.stack([s.x for s in states[:count]]), record["states"])
    close(states[-1].x.clamp(0, 1), record["final_clipped"])
    close([float(t[0]) for _, t in prior.network.seen], record["net_t"])
    assert tape.position == len(record["noise_tape"])


@pytest.mark.parametrize("case", ["ode_data_o2_velocity", "sde_noise_o2_data", "ode_noise_o1_velocity"])
def test_predictions_are_converted_as_recorded(recorded, toy_residual, close, case):
    record = recorded("mrs")[case]
    process = process_of(record.config)
    states = torch.stack([process.start(record["mu"], Tape(record["noise_tape"]), 100), *record["states"]])
    for x_t, t, q, f in zip(states[:-1], record["net_t"].tolist(), record["q"], record["net_out"], strict=True):
        known = process.read([f], x_t, record["mu"], t)
        close(known.x0 if record.config["parameterization"] == "data" else known.eps, q)
