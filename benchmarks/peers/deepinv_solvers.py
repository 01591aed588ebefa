"""deepinv's DiffPIR and DPS as entries of the benchmark, on the same measurements and with our network as denoiser.

    restore bench --suite standard --tasks sr4x,inpaint-random --solvers diffpir,dps,deepinv-diffpir,deepinv-dps

deepinv runs with its own physics (checked against ours on the truth) and its default settings but for the step count.
Needs the extra: pip install "restore[peers]".
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from operators import BadInput
from operators.common.errors import import_extra
from priors.base import DiffusionPrior
from restore.problem import Problem

LEAST_SIGMA = 1e-3  # deepinv divides by the noise level
SAME = 1e-5  # largest difference between deepinv's operator and ours


class Denoiser(torch.nn.Module):
    """A prior of ours as a deepinv denoiser on [0, 1]; sigma: a number or any tensor.

    deepinv runs its chains in float64; the network answers in the precision it is asked in.
    """

    def __init__(self, prior: DiffusionPrior) -> None:
        super().__init__()
        self.prior = prior

    def forward(self, x: Tensor, sigma: Any, *unused: Any, **also_unused: Any) -> Tensor:
        return self.prior.denoise(x, torch.as_tensor(sigma, dtype=x.dtype).reshape(-1))


def diffpir(problem: Problem, prior: DiffusionPrior, *, task: str, seed: int, steps: int = 20) -> Tensor:
    """deepinv.sampling.DiffPIR."""
    deepinv = import_deepinv()
    physics = physics_of(task, problem)
    sampler = deepinv.sampling.DiffPIR(
        Denoiser(prior), deepinv.optim.data_fidelity.L2(), sigma=max(problem.sigma, LEAST_SIGMA), max_iter=steps
    )
    return sampler(problem.y, physics, x_init=physics.A_dagger(problem.y), seed=seed).float()


def dps(problem: Problem, prior: DiffusionPrior, *, task: str, seed: int, steps: int = 50) -> Tensor:
    """deepinv.sampling.DPS; it differentiates through the network."""
    deepinv = import_deepinv()
    sampler = deepinv.sampling.DPS(Denoiser(prior), num_steps=steps)
    shape = (1, *problem.operator.input_shape)
    with torch.enable_grad():
        estimate = sampler(problem.y, physics_of(task, problem), x_init=shape, seed=seed, denoise_output=False)
    return estimate.detach().float()


def ready() -> None:
    """Import what the entries need, so that it is not counted in their seconds; MissingExtra where it is absent."""
    import_deepinv()


def import_deepinv() -> Any:
    """The package deepinv; MissingExtra with the line that installs it where it is absent."""
    return import_extra("deepinv", do='pip install "restore[peers]"')


def physics_of(task: str, problem: Problem) -> Any:
    """deepinv's own operator for a task, which must give our measurement; BadInput where it has none or another."""
    deepinv = import_deepinv()
    shape = tuple(problem.operator.input_shape)
    if task in ("sr2x", "sr4x", "sr8x"):
        physics = deepinv.physics.DownsamplingMatlab(factor=int(task[2]))
    elif task == "denoise":
        physics = deepinv.physics.Denoising()
    elif task in ("inpaint-random", "inpaint-box"):
        mask = problem.operator.observed
        if mask is None:
            raise BadInput(f"task {task!r} has no mask")
        physics = deepinv.physics.Inpainting(shape, mask=mask.float())
    else:
        raise BadInput(f"task {task!r} has no counterpart in deepinv here", wanted="sr*, denoise or inpaint-*")
    physics.noise_model = deepinv.physics.GaussianNoise(sigma=max(problem.sigma, LEAST_SIGMA))
    if problem.truth is None:
        raise BadInput("no truth to check the operator on")
    difference = float((physics.A(problem.truth) - problem.operator(problem.truth)).abs().max())
    if difference > SAME:
        raise BadInput(f"deepinv's operator for {task} differs from ours by {difference:.1e}")
    return physics
