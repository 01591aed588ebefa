"""Noise depends on the seed, the image, the sample and the stream, and on nothing else."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from operators import BadInput, DeviceNoise, NoiseSource, Tape, image_id

LIKE = torch.zeros(3, 2, 4, 5)


def drawn(images, *, seed=0, sample=0, stream="x", like=None, **settings):
    shape = (len(images), 2, 4, 5)
    return NoiseSource(seed, images, sample=sample, **settings).normal(
        stream, torch.zeros(shape) if like is None else like
    )


def test_noise_of_an_image_does_not_depend_on_order_or_batch():
    together = drawn(["a", "b", "c"])
    assert torch.equal(drawn(["c", "a"]), together[[2, 0]])
    assert torch.equal(drawn(["b"])[0], together[1])


def test_seed_image_sample_and_stream_each_change_the_noise():
    base = drawn(["a"])
    for other in (
        drawn(["a"], seed=1),
        drawn(["b"]),
        drawn(["a"], sample=1),
        drawn(["a"], stream="z"),
    ):
        assert not torch.equal(base, other)


def test_streams_do_not_disturb_each_other():
    source = NoiseSource(0, ["a", "b", "c"])
    source.normal("other", LIKE)
    source.skip("x", LIKE)
    assert torch.equal(source.normal("x", LIKE), drawn(["a", "b", "c"]))


def test_draws_of_a_stream_follow_one_another():
    source = NoiseSource(0, ["a", "b", "c"])
    assert not torch.equal(source.normal("x", LIKE), source.normal("x", LIKE))


def test_prefetch_changes_no_bit():
    plain, ahead = NoiseSource(7, ["a", "b", "c"]), NoiseSource(7, ["a", "b", "c"], prefetch=True)
    for _ in range(4):
        for stream in ("x", "y"):
            assert torch.equal(plain.normal(stream, LIKE), ahead.normal(stream, LIKE))
    ahead.close()


def test_prefetch_refuses_a_stream_that_changes_its_shape():
    source = NoiseSource(0, ["a", "b", "c"], prefetch=True)
    source.normal("x", LIKE)
    with pytest.raises(BadInput, match="streams of their own"):
        source.normal("x", LIKE[..., :2])
    source.close()


def test_single_precision_is_the_rounded_double_draw():
    assert torch.equal(drawn(["a"]), drawn(["a"], like=torch.zeros(1, 2, 4, 5, dtype=torch.float64)).float())


def test_noise_is_standard_normal():
    values = NoiseSource(0, ["a"]).normal("x", torch.zeros(1, 200_000, dtype=torch.float64))
    # Five standard errors of mean, variance and fourth moment of 200 000 draws.
    assert abs(float(values.mean())) < 5 / 447
    assert abs(float(values.var()) - 1) < 5 * (2 / 200_000) ** 0.5
    assert abs(float((values**4).mean()) - 3) < 5 * (96 / 200_000) ** 0.5


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_complex_noise_has_two_standard_normal_parts(dtype):
    values = NoiseSource(0, ["a"]).normal("x", torch.zeros(1, 100_000, dtype=dtype))
    assert values.dtype == dtype
    assert abs(float(values.real.var()) - 1) < 5 * (2 / 100_000) ** 0.5
    assert abs(float(values.imag.var()) - 1) < 5 * (2 / 100_000) ** 0.5
    assert abs(float((values.real * values.imag).mean())) < 5 / 100_000**0.5


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64])
def test_an_empty_batch_gets_no_noise(dtype):
    source = NoiseSource(0, [])
    assert source.normal("x", torch.zeros(0, 2, 3, dtype=dtype)).shape == (0, 2, 3)
    assert source.draw("x", torch.zeros(0, 2, 3), lambda g, e: g.poisson(e)).shape == (0, 2, 3)


def test_other_laws_are_independent_of_the_batch_too():
    def poisson(images, rates):
        return NoiseSource(3, images).draw("p", rates, lambda g, e: g.poisson(e).astype(np.float64))

    rates = torch.tensor([[3.0, 20.0], [7.0, 0.5]])
    together = poisson(["a", "b"], rates)
    assert together.dtype == torch.float32
    assert torch.equal(poisson(["b"], rates[1:]), together[1:])


@pytest.mark.parametrize("seed", [0, 2**63 - 1])
def test_the_ends_of_the_seed_range_are_legal(seed):
    assert torch.isfinite(drawn(["a"], seed=seed)).all()


@pytest.mark.parametrize("seed", [-1, 2**63, 1.0, True, None, "0"])
def test_seeds_outside_the_range_are_refused(seed):
    with pytest.raises(BadInput, match="2\\^63 - 1"):
        NoiseSource(seed, ["a"])


def test_a_batch_of_another_size_is_refused():
    with pytest.raises(BadInput, match="batch of 3 asked of a source for 2"):
        NoiseSource(0, ["a", "b"]).normal("x", LIKE)


def test_global_random_states_are_not_touched():
    torch_state, numpy_state, python_state = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    drawn(["a"], prefetch=True)
    DeviceNoise(0, ["a"], device="cpu").normal("x", LIKE)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert (np.random.get_state()[1] == numpy_state[1]).all()  # noqa: NPY002
    assert random.getstate() == python_state


def test_noise_does_not_depend_on_the_global_seed():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        first = drawn(["a"])
        torch.manual_seed(2)
        assert torch.equal(drawn(["a"]), first)


def test_tape_gives_recorded_draws_in_order_whatever_the_stream():
    tape = Tape([np.full((3, 2, 4, 5), float(i)) for i in range(4)])
    assert (tape.normal("b", LIKE) == 0).all()
    assert (tape.normal("a", LIKE) == 1).all()
    tape.skip("a", LIKE)
    last = tape.normal("b", LIKE)
    assert (last == 3).all() and last.dtype == LIKE.dtype and last.shape == LIKE.shape


def test_tape_at_its_end_and_unfit_draws_are_refused():
    tape = Tape([np.zeros(3)])
    with pytest.raises(BadInput, match=r"\(3,\)"):
        tape.normal("x", LIKE)
    with pytest.raises(BadInput, match="at its end"):
        tape.normal("x", LIKE)


def test_tape_replays_complex_draws():
    values = np.array([[1 + 2j, 3 - 1j]])
    assert torch.equal(Tape([values]).normal("x", torch.zeros(1, 2, dtype=torch.complex128)), torch.from_numpy(values))


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64])
def test_device_noise_is_fixed_by_its_seed(dtype):
    like = LIKE.to(dtype)
    first, second, third = (DeviceNoise(s, ["a", "b", "c"], device="cpu").normal("x", like) for s in (0, 0, 1))
    assert first.dtype == dtype and torch.equal(first, second) and not torch.equal(first, third)


def test_device_noise_streams_differ():
    source = DeviceNoise(0, ["a", "b", "c"], device="cpu")
    assert not torch.equal(source.normal("x", LIKE), source.normal("y", LIKE))


def test_image_ids_depend_on_values_and_shape_only():
    x = torch.rand(2, 3, 4, generator=torch.Generator().manual_seed(0))
    assert image_id(x) == image_id(x.double()) == image_id(x.transpose(0, 1).clone().transpose(0, 1))
    assert len({image_id(x), image_id(x + 1), image_id(x.reshape(3, 2, 4)), image_id(x + 0j)}) == 4


def test_numbers_drawn_on_the_device_depend_on_the_sample_the_seed_and_the_images() -> None:
    like = torch.zeros(2, 3, 4)
    drawn = {
        (seed, images, sample): DeviceNoise(seed, images, sample=sample, device="cpu").normal("n", like)
        for seed in (0, 1)
        for images in (("a", "b"), ("a", "c"))
        for sample in (0, 1)
    }
    for one, values in drawn.items():
        for other, more in drawn.items():
            assert torch.equal(values, more) == (one == other)
