"""The driver keeps units, seeds, counts and time; a solver sees none of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import operators
import restore
from operators import BadInput, BadType, Diverged
from priors.base import DiffusionPrior
from restore.driver import Interrupted, Settings
from restore.problem import Problem
from restore.reconstruction import read_result
from restore.solvers.base import Solver, State


class Unit(DiffusionPrior):
    """Standard normal pictures in native units, shown to users in [0, 1]-like units: x = 0.5 + 0.25 z."""

    def __init__(self) -> None:
        super().__init__(shift=0.5, scale=0.25, channels=(1, 3))
        self.name = "unit"

    def denoise_native(self, z: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        return z / (1 + sigma.reshape(-1, 1, 1, 1) ** 2)


@dataclasses.dataclass(frozen=True)
class PosteriorMean(Solver):
    """The exact posterior mean for the identity operator and that prior, plus a little of its own noise."""

    steps: int = 3
    jitter: float = 0.0
    fail_at: int = -1
    failure: Any = float("nan")

    def iterate(
        self, problem: Problem, prior: DiffusionPrior | None, noise: operators.common.randomness.Noise
    ) -> Iterator[State]:
        assert prior is not None and (prior.shift, prior.scale) == (0.0, 1.0)
        for step in range(self.steps):
            x = prior.denoise(problem.y, problem.sigma) + self.jitter * noise.normal("step", problem.y)
            if step == self.fail_at:
                x = x * self.failure
            yield State(x=x, x0=x, estimate=x, step=step, sigma=problem.sigma)


@pytest.fixture
def problem() -> Problem:
    x = 0.5 + 0.25 * torch.randn(2, 3, 6, 7, generator=torch.Generator().manual_seed(0))
    noise = operators.noise.Gaussian(sigma=0.1)
    y = noise.sample(x, operators.NoiseSource(0, ["a", "b"]))
    return Problem(y, operators.Identity((3, 6, 7)), noise, truth=x)


def test_the_answer_is_the_posterior_mean_in_picture_units(problem: Problem) -> None:
    result = restore.solve(problem, Unit(), PosteriorMean())
    expected = 0.5 + (problem.y - 0.5) * 0.0625 / (0.0625 + 0.01)
    torch.testing.assert_close(result.estimate, expected)


def test_network_calls_are_counted_per_sample_and_time_is_split(problem: Problem) -> None:
    result = restore.solve(problem, Unit(), PosteriorMean(steps=4, jitter=0.1), samples=3)
    assert result.nfe == 4
    assert result.seconds >= result.timing.network + result.timing.noise
    assert [row["step"] for row in result.trace] == [0, 1, 2, 3]


def test_samples_differ_and_their_mean_and_std_are_reported(problem: Problem) -> None:
    result = restore.solve(problem, Unit(), PosteriorMean(jitter=0.5), samples=3, seed=5)
    assert result.samples.shape == (3, *problem.y.shape)
    torch.testing.assert_close(result.estimate, result.samples.mean(0))
    torch.testing.assert_close(result.std, result.samples.std(0))
    assert not torch.equal(result.samples[0], result.samples[1])
    assert restore.solve(problem, Unit(), PosteriorMean()).std is None


def test_a_sample_depends_on_seed_image_and_number_alone(problem: Problem) -> None:
    both = restore.solve(problem, Unit(), PosteriorMean(jitter=0.5), samples=2, seed=3)
    second = Problem(problem.y[1:], problem.operator, problem.noise, truth=problem.truth[1:])
    alone = restore.solve(second, Unit(), PosteriorMean(jitter=0.5), samples=2, seed=3)
    torch.testing.assert_close(both.samples[:, 1:], alone.samples, rtol=0, atol=0)
    other = restore.solve(second, Unit(), PosteriorMean(jitter=0.5), samples=2, seed=4)
    assert not torch.equal(other.samples, alone.samples)


def test_the_callers_modes_and_random_state_change_nothing(problem: Problem) -> None:
    plain = restore.solve(problem, Unit(), PosteriorMean(jitter=0.5))
    before = torch.random.get_rng_state()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        inside = restore.solve(problem, Unit(), PosteriorMean(jitter=0.5))
    torch.set_default_dtype(torch.float64)
    try:
        double = restore.solve(problem, Unit(), PosteriorMean(jitter=0.5))
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(plain.estimate, inside.estimate)
    assert torch.equal(plain.estimate, double.estimate)
    assert torch.equal(before, torch.random.get_rng_state())


def test_an_interrupted_run_hands_over_its_samples_and_goes_on_from_them(problem: Problem) -> None:
    method, one_by_one = PosteriorMean(jitter=0.5), Settings(batch=1)
    whole = restore.solve(problem, Unit(), method, samples=3, settings=one_by_one)

    def stop(sample: int, state: State, total: int) -> None:
        if sample == 2:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted) as stopped:
        restore.solve(problem, Unit(), method, samples=3, watch=stop, settings=one_by_one)
    assert stopped.value.finished is not None and len(stopped.value.finished.samples) == 2
    resumed = restore.solve(problem, Unit(), method, samples=3, finished=stopped.value.finished, settings=one_by_one)
    assert torch.equal(resumed.samples, whole.samples)
    assert resumed.trace == whole.trace


@pytest.mark.parametrize("failure", [float("nan"), float("inf"), 1e25])  # the square of the last one is not finite
def test_divergence_is_an_error_and_never_a_picture(problem: Problem, failure: float) -> None:
    with pytest.raises(Diverged, match="step 1"):
        restore.solve(problem, Unit(), PosteriorMean(fail_at=1, failure=failure))


def test_a_setting_far_beyond_use_is_named_where_a_run_diverges(problem: Problem) -> None:
    with pytest.raises(Diverged, match=r"solver\.rho=1e\+300"):
        restore.solve(problem, None, restore.solvers.build("tikhonov", rho=1e300))


@pytest.mark.parametrize(("samples", "seed"), [(0, 0), (-1, 0), (1, -1), (1, 2**63), (True, 0)])
def test_samples_and_seeds_out_of_range_are_refused(problem: Problem, samples: int, seed: int) -> None:
    with pytest.raises((BadInput, BadType)):
        restore.solve(problem, Unit(), PosteriorMean(), samples=samples, seed=seed)


def test_a_prior_that_does_not_fit_is_refused_with_the_adapter_that_would(problem: Problem) -> None:
    x = torch.rand(1, 5, 4, 4)
    bands = Problem(x, operators.Identity((5, 4, 4)), operators.noise.Gaussian(sigma=0.1))
    with pytest.raises(BadInput, match="unit:bands"):
        restore.solve(bands, Unit(), PosteriorMean())
    with pytest.raises(BadType, match="DiffusionPrior"):
        restore.solve(problem, torch.nn.Identity(), PosteriorMean())  # type: ignore[arg-type]


def test_a_nonlinear_operator_is_refused_by_a_linear_solver_with_those_that_fit() -> None:
    class Square(operators.Operator):
        def _forward(self, x: torch.Tensor) -> torch.Tensor:
            return x**2

    x = torch.rand(1, 1, 4, 4)
    squared = Problem(x**2, Square((1, 4, 4), (1, 4, 4)), operators.noise.Gaussian(sigma=0.1))
    with pytest.raises(BadInput, match="dps"):
        restore.solve(squared, Unit(), PosteriorMean())


def test_a_result_file_holds_everything_and_damage_is_noticed(problem: Problem, tmp_path: Path) -> None:
    result = restore.solve(problem, Unit(), PosteriorMean(jitter=0.1), samples=2)
    path = result.save(tmp_path / "out.h5")
    stored = read_result(path)
    for name in ("estimate", "samples", "std"):
        assert torch.equal(stored.arrays[name], getattr(result, name))
    assert torch.equal(stored.arrays["y"], problem.y)
    assert stored.attributes["provenance"]["seed"] == 0
    content = bytearray(path.read_bytes())
    place = content.find(result.samples.numpy().tobytes()[:16])
    assert place > 0
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(BadInput, match="damaged"):
        read_result(path)


def test_tiling_is_refused_below_a_usable_size() -> None:
    with pytest.raises(BadInput, match="tile"):
        Settings(tile=10)


def test_memory_does_not_grow_with_the_number_of_steps(problem: Problem) -> None:
    short = restore.solve(problem, Unit(), PosteriorMean(steps=2))
    long = restore.solve(problem, Unit(), PosteriorMean(steps=50))
    per_row = max(len(row) for row in long.trace)
    assert per_row == max(len(row) for row in short.trace)
    assert all(isinstance(value, float) for row in long.trace for value in row.values())
