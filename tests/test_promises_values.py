"""What a script may hand over: types, layouts, extreme values. A right answer or a refusal, never a wrong number."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

import operators
import priors
import restore
from operators import BadInput, BadType
from priors import residual
from priors.base import DiffusionPrior, Prior
from priors.files.checkpoints import save_network
from priors.networks.unet import UNet
from priors.residual.prior import ResidualPrior
from priors.residual.process import Prediction
from restore import solvers, tasks

SIDE = 16
UNLIKE = ("sr4x", "cs4x", "denoise-poisson", "inpaint-random", "deblur-motion")  # no two take the same path
# Solvers of one kind of operator refuse these tasks; the solver laws give them problems of their own.
SPECIAL = {"hio", "measurement", "bicubic", "biharmonic"}
GENERAL = [name for name in solvers.REGISTRY if name not in SPECIAL and not solvers.REGISTRY.load(name).needs_identity]
every_solver = pytest.mark.parametrize("solver", GENERAL)
every_kind_of_task = pytest.mark.parametrize("task", UNLIKE)


class Shrink(DiffusionPrior):
    """Standard normal pictures in [-1, 1]-like units: a prior of one line."""

    def __init__(self) -> None:
        super().__init__(shift=0.5, scale=0.5, native_clip=(-1.0, 1.0))
        self.name = "shrink"

    def denoise_native(self, z: Tensor, sigma: Tensor) -> Tensor:
        return z / (1 + sigma.reshape(-1, 1, 1, 1) ** 2)


class Stay(ResidualPrior):
    """The measurement is the picture: a residual prior of one line."""

    def predict(self, x_t: Tensor, y_up: Tensor, t: float, *, condition: Tensor | None = None) -> Prediction:
        return self.process.from_x0(y_up, x_t, y_up, t)


def suited(method: solvers.Solver) -> Prior | None:
    """A prior of the kind the solver takes."""
    if not method.needs_prior:
        return None
    if method.usual_prior:
        return priors.load(method.usual_prior)
    return Shrink() if method.takes(Shrink()) else Stay(residual.build(method.kind_taken()))


@pytest.fixture
def picture() -> Tensor:
    return torch.rand(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))


def quick(solver: str) -> solvers.Solver:
    known = solvers.REGISTRY.parameters(solver)
    return solvers.build(solver, **{key: 2 for key in ("steps", "iterations") if key in known})


def estimate(task: str, picture: Tensor, solver: str = "diffpir") -> Tensor:
    method = quick(solver)
    problem = tasks.load(task).problem(picture)
    return restore.solve(problem, suited(method), method).estimate


LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "channels last": lambda x: x.contiguous(memory_format=torch.channels_last),
    "every second column": lambda x: x.repeat_interleave(2, -1)[..., ::2],
    "requires grad": lambda x: x.clone().requires_grad_(),
    "made in inference mode": lambda x: torch.inference_mode()(x.clone)(),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@every_kind_of_task
def test_layout_and_gradients_of_the_picture_do_not_matter(layout: str, task: str, picture: Tensor) -> None:
    found = estimate(task, LAYOUTS[layout](picture))
    assert torch.equal(found, estimate(task, picture)) and not found.requires_grad


@every_kind_of_task
def test_an_expanded_picture_is_its_copy(task: str, picture: Tensor) -> None:
    gray = picture[:, :1].expand(2, 3, SIDE, SIDE)
    assert torch.equal(estimate(task, gray), estimate(task, gray.contiguous()))


@every_kind_of_task
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_single(task: str, dtype: torch.dtype, picture: Tensor) -> None:
    found = estimate(task, picture.to(dtype))
    assert found.dtype == torch.float32
    assert torch.equal(found, estimate(task, picture.to(dtype).float()))


def test_a_measurement_in_half_precision_is_solved_in_single(picture: Tensor) -> None:
    physics = operators.build("downsample", (3, SIDE, SIDE), factor=4)
    y = physics(picture).half()
    found, expected = (
        restore.solve(restore.Problem(data, physics, operators.noise.Gaussian(sigma=0.0)), Shrink(), quick("diffpir"))
        for data in (y, y.float())
    )
    assert torch.equal(found.estimate, expected.estimate)


@every_kind_of_task
def test_double_precision_stays_double(task: str, picture: Tensor) -> None:
    assert estimate(task, picture.double()).dtype == torch.float64


@every_solver
@every_kind_of_task
def test_an_empty_batch_gives_an_empty_batch(task: str, solver: str, picture: Tensor) -> None:
    assert estimate(task, picture[:0], solver).shape == (0, 3, SIDE, SIDE)


UNUSABLE: dict[str, Callable[[Tensor], Tensor]] = {
    "whole numbers": lambda x: (255 * x).to(torch.uint8),
    "true and false": lambda x: x > 0.5,
    "complex": lambda x: x.to(torch.complex64),
    "a volume": lambda x: x[None],
    "no columns": lambda x: x[..., :0],
    "one NaN": lambda x: x.index_fill(-1, torch.tensor([3]), float("nan")),
    "one infinity": lambda x: x.index_fill(-1, torch.tensor([3]), float("inf")),
    "0 to 255": lambda x: 255 * x,
    "negative": lambda x: x - 0.5,
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_pictures_that_cannot_be_used_are_refused(kind: str, picture: Tensor) -> None:
    with pytest.raises((BadInput, BadType)) as refused:
        tasks.load("denoise").problem(UNUSABLE[kind](picture))
    assert "wanted" in str(refused.value) or "the first at (0, 0, 0, 3)" in str(refused.value)


EXTREME: dict[str, Callable[[Tensor], Tensor]] = {
    "black": torch.zeros_like,
    "white": torch.ones_like,
    "grey": lambda x: torch.full_like(x, 0.5),
    "one white pixel": lambda x: torch.zeros_like(x).index_put((torch.tensor(0), torch.tensor(0)), torch.eye(SIDE)),
}


@every_solver
@every_kind_of_task
@pytest.mark.parametrize("kind", EXTREME)
def test_flat_and_nearly_empty_pictures_have_finite_estimates(
    task: str, solver: str, kind: str, picture: Tensor
) -> None:
    assert bool(torch.isfinite(estimate(task, EXTREME[kind](picture)[:1], solver)).all())


@every_solver
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 7), (3, 5, 1), (3, 2, 2), (3, 7, 13)])
def test_tiny_and_narrow_pictures_keep_their_size(solver: str, shape: tuple[int, ...]) -> None:
    picture = torch.rand(1, *shape, generator=torch.Generator().manual_seed(1))
    for task in ("denoise", "deblur-gaussian", "cs4x"):
        found = estimate(task, picture, solver)
        assert found.shape == picture.shape and bool(torch.isfinite(found).all())


@pytest.mark.parametrize(("task", "smallest"), [("sr2x", "2 x 2"), ("sr4x", "4 x 4"), ("sr8x", "8 x 8")])
def test_a_picture_below_the_smallest_size_is_refused_with_that_size(task: str, smallest: str) -> None:
    with pytest.raises(BadInput, match=f"at least {smallest}"):
        tasks.load(task).problem(torch.rand(1, 3, 1, 7))


def test_a_mask_of_ones_without_noise_gives_the_picture_back(picture: Tensor) -> None:
    whole = operators.Mask((3, SIDE, SIDE), mask=torch.ones(SIDE, SIDE))
    problem = restore.Problem(picture, whole, operators.noise.Gaussian(sigma=0.0))
    # The data step weighs y against the prior by a last noise level that is small and not zero.
    found = restore.solve(problem, Shrink(), quick("diffpir")).estimate
    torch.testing.assert_close(found, picture, rtol=0, atol=2e-3)


@every_solver
def test_a_single_measurement_has_a_finite_estimate(solver: str, picture: Tensor) -> None:
    keep = torch.zeros(SIDE, SIDE)
    keep[3, 4] = 1
    physics = operators.Mask((3, SIDE, SIDE), mask=keep)
    method = quick(solver)
    problem = restore.Problem(physics(picture), physics, operators.noise.Gaussian(sigma=0.0))
    found = restore.solve(problem, suited(method), method).estimate
    assert bool(torch.isfinite(found).all())


@pytest.mark.parametrize("name", ["diffpir", "dps", "red-diff"])
def test_more_steps_than_the_schedule_has_times_are_refused_with_the_range(name: str) -> None:
    with pytest.raises(BadInput, match="from 1 to 1000"):
        solvers.build(name, steps=10**6)


@every_solver
def test_two_threads_may_share_an_operator_and_a_prior(solver: str, picture: Tensor) -> None:
    problem, method = tasks.load("deblur-motion").problem(picture), quick(solver)
    shared = suited(method)
    alone = {seed: restore.solve(problem, shared, method, seed=seed).estimate for seed in (1, 2)}
    fresh = tasks.load("deblur-motion").problem(picture)  # nothing computed and kept yet: norms, spectra
    together: dict[int, Tensor] = {}

    def work(seed: int) -> None:
        together[seed] = restore.solve(fresh, shared, method, seed=seed).estimate

    threads = [threading.Thread(target=work, args=(seed,)) for seed in alone]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(alone[seed], together[seed]) for seed in alone)


@every_solver
@every_kind_of_task
def test_the_callers_default_type_and_device_do_not_matter(task: str, solver: str, picture: Tensor) -> None:
    expected = estimate(task, picture, solver)
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")  # any array made there has no values and would fail at its first use
    try:
        found = estimate(task, picture, solver)
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(torch.float32)
    assert torch.equal(found, expected)


def test_weights_load_alike_whatever_the_callers_modes(tmp_path: Path) -> None:
    settings = {"channels": 3, "widths": [8], "blocks": [1], "unshuffle": 2, "embedding": 16}
    path = tmp_path / "tiny.safetensors"
    with torch.random.fork_rng(devices=[]):
        network = UNet(**settings)
    save_network(
        path,
        network,
        architecture="unet",
        settings=settings,
        preconditioning={"kind": "edm", "sigma_data": 0.5},
        notes={},
    )
    plain = priors.load(path).state_dict()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.inference_mode(), torch.device("meta"):
            loaded = priors.load(path)
    finally:
        torch.set_default_dtype(torch.float32)
    assert not any(weights.is_inference() for weights in loaded.parameters())
    assert all(torch.equal(weights, plain[name]) for name, weights in loaded.state_dict().items())
