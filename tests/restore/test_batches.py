"""Samples run in batches: the noise of the loop, its answers to rounding, memory within the bound."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch import Tensor

import operators
import restore
from operators import BadInput, BadType, Diverged
from operators.common.randomness import Noise
from priors.base import DiffusionPrior
from restore.driver import Interrupted, Settings
from restore.problem import Problem
from restore.runs.meters import MeteredNoise
from restore.runs.pieces import Piece, evenly, most_entries
from restore.solvers import Solver, State
from restore.solvers.classical.hio import HIO

SHAPE = (1, 6, 7)


class Unit(DiffusionPrior):
    """Standard normal pictures; a device with room for so many of them at a time, and a record of what it held."""

    def __init__(self, room: int = 1000) -> None:
        super().__init__()
        self.room, self.held = room, list[int]()

    def denoise_native(self, z: Tensor, sigma: Tensor) -> Tensor:
        if len(z) > self.room:
            raise torch.OutOfMemoryError("out of memory")
        self.held.append(len(z))
        return z / (1 + sigma.reshape(-1, 1, 1, 1) ** 2)


@dataclass(frozen=True)
class Walk(Solver):
    """Steps of noise around the posterior mean; every operation is one of single pixels, and so the same in a batch."""

    steps: int = 3

    def iterate(self, problem: Problem, prior: DiffusionPrior | None, noise: Noise) -> Iterator[State]:
        assert prior is not None
        x = problem.y
        for step in range(self.steps):
            x = prior.denoise(x, problem.sigma) + noise.normal("step", x) + noise.uniform("more", x)
            yield State(x=x, x0=x, estimate=x, step=step, sigma=problem.sigma)


@dataclass(frozen=True)
class Flock(Solver):
    """Particles drawn towards the mean of all samples of their picture."""

    joint: ClassVar[bool] = True
    steps: int = 4

    def iterate(self, problem: Problem, prior: DiffusionPrior | None, noise: Noise) -> Iterator[State]:
        assert prior is not None
        x = problem.y + noise.normal("start", problem.y)
        for step in range(self.steps):
            mean = problem.by_picture(x).mean(0)  # pictures x C x H x W
            x = (prior.denoise(x, 0.5) + problem.for_each_copy(mean)) / 2
            yield State(x=x, x0=x, estimate=x, step=step)


def problem(pictures: int, noise: operators.noise.NoiseModel | None = None) -> Problem:
    truth = torch.rand(pictures, *SHAPE, generator=torch.Generator().manual_seed(0)) + 0.5
    law = operators.noise.Gaussian(sigma=0.1) if noise is None else noise
    y = law.sample(truth, operators.NoiseSource(0, [str(k) for k in range(pictures)]))
    return Problem(y, operators.Identity(SHAPE), law, truth=truth)


@pytest.mark.parametrize("pictures", [1, 3])
@pytest.mark.parametrize("batch", [1, 2, 3, 4, 7, 100])
def test_any_piece_size_gives_the_samples_of_the_loop_bit_for_bit(pictures: int, batch: int) -> None:
    posed = problem(pictures)
    loop = [
        restore.solve(problem(pictures), Unit(), Walk(), samples=k + 1, settings=Settings(batch=1)).samples[k]
        for k in range(5)
    ]
    prior = Unit()
    result = restore.solve(posed, prior, Walk(), samples=5, settings=Settings(batch=batch))
    assert torch.equal(result.samples, torch.stack(loop))
    assert max(prior.held) <= batch and sum(prior.held) == 3 * 5 * pictures
    assert result.nfe == 3 and result.provenance["batch"] == batch
    alone = restore.solve(posed, Unit(), Walk()).trace
    assert [set(row) for row in result.trace] == [set(row) for row in alone]
    for row, expected in zip(result.trace, alone, strict=True):
        assert row == pytest.approx(expected, rel=1e-6)  # a mean over pictures in another order


def test_a_trace_is_that_of_the_first_sample_to_the_last_bit() -> None:
    one, many = (restore.solve(problem(2), Unit(), Walk(), samples=n, seed=3) for n in (1, 4))
    assert one.trace == many.trace


def test_pieces_hold_every_draw_once_and_never_more_than_they_may() -> None:
    for pictures in (0, 1, 2, 5):
        for samples in (1, 2, 9):
            for most in (1, 2, 3, 4, 8, 100):
                whole = Piece(range(pictures), range(samples))
                for joint in (False, True):
                    pieces = whole.cut(most, joint=joint)
                    draws = [(k, s) for p in pieces for s in p.samples for k in p.pictures]
                    assert sorted(draws) == [(k, s) for k in range(pictures) for s in range(samples)]
                    assert all(p.entries <= max(most, samples if joint else 1) for p in pieces)
                    assert all(p.samples == whole.samples for p in pieces) or not joint
                assert [s for _, s in draws] == sorted(s for _, s in draws) or joint


def test_parts_are_even() -> None:
    assert [len(part) for part in evenly(range(8), 6)] == [4, 4]
    assert evenly(range(3, 3), 2) == [range(3, 3)]
    assert evenly(range(2, 5), 0) == [range(2, 3), range(3, 4), range(4, 5)]


def test_where_nobody_says_otherwise_a_batch_holds_the_numbers_of_one_large_picture() -> None:
    def most(shape: tuple[int, ...], device: str = "cpu") -> int:
        return most_entries(Problem(torch.zeros(1, *shape), operators.Identity(shape), noise), torch.device(device))

    noise = operators.noise.Gaussian(sigma=0.1)
    assert most((3, 512, 512)) == 1 and most((3, 600, 600)) == 1
    assert most((3, 256, 256)) == 4 and most((3, 96, 96)) == 28 and most((1, 8, 32, 32)) == 96
    assert most((3, 512, 512), "cuda") == 16
    colour = Problem(torch.zeros(1, 3, 96, 96), operators.Identity((3, 96, 96)), noise)
    assert most_entries(colour, torch.device("cpu"), width=HIO(starts=4).width) == 7
    angles = operators.stack([operators.Identity((1, 128, 128))] * 16)  # where the measurement is the larger of the two
    assert most_entries(Problem(torch.zeros(1, *angles.output_shape), angles, noise), torch.device("cpu")) == 3


def test_one_picture_is_repeated_without_a_copy() -> None:
    one, two = problem(1), problem(2)
    many = one.repeated(5)
    assert many.y.shape[0] == 5 and many.y.data_ptr() == one.y.data_ptr() and many.y.stride(0) == 0
    assert many.truth is not None and one.truth is not None and many.truth.data_ptr() == one.truth.data_ptr()
    assert many.image_ids == one.image_ids * 5 and torch.equal(many.once.y, one.y)
    pair = two.repeated(3)
    assert pair.image_ids == two.image_ids * 3 and torch.equal(pair.once.y, two.y)
    assert torch.equal(pair.by_picture(pair.y)[2], two.y) and torch.equal(pair.for_each_copy(two.y), pair.y)


def test_the_noise_level_of_a_part_is_that_of_all_pictures() -> None:
    posed = problem(3, operators.noise.Poisson(peak=20.0))
    assert posed.part(range(1, 3)).sigma == posed.part(range(1, 3)).repeated(4).once.sigma == posed.sigma
    assert posed.part(range(3)) is posed


def test_samples_of_a_joint_solver_meet_and_pictures_do_not() -> None:
    together = restore.solve(problem(3), Unit(), Flock(), samples=4)
    for batch in (1, 5, 8):
        prior = Unit()
        cut = restore.solve(problem(3), prior, Flock(), samples=4, settings=Settings(batch=batch))
        assert torch.equal(cut.samples, together.samples)  # cut between pictures only
        assert set(prior.held) == {4 * max(batch // 4, 1)} | ({4} if batch == 8 else set())
        assert cut.nfe == together.nfe == 4
    whole = problem(3)
    truth = whole.truth
    assert truth is not None
    second = Problem(whole.y[1:2], whole.operator, whole.noise, truth=truth[1:2])
    assert torch.equal(restore.solve(second, Unit(), Flock(), samples=4).samples, together.samples[:, 1:2])
    fewer = restore.solve(problem(3), Unit(), Flock(), samples=2)
    assert not torch.equal(fewer.samples, together.samples[:2])  # they have met others
    particles = together.samples
    assert float(particles.std(0).mean()) < 0.3 < float(restore.solve(whole, Unit(), Walk(), samples=4).std.mean())


def test_a_joint_run_goes_on_from_a_finished_one_of_the_same_samples_only() -> None:
    method = Flock()
    done = restore.solve(problem(1), Unit(), method, samples=2)
    finished = restore.driver.Finished(done.samples, tuple(done.trace))
    again = restore.solve(problem(1), Unit(), method, samples=2, finished=finished)
    assert torch.equal(again.samples, done.samples) and again.nfe == 0 and again.trace == done.trace
    more = restore.solve(problem(1), Unit(), method, samples=3, finished=finished)
    assert torch.equal(more.samples, restore.solve(problem(1), Unit(), method, samples=3).samples)


@pytest.mark.parametrize("pictures", [1, 2])
def test_of_an_interrupted_run_whole_batches_are_kept(pictures: int) -> None:
    settings = Settings(batch=2 * pictures)
    whole = restore.solve(problem(pictures), Unit(), Walk(), samples=5, settings=settings)
    seen: list[int] = []

    def stop(sample: int, state: State, total: int) -> None:
        seen.append(sample)
        assert len(state.estimate) <= 2 * pictures and total == 3
        if sample == 3 and state.step == 1:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted) as stopped:
        restore.solve(problem(pictures), Unit(), Walk(), samples=5, settings=settings, watch=stop)
    finished = stopped.value.finished
    assert finished is not None and torch.equal(finished.samples, whole.samples[:3])
    assert seen == [0, 0, 0, 1, 1, 1, 3, 3]  # five samples in batches of 1, 2 and 2
    resumed = restore.solve(problem(pictures), Unit(), Walk(), samples=5, settings=settings, finished=finished)
    assert torch.equal(resumed.samples, whole.samples) and resumed.trace == whole.trace and resumed.nfe == 3


def test_a_full_device_is_met_with_smaller_batches_and_said_so() -> None:
    enough = restore.solve(problem(1), Unit(), Walk(), samples=7)
    prior = Unit(room=2)
    tight = restore.solve(problem(1), prior, Walk(), samples=7)
    assert torch.equal(tight.samples, enough.samples) and tight.trace == enough.trace
    assert max(prior.held) <= 2 and tight.nfe == 3
    assert tight.provenance["batch_after_out_of_memory"] <= 2
    assert "batch_after_out_of_memory" not in enough.provenance
    with pytest.raises(torch.OutOfMemoryError):
        restore.solve(problem(1), Unit(room=0), Walk(), samples=3)
    with pytest.raises(torch.OutOfMemoryError):
        restore.solve(problem(1), Unit(room=2), Flock(), samples=3)
    flocks = restore.solve(problem(3), Unit(room=3), Flock(), samples=3)
    assert torch.equal(flocks.samples, restore.solve(problem(3), Unit(), Flock(), samples=3).samples)


def test_a_device_without_room_for_two_pictures_gets_one_at_a_time_and_no_tiles() -> None:
    class Narrow(Unit):
        def denoise_native(self, z: Tensor, sigma: Tensor) -> Tensor:
            if z[:, 0].numel() > self.room:
                raise torch.OutOfMemoryError("out of memory")
            return super().denoise_native(z, sigma)

    shape = (1, 160, 160)
    posed = Problem(torch.rand(1, *shape), operators.Identity(shape), operators.noise.Gaussian(sigma=0.1))
    one, tiles = (restore.solve(posed, Narrow(room=room), Walk(), samples=3) for room in (160 * 160, 100 * 100))
    assert one.provenance["batch_after_out_of_memory"] == tiles.provenance["batch_after_out_of_memory"] == 1
    assert "tiled_after_out_of_memory" not in one.provenance and tiles.provenance["tiled_after_out_of_memory"] == 80
    torch.testing.assert_close(one.samples, tiles.samples)
    flock = restore.solve(posed, Narrow(room=100 * 300), Flock(), samples=3)  # what cannot be cut is tiled
    assert flock.provenance["tiled_after_out_of_memory"] == 80


def test_a_draw_that_diverges_is_named() -> None:
    @dataclass(frozen=True)
    class Third(Walk):
        def iterate(self, problem: Problem, prior: DiffusionPrior | None, noise: Noise) -> Iterator[State]:
            for state in super().iterate(problem, prior, noise):
                x = problem.by_picture(state.x).clone()
                if state.step == 1 and len(x) > 2:
                    x[2, 1, 0, 0, 0] = torch.nan
                x = x.flatten(0, 1)
                yield State(x=x, x0=x, estimate=x, step=state.step)

    with pytest.raises(Diverged, match="at step 1 in sample 2 of picture 1"):
        restore.solve(problem(2), Unit(), Third(), samples=4)


def test_no_pictures_give_a_sample_of_nothing() -> None:
    empty = Problem(torch.zeros(0, *SHAPE), operators.Identity(SHAPE), operators.noise.Gaussian(sigma=0.1))
    assert restore.solve(empty, Unit(), Walk()).samples.shape == (1, 0, *SHAPE)


@pytest.mark.parametrize("batch", [0, -1, True, 1.5])
def test_batches_that_hold_nothing_are_refused(batch: object) -> None:
    with pytest.raises((BadInput, BadType), match="batch is"):
        Settings(batch=batch)  # type: ignore[arg-type]


def test_noise_of_the_device_does_not_depend_on_the_batch() -> None:
    one, many = (
        restore.solve(problem(2), Unit(), Walk(), samples=4, settings=Settings(noise="device", batch=b)).samples
        for b in (2, 8)
    )
    assert torch.equal(one, many)


def test_a_metered_source_passes_every_law_on_and_times_it() -> None:
    noise = MeteredNoise(operators.NoiseSource(0, ["a"]))
    plain, like, logits = operators.NoiseSource(0, ["a"]), torch.zeros(1, 7), torch.zeros(1, 7, 3)
    assert torch.equal(noise.normal("n", like), plain.normal("n", like))
    assert torch.equal(noise.uniform("u", like), plain.uniform("u", like))
    assert torch.equal(noise.categorical("c", logits), plain.categorical("c", logits))
    assert noise.seconds > 0
