"""DiffPIR against recorded runs of its public code, which works on [0, 1] where the prior works on [-1, 1]."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from operators.common.randomness import Tape
from operators.core.base import LinearOperator
from operators.noise import Gaussian
from priors.analytic.gaussian_mixture import GaussianMixture
from priors.schedules import VP
from restore.problem import Problem
from restore.solvers.diffusion.diffpir import DiffPIR
from restore.solvers.parts.start import start_picture

TOLERANCE = {"rtol": 0.0, "atol": 2e-6}
ALPHA_BARS = torch.from_numpy(np.cumprod(1 - np.linspace(1e-4, 2e-2, 1000, dtype=np.float32)))


def _with_single_tables(prior: GaussianMixture) -> GaussianMixture:
    """The public script renoises and weighs with float32 tables, while its network has float64 ones.

    1 - alpha_bar loses four digits at t = 0 there, which moves the answer by 7e-6.
    """
    prior.alpha = lambda t: float(ALPHA_BARS[t].sqrt())
    prior.sigma = lambda t: float((1 - ALPHA_BARS[t]).sqrt())
    return prior


class CircularBlur(LinearOperator):
    """Circular convolution with a kernel centred at size // 2, then every `factor`-th pixel from index 0."""

    def __init__(self, kernel: Tensor, *, factor: int) -> None:
        side = 16 // factor
        super().__init__((3, 16, 16), (3, side, side))
        self.factor = factor
        placed = torch.zeros(16, 16, dtype=torch.float64)
        placed[: kernel.shape[0], : kernel.shape[1]] = kernel
        centre = [-(s // 2) for s in kernel.shape]
        self.transfer = torch.fft.fft2(torch.roll(placed, centre, (0, 1)))

    def _forward(self, x: Tensor) -> Tensor:
        blurred = torch.fft.ifft2(torch.fft.fft2(x) * self.transfer).real
        return blurred[..., :: self.factor, :: self.factor]

    def _adjoint(self, y: Tensor) -> Tensor:
        full = y.new_zeros(y.shape[0], 3, 16, 16)
        full[..., :: self.factor, :: self.factor] = y
        return torch.fft.ifft2(torch.fft.fft2(full) * self.transfer.conj()).real

    def solve(self, rhs: Tensor, rho: float | Tensor) -> Tensor:
        """Dense, so that the closed form of the public code is judged by another route."""
        # Channels are blurred alike, so one channel's 256 x 256 system serves the three.
        unit = torch.eye(256, dtype=torch.float64).reshape(256, 1, 16, 16).expand(-1, 3, -1, -1)
        matrix = self._forward(unit)[:, 0].flatten(1)
        normal = matrix @ matrix.T + rho * torch.eye(256, dtype=torch.float64)
        return torch.linalg.solve(normal, rhs.reshape(-1, 256).T).T.reshape(rhs.shape)


def _forward(record, operator: str, kept: Callable[..., LinearOperator]) -> LinearOperator:
    if operator == "mask":
        return kept(torch.as_tensor(record["mask"]))
    return CircularBlur(torch.as_tensor(record["blur_kernel"]), factor=2 if operator == "blursr2" else 1)


def _problem(record, operator: str, kept: Callable[..., LinearOperator]) -> Problem:
    y = torch.as_tensor(record[f"{operator}__y"])
    native = y if operator == "mask" else 2 * y - 1
    return Problem(
        native, _forward(record, operator, kept), Gaussian(sigma=2 * float(record[f"{operator}__noise_level"]))
    )


@pytest.mark.parametrize("variant", ["a", "b"])
@pytest.mark.parametrize("operator", ["gblur", "blursr2", "mask"])
def test_diffpir_follows_the_recorded_run(reference, toy_prior, kept, operator, variant):
    record = reference("diffpir")
    name = f"{operator}__{variant}"
    zeta, lambda_, steps, _ = record[f"{name}__cfg"]
    solver = DiffPIR(
        steps=int(steps),
        lambda_=lambda_ / 4,
        zeta=zeta,
        spacing=str(record[f"{name}__skip_type"]),
        start="zero",
        rho_floor=0.0,
        answer="iterate",
    )
    times = solver.times()
    assert times == (999 - record[f"{name}__seq"]).tolist()
    problem = _problem(record, operator, kept)
    first = torch.as_tensor(record[f"{name}__x_init"]) / float(
        (1 - ALPHA_BARS[999]).sqrt()
    )  # stands for start picture and noise together
    tape = Tape([first, *record[f"{name}__noise_all"][1:]])
    prior = _with_single_tables(toy_prior(record, (-1.0, 1.0)))
    states = list(solver.iterate(problem, prior, tape))
    np.testing.assert_allclose(states[-1].estimate, record[f"{name}__x_final"], **TOLERANCE)
    np.testing.assert_allclose(states[-1].x0, record[f"{name}__x0_last"], **TOLERANCE)
    assert tape.position == int(record[f"{name}__n_draws"])


@pytest.mark.parametrize("variant", ["a", "b"])
@pytest.mark.parametrize("operator", ["gblur", "mask"])
def test_published_lambda_is_four_times_ours(reference, toy_prior, kept, operator, variant):
    record = reference("diffpir")
    name = f"{operator}__{variant}"
    zeta, lambda_, steps, _ = record[f"{name}__cfg"]
    skip = str(record[f"{name}__skip_type"])
    solver = DiffPIR(steps=int(steps), lambda_=lambda_ / 4, zeta=zeta, spacing=skip, start="zero", rho_floor=0.0)
    draws = Tape(torch.zeros(int(record[f"{name}__n_draws"]), 1, 3, 16, 16))
    states = solver.iterate(_problem(record, operator, kept), _with_single_tables(toy_prior(record, None)), draws)
    ours = {t: state.info["rho"] for t, state in zip(solver.times(), states, strict=True)}
    published = record[f"{name}__rhos"]  # indexed by t; float32 tables
    np.testing.assert_allclose(list(ours.values()), [published[t] for t in ours], rtol=2e-6)


def test_recorded_start_is_the_scaled_measurement_under_noise(reference):
    record = reference("diffpir")
    schedule = VP()
    picture = 2 * record["gblur__y"] - 1
    start = schedule.alpha(999) * picture + schedule.sigma(999) * record["gblur__a__noise_all"][0]
    np.testing.assert_allclose(start, record["gblur__a__x_init"], **TOLERANCE)


def test_start_pictures_of_other_methods_agree_with_the_measurement(reference, kept):
    record = reference("diffpir")
    problem = _problem(record, "mask", kept)
    start = start_picture(problem, "estimate")
    holes = torch.as_tensor(record["mask"]) == 0
    assert float(problem.residual(start).abs().max()) < 0.1
    assert float(start[..., holes].abs().max()) < float(problem.y.abs().max())
