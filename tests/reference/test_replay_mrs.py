"""MR Sampler against recorded runs of its public code, in float64: grids, states and predictions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from operators.common.randomness import Tape
from operators.core.identity import Identity
from operators.noise import Gaussian
from priors.residual.analytic import GaussianPair
from priors.residual.ir_sde import IRSDEProcess
from restore.problem import Problem
from restore.solvers.residual.mrs import MRS, Multistep

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


def process_of(config) -> IRSDEProcess:
    return IRSDEProcess(
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
    process = IRSDEProcess(max_sigma=50, first_theta="keep")
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


def oracle(record, formulas: str, *, steps: int, order: int, equation: str = "ode"):
    """States on the recorded Gaussian, whose exact predictor is known, and the closed-form end point."""
    process, mu = process_of(record.config), record["mu"]
    mean = torch.full(mu.shape[1:], record.config["oracle_m"], dtype=torch.float64)
    unit = torch.eye(mu[0].numel(), dtype=torch.float64)
    prior = GaussianPair(
        process, mean=mean, mean_y=mu[0], gain=0 * unit, covariance=record.config["oracle_s"] ** 2 * unit
    )
    solver = solver_of(record.config, steps=steps, order=order, equation=equation, formulas=formulas)
    problem = Problem(mu, Identity(tuple(mu.shape[1:])), Gaussian(sigma=0.0))
    return list(solver.iterate(problem, prior, Tape(record["noise_tape"])))


ORACLES = [f"oracle_ode_o{order}_N{steps}" for order in (1, 2, 3) for steps in (5, 10, 20, 40)]
ORACLES += [f"oracle_sde_o{order}_N{steps}" for order in (1, 2) for steps in (5, 10, 20, 40)]


@pytest.mark.parametrize("case", ORACLES)
def test_the_released_formulas_follow_the_recorded_run_on_a_gaussian(recorded, close, case):
    record = recorded("mrs_oracle")[case]
    states = oracle(
        record,
        "released",
        steps=record.config["num_sample_steps"],
        order=record.config["order"],
        equation=record.config["solver_type"],
    )
    close(torch.stack([s.x for s in states]), record["states"])


@pytest.mark.parametrize(
    ("formulas", "order", "errors"),
    [
        ("released", 2, {20: 0.0206, 40: 0.0091, 80: 0.0031}),
        ("consistent", 2, {20: 0.0154, 40: 0.0038, 80: 0.00093}),
        ("released", 3, {20: 0.0126, 40: 0.0076, 80: 0.0018}),
        ("consistent", 3, {20: 0.00182, 40: 0.000115, 80: 7.07e-6}),
    ],
)
def test_consistent_formulas_keep_their_order_where_the_released_ones_lose_it(recorded, formulas, order, errors):
    record = recorded("mrs_oracle")[f"oracle_ode_o{order}_N40"]
    exact = record["exact_ode_endpoint"]
    found = {n: float((oracle(record, formulas, steps=n, order=order)[-1].x - exact).abs().max()) for n in errors}
    for steps, expected in errors.items():
        assert found[steps] == pytest.approx(expected, rel=0.03)  # two digits are given
    if formulas == "consistent":
        assert found[20] / found[40] > 0.93 * 2**order
