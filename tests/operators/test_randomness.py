"""Noise depends on the seed, the image, the sample and the stream, and on nothing else."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from operators import BadInput, BadType, DeviceNoise, NoiseSource, Tape, image_id
from operators.common import inversion
from operators.common.randomness import generator

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
    with pytest.raises((BadInput, BadType), match="2\\^63 - 1"):
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


def test_entries_may_be_samples_of_one_picture_and_get_the_noise_of_the_loop():
    images, samples = ["a", "b", "a", "b", "a"], [0, 0, 1, 1, 5]
    like = torch.zeros(5, 2, 4, 5)
    for stream in ("x", "y", "x"):
        together = NoiseSource(3, images, sample=samples).normal(stream, like)
        for k, (image, sample) in enumerate(zip(images, samples, strict=True)):
            assert torch.equal(together[k], drawn([image], seed=3, sample=sample, stream=stream)[0])
    with pytest.raises(BadInput, match="2 sample indices for 1"):
        NoiseSource(0, ["a"], sample=[0, 1])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", ["cpu", "device"])
def test_uniform_numbers_fill_zero_to_one_and_never_reach_one(kind, dtype):
    source = NoiseSource(0, ["a"]) if kind == "cpu" else DeviceNoise(0, ["a"], device="cpu")
    values = source.uniform("u", torch.zeros(1, 200_000, dtype=dtype))
    assert values.dtype == dtype and float(values.min()) >= 0 and float(values.max()) < 1
    if dtype != torch.bfloat16:  # whose rounding is coarser than the errors below
        moments = [float((values.double() ** k).mean()) for k in (1, 2, 3)]
        # Five standard errors of the k-th moment of 200 000 draws; its variance is 1 / (2 k + 1) - 1 / (k + 1)^2.
        for k, moment in enumerate(moments, start=1):
            assert abs(moment - 1 / (k + 1)) < 5 * ((1 / (2 * k + 1) - 1 / (k + 1) ** 2) / 200_000) ** 0.5


def test_uniform_numbers_that_round_to_one_stay_below_it():
    nearly = torch.tensor([1 - 2**-53, 0.5], dtype=torch.float64)
    for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16):
        rounded = inversion.below_one(nearly, dtype)
        assert rounded.dtype == dtype and float(rounded[0]) < 1 and float(rounded[1]) == 0.5
        assert float(torch.nextafter(rounded[:1], torch.ones(1, dtype=dtype))) == 1


@pytest.mark.parametrize("prefetch", [False, True])
def test_uniform_and_categorical_draws_do_not_depend_on_the_batch(prefetch):
    logits = torch.randn(4, 3, 5, generator=torch.Generator().manual_seed(0))
    images, samples = ["a", "b", "a", "b"], [0, 0, 1, 1]
    together = NoiseSource(1, images, sample=samples, prefetch=prefetch)
    uniform = [together.uniform("u", LIKE[:1].expand(4, -1, -1, -1)) for _ in range(3)]
    classes = [together.categorical("c", logits) for _ in range(3)]
    together.close()
    assert classes[0].shape == (4, 3) and classes[0].dtype == torch.int64
    for k in range(4):
        alone = NoiseSource(1, images[k : k + 1], sample=samples[k])
        assert all(torch.equal(alone.uniform("u", LIKE[:1])[0], drawn[k]) for drawn in uniform)
        assert all(torch.equal(alone.categorical("c", logits[k : k + 1])[0], drawn[k]) for drawn in classes)


def test_prefetch_refuses_a_stream_that_changes_its_law():
    source = NoiseSource(0, ["a", "b", "c"], prefetch=True)
    source.normal("x", LIKE)
    with pytest.raises(BadInput, match="uniform numbers of shape"):
        source.uniform("x", LIKE)
    source.close()


@pytest.mark.parametrize("kind", ["cpu", "device"])
def test_classes_come_as_often_as_their_probabilities_say(kind):
    probabilities = torch.tensor([0.5, 0.0, 0.3, 0.15, 0.05])
    logits = (probabilities.log() + 7).expand(1, 40_000, 5)
    source = NoiseSource(0, ["a"]) if kind == "cpu" else DeviceNoise(0, ["a"], device="cpu")
    shares = source.categorical("c", logits).flatten().bincount(minlength=5) / 40_000
    # Five standard errors of a share of 40 000 draws.
    assert bool(((shares - probabilities).abs() <= 5 * (probabilities * (1 - probabilities) / 40_000).sqrt()).all())


def test_a_class_is_where_the_running_sum_first_exceeds_the_uniform_number():
    logits = torch.tensor([-torch.inf, 0.0, 0.0, -torch.inf, 0.0, 0.0, -torch.inf])  # 1/4 each, exactly
    uniform = torch.tensor([0.0, 0.2499, 0.25, 0.5, 0.7499, 0.75, 1 - 2**-53], dtype=torch.float64)
    chosen = inversion.categorical(uniform, logits.expand(7, 7))
    assert chosen.tolist() == [1, 1, 2, 4, 4, 5, 5]
    source, again = NoiseSource(0, ["a"]), NoiseSource(0, ["a"])
    many = torch.randn(1, 200, 9, generator=torch.Generator().manual_seed(0))
    expected = inversion.categorical(again.uniform("c", torch.zeros(1, 200, dtype=torch.float64)), many)
    assert torch.equal(source.categorical("c", many), expected)


@pytest.mark.parametrize(
    "logits",
    [torch.zeros(1, 3, 0), torch.zeros(3), torch.full((1, 2, 3), -torch.inf), torch.tensor([[0.0, torch.nan]])],
)
def test_logits_that_name_no_class_are_refused(logits):
    with pytest.raises(BadInput, match="logits"):
        NoiseSource(0, ["a"]).categorical("c", logits)


@pytest.mark.parametrize("dtype", [torch.complex64, torch.int64])
def test_uniform_numbers_are_real(dtype):
    for source in (NoiseSource(0, ["a"]), DeviceNoise(0, ["a"], device="cpu"), Tape([np.zeros(2)])):
        with pytest.raises(BadType, match="uniform"):
            source.uniform("u", torch.zeros(1, 2, dtype=dtype))


def test_tape_replays_uniform_numbers_and_classes_in_the_order_of_all_draws():
    logits = torch.tensor([0.25, 0.75]).log().expand(1, 3, 2)
    tape = Tape([np.array([0.1, 0.25, 0.9]), np.array([1, 0, 1]), np.array([2.5]), np.array([0.5])])
    assert tape.categorical("a", logits).tolist() == [[0, 1, 1]]
    assert tape.categorical("b", logits).tolist() == [[1, 0, 1]]
    assert tape.normal("a", torch.zeros(1, 1)).tolist() == [[2.5]]
    assert tape.uniform("a", torch.zeros(1, 1)).tolist() == [[0.5]]


def test_tape_refuses_what_is_neither_uniform_nor_a_class():
    logits = torch.zeros(1, 1, 2)
    with pytest.raises(BadInput, match="not uniform"):
        Tape([np.array([1.5])]).uniform("u", torch.zeros(1, 1))
    with pytest.raises(BadInput, match="not uniform"):
        Tape([np.array([-0.5])]).categorical("u", logits)
    with pytest.raises(BadInput, match="0 to 1"):
        Tape([np.array([2])]).categorical("u", logits)


@pytest.mark.parametrize("law", ["normal", "uniform"])
def test_device_noise_of_a_sample_does_not_depend_on_the_samples_beside_it(law):
    ids, like = ["a", "b"], torch.zeros(2, 3, 4)
    together = DeviceNoise(5, ids * 3, sample=[0, 0, 1, 1, 2, 2], device="cpu")
    alone = [DeviceNoise(5, ids, sample=s, device="cpu") for s in range(3)]
    for _ in range(2):
        whole = getattr(together, law)("x", torch.zeros(6, 3, 4))
        assert torch.equal(whole, torch.cat([getattr(source, law)("x", like) for source in alone]))
    assert getattr(DeviceNoise(0, [], device="cpu"), law)("x", torch.zeros(0, 2)).shape == (0, 2)


def test_device_noise_keeps_the_numbers_it_has_always_had():
    key = generator(5, "a\x1eb", 2, "x").integers(2**63 - 1)
    expected = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(int(key)))
    assert torch.equal(DeviceNoise(5, ["a", "b"], sample=2, device="cpu").normal("x", torch.zeros(2, 3, 4)), expected)


def test_a_stream_has_the_numbers_it_has_always_had():
    """What an old result is repeated with: 64 bits of sha256 over seed, image, sample and stream seed a PCG64."""
    import hashlib

    name = "\x1f".join(["7", "picture", "2", "step"]).encode()
    key = int(hashlib.sha256(name).hexdigest()[:16], 16)
    expected = np.random.Generator(np.random.PCG64(key)).standard_normal(6)
    drawn = NoiseSource(7, ["picture"], sample=2).normal("step", like=torch.zeros(1, 6, dtype=torch.float64))
    assert np.array_equal(drawn[0].numpy(), expected)
    known = NoiseSource(0, ["a"]).normal("start", like=torch.zeros(1, 2, dtype=torch.float64))[0]
    assert known.tolist() == pytest.approx([0.6212822021969978, 2.3909926475610557], abs=1e-15)


def test_an_entry_may_be_a_single_number() -> None:
    one, many = NoiseSource(0, ["a", "b"]), NoiseSource(0, ["a", "b"])
    for law in ("normal", "uniform"):
        alone = getattr(one, law)(law, torch.zeros(2, dtype=torch.float64))
        assert torch.equal(alone, getattr(many, law)(law, torch.zeros(2, 1, dtype=torch.float64))[:, 0])
    assert NoiseSource(0, ["a", "b"]).categorical("c", torch.zeros(2, 3)).shape == (2,)
