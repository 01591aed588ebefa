"""Training resumes exactly, learns, and leaves a file from which the same prior comes back."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import priors
from operators import BadInput, Unavailable
from priors.diffusion.edm import EDMObjective, EDMPrior
from priors.files.checkpoints import load_network
from priors.networks.unet import UNet
from priors.training import graphics, leaves, recipe
from priors.training.loop import Trainer, TrainingSettings
from priors.training.muon import GramMuon, as_matrix, load_moments, muon, orthogonalise, split_parameters
from priors.training.photographs import Augmentation, CropSource, Photographs
from priors.training.widening import widen

SMALL = {"widths": (8, 12), "blocks": (1, 1), "unshuffle": 2, "embedding": 16}


@pytest.fixture
def pictures(tmp_path: Path) -> Photographs:
    rng = np.random.default_rng(0)
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in "ab":
        ramp = np.linspace(0, 255, 40)[:, None, None] * rng.random(3)
        picture = np.broadcast_to(ramp, (40, 44, 3)) + rng.integers(0, 20, (40, 44, 3))
        Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(folder / f"{name}.png")
    return Photographs(tmp_path, [CropSource("pictures", 1.0)], size=16, augmentation=Augmentation())


def trainer(path: Path, steps: int) -> Trainer:
    torch.manual_seed(0)
    settings = TrainingSettings(steps=steps, batch=4, warmup=2, decay=0.5, checkpoint_seconds=1e9)
    return Trainer(UNet(**SMALL), EDMObjective(), settings, checkpoint=path)


def test_a_resumed_run_ends_with_the_weights_of_an_unbroken_one(pictures: Photographs, tmp_path: Path) -> None:
    def batches(start: int):
        return pictures.batches(4, seed=0, start=start)

    whole = trainer(tmp_path / "whole.ckpt", 6)
    whole.run(batches, lambda _: None)

    class Stop(Exception):
        pass

    def stop(progress: object) -> None:
        raise Stop

    broken = trainer(tmp_path / "broken.ckpt", 6)
    with pytest.raises(Stop):
        broken.run(batches, stop, report_every=3)
    broken.save()
    resumed = trainer(tmp_path / "broken.ckpt", 6)
    assert resumed.step == 3
    resumed.run(batches, lambda _: None)
    for a, b in zip(whole.average.parameters(), resumed.average.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_the_loss_falls(pictures: Photographs, tmp_path: Path) -> None:
    run = trainer(tmp_path / "run.ckpt", 120)
    held_out = pictures.batch(16, np.random.default_rng(99))

    def loss() -> float:
        with torch.no_grad():
            return float(EDMObjective().loss(run.network, held_out, torch.Generator().manual_seed(1)))

    before = loss()
    run.run(lambda start: pictures.batches(4, seed=0, start=start), lambda _: None)
    assert loss() < 0.9 * before


def test_batches_depend_on_the_seed_and_their_number_alone(pictures: Photographs) -> None:
    first = pictures.batches(3, seed=1)
    skipped = [next(first) for _ in range(3)][2]
    torch.testing.assert_close(next(pictures.batches(3, seed=1, start=2)), skipped, rtol=0, atol=0)
    assert float(skipped.min()) >= -1 and float(skipped.max()) <= 1


def test_an_orthogonalised_matrix_has_singular_values_near_one() -> None:
    matrix = torch.randn(12, 30, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonalise(matrix))
    # The quintic of the paper lands in about [0.7, 1.2] by design, not at one.
    assert float(values.min()) > 0.6 and float(values.max()) < 1.3


def stepped(*, bfloat16: bool, steps: int, moments: dict | None = None) -> tuple[torch.optim.Optimizer, torch.Tensor]:
    """A convolution after steps of Muon along fixed gradients, and the optimiser."""
    draw = torch.Generator().manual_seed(0)
    weight = torch.randn(12, 10, 3, 3, generator=draw).to(memory_format=torch.channels_last).requires_grad_()
    optimiser = muon([weight], lr=0.01, bfloat16=bfloat16)
    if moments is not None:
        load_moments(optimiser, moments)
    for _ in range(steps):
        weight.grad = torch.randn(weight.shape, generator=draw)
        optimiser.step()
    return optimiser, weight.detach()


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this torch has no Muon")
def test_torchs_muon_and_ours_take_the_same_steps_to_the_precision_of_bfloat16() -> None:
    torchs, there = stepped(bfloat16=True, steps=5)
    ours, here = stepped(bfloat16=False, steps=5)
    assert isinstance(torchs, torch.optim.Muon) and isinstance(ours, GramMuon)
    start = stepped(bfloat16=False, steps=0)[1]
    assert float((there - here).norm()) < 0.03 * float((here - start).norm())


@pytest.mark.parametrize("bfloat16", [False, True])
def test_moments_pass_from_either_muon_to_the_other(bfloat16: bool) -> None:
    saved = stepped(bfloat16=not bfloat16, steps=2)[0].state_dict()
    passed = stepped(bfloat16=bfloat16, steps=1, moments=saved)[1]
    alike = stepped(bfloat16=bfloat16, steps=1, moments=stepped(bfloat16=bfloat16, steps=2)[0].state_dict())[1]
    torch.testing.assert_close(passed, alike)


def test_moments_of_an_older_checkpoint_are_taken() -> None:
    saved = stepped(bfloat16=False, steps=2)[0].state_dict()
    buffer = saved["state"][0]["momentum_buffer"]
    four_axes = buffer.clone().reshape(12, 3, 3, 10).permute(0, 3, 1, 2)
    assert torch.equal(as_matrix(four_axes), buffer)
    older = {"state": {0: {"momentum": four_axes}}, "param_groups": []}
    one, other = (stepped(bfloat16=False, steps=1, moments=moments)[1] for moments in (saved, older))
    torch.testing.assert_close(one, other)


def test_hidden_convolutions_are_matrices_in_the_memory_of_the_network(tmp_path: Path) -> None:
    run = trainer(tmp_path / "run.ckpt", 1)
    (group,) = run.optimisers[0].param_groups
    weights, _ = split_parameters(run.network)
    assert [m.data_ptr() for m in group["params"]] == [w.data_ptr() for w in weights]


def test_exported_weights_rebuild_the_same_prior(pictures: Photographs, tmp_path: Path) -> None:
    run = trainer(tmp_path / "run.ckpt", 2)
    progress = run.run(lambda start: pictures.batches(4, seed=0, start=start), lambda _: None)
    plan = recipe.TrainingRecipe(
        name="tiny",
        settings=run.settings,
        crop=16,
        network={k: list(v) if isinstance(v, tuple) else v for k, v in SMALL.items()},
        objective=EDMObjective(),
        augmentation=Augmentation(),
        sources=(CropSource("pictures", 1.0),),
    )
    path = recipe.export(plan, run, tmp_path / "tiny.safetensors", progress)
    x = torch.rand(1, 3, 13, 10)
    before = EDMPrior(run.average).denoise(x, 0.1)
    after = priors.load(path).denoise(x, 0.1)
    torch.testing.assert_close(before, after, rtol=0, atol=2e-3)  # weights are rounded to float16
    assert load_network(path).notes["steps"] == 2


@pytest.mark.parametrize("name", recipe.names())
def test_a_shipped_recipe_reads_no_test_set(name: str) -> None:
    plan = recipe.load(name)
    assert all(not s.folder.startswith(("bsds500/val", "test_", "faces", "real_")) for s in plan.sources)


def test_missing_training_pictures_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        Photographs(tmp_path, [CropSource("nowhere", 1.0)], size=16, augmentation=Augmentation())


def test_missing_and_damaged_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="restore train"):
        load_network(tmp_path / "none.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"\x80\x04junk")
    with pytest.raises(BadInput, match="whole safetensors"):
        load_network(tmp_path / "bad.safetensors")


def test_gray_pictures_are_trained_with_equal_noise_in_every_channel() -> None:
    seen = {}

    class Spy(torch.nn.Module):
        def forward(self, x: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
            seen["x"] = x
            return x

    clean = torch.cat([torch.rand(1, 1, 8, 8).expand(1, 3, 8, 8), torch.rand(1, 3, 8, 8)])
    EDMObjective().loss(Spy(), clean, torch.Generator().manual_seed(0))
    assert torch.equal(seen["x"][0, 0], seen["x"][0, 2])
    assert not torch.equal(seen["x"][1, 0], seen["x"][1, 2])


def test_drawn_pages_are_the_same_for_a_seed_and_stand_beside_photographs(tmp_path: Path) -> None:
    first, again = graphics.pages(3), graphics.pages(3)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], first[1])
    drawn = Photographs(tmp_path, [CropSource(drawn=2)], size=32, augmentation=Augmentation())
    crop = drawn.crop(np.random.default_rng(0))
    assert crop.shape == (32, 32, 3)
    assert crop.min() >= 0.0 and crop.max() <= 1.0


def test_dead_leaves_are_the_same_for_a_seed_and_have_the_spectrum_of_photographs(tmp_path: Path) -> None:
    first = leaves.pictures(3, seed=4)
    assert all(np.array_equal(one, two) for one, two in zip(first, leaves.pictures(3, seed=4), strict=True))
    assert not np.array_equal(first[0], leaves.pictures(1, seed=5)[0])
    # Power of photographs falls as |f|^-2 or so; averaged over directions, between 1/32 and 1/4 cycle a pixel.
    gray = np.stack([one.mean(-1) for one in first])
    power = (np.abs(np.fft.fft2(gray - gray.mean((1, 2), keepdims=True))) ** 2).mean(0)
    radius = np.hypot(*np.meshgrid(*[np.fft.fftfreq(leaves.SIDE)] * 2))
    bands = np.geomspace(1 / 32, 1 / 4, 7)
    means = [power[(radius >= low) & (radius < high)].mean() for low, high in itertools.pairwise(bands)]
    slope = np.polyfit(np.log(np.sqrt(bands[:-1] * bands[1:])), np.log(means), 1)[0]
    assert -3.5 < slope < -1.5
    crops = Photographs(tmp_path, [CropSource(leaves=1)], size=32, augmentation=Augmentation())
    assert crops.batch(2, np.random.default_rng(0)).shape == (2, 3, 32, 32)


def test_a_source_may_be_some_files_of_a_folder(tmp_path: Path) -> None:
    for name, level in (("free_1", 200), ("free_2", 210), ("other", 20)):
        Image.fromarray(np.full((40, 40, 3), level, dtype=np.uint8)).save(tmp_path / f"{name}.png")
    crops = Photographs(tmp_path, [CropSource(files="free_*")], size=32, augmentation=Augmentation(0, 0, 0))
    assert crops.batch(8, np.random.default_rng(0)).min() > 0.5
    with pytest.raises(FileNotFoundError, match=r"no PNG or JPEG pictures none_\*"):
        Photographs(tmp_path, [CropSource(files="none_*")], size=32, augmentation=Augmentation())


def test_drawn_cloth_is_striped_finely() -> None:
    """Of what varies faster than folds do, most lies at the periods of stripes: 2 to 14 pixels (bends included)."""
    cycles = np.hypot(*np.meshgrid(np.fft.fftfreq(graphics.SIDE), np.fft.fftfreq(graphics.SIDE)))
    window = np.hanning(graphics.SIDE)
    for seed in range(4):
        cloth = graphics._averaged(graphics._cloth(np.random.default_rng(seed)))
        power = np.abs(np.fft.fft2(np.asarray(cloth.convert("F")) * window * window[:, None])) ** 2
        striped = power[(cycles > 1 / 14) & (cycles < 1 / 2)].sum()
        assert striped > 0.5 * power[cycles > 1 / 40].sum()


def test_the_rate_rises_again_for_each_round() -> None:
    settings = TrainingSettings(steps=60, warmup=2, decay=0.5, earlier_rounds=[10, 20], later_peak=0.6)
    rates = [settings.rate(step) for step in range(60)]
    assert [rates[k] for k in (1, 11, 31)] == [1.0, 0.6, 0.6]
    assert all(rates[k] < 0.25 for k in (9, 29, 59))
    assert all(0.0 < rate <= 1.0 for rate in rates)
    assert TrainingSettings(steps=5, earlier_rounds=[10]).rate(4) > 0.0


def test_pictures_of_one_level_are_served_together_as_each_alone() -> None:
    torch.manual_seed(0)
    network = UNet(**SMALL)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    x = torch.randn(3, 3, 16, 16)
    for levels in ([0.3, 0.3, 0.3], [0.3, -0.5, 0.3]):
        condition = torch.tensor(levels)
        together = network(x, condition)
        alone = torch.cat([network(x[k : k + 1], condition[k : k + 1]) for k in range(3)])
        torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)
        with torch.inference_mode():
            torch.testing.assert_close(network(x, condition), together, rtol=1e-4, atol=1e-4)


def test_a_widened_network_begins_as_the_narrow_one() -> None:
    torch.manual_seed(0)
    narrow, wide = UNet(**SMALL), UNet(**{**SMALL, "widths": (12, 16)})
    for parameter in narrow.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    widen(wide, narrow.state_dict())
    x, condition = torch.randn(2, 3, 16, 16), torch.tensor([0.1, -0.7])
    torch.testing.assert_close(wide(x, condition), narrow(x, condition), rtol=1e-5, atol=1e-5)
    # New channels are read: the zeros that keep the function have gradients.
    wide(x, condition).square().mean().backward()
    gradient = wide.leave.weight.grad
    assert gradient is not None and float(gradient[:, 8:].abs().max()) > 0
    with pytest.raises(BadInput, match="at least as wide"):
        widen(narrow, wide.state_dict())


def test_a_loss_of_logarithms_weighs_each_picture_by_its_own_error() -> None:
    class Zero(torch.nn.Module):
        def forward(self, x: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
            return torch.zeros_like(x)

    def loss(clean: torch.Tensor, floor: float | None) -> float:
        # Far above the pictures: the target is the picture itself, over sigma_data.
        objective = EDMObjective(log_floor=floor, sigma_min=50.0, sigma_max=50.0)
        return float(objective.loss(Zero(), clean, torch.Generator().manual_seed(0)))

    smooth = 1e-3 * torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    alike, mixed = smooth, torch.cat([smooth[:1], 1000 * smooth[1:]])
    for floor in (0.02, 0.5):
        assert loss(alike, floor) == pytest.approx(np.log(floor + loss(alike, None)), abs=1e-3)
    # One hard picture beside an easy one: the mean of logarithms stays far under the logarithm of their mean.
    assert loss(mixed, 0.02) < np.log(0.02 + loss(mixed, None)) - 1.0


def test_a_run_goes_on_from_weights_where_there_is_no_checkpoint(pictures: Photographs, tmp_path: Path) -> None:
    def plan(steps: int) -> recipe.TrainingRecipe:
        return recipe.TrainingRecipe(
            name="tiny",
            settings=TrainingSettings(steps=steps, batch=4, warmup=1, decay=0.0001),
            crop=16,
            network={k: list(v) if isinstance(v, tuple) else v for k, v in SMALL.items()},
            objective=EDMObjective(),
            augmentation=Augmentation(),
            sources=(CropSource("pictures", 1.0),),
        )

    first = recipe.train(plan(2), pictures, out=tmp_path / "first")
    seen: list[int] = []
    second = recipe.train(
        plan(4), pictures, out=tmp_path / "second", weights=first, report=lambda progress: seen.append(progress.step)
    )
    assert load_network(second).notes["steps"] == 4
    before, after = (load_network(path).network.state_dict() for path in (first, second))
    moved = [float((before[k] - after[k]).abs().max()) for k in before if before[k].is_floating_point()]
    assert 0 < max(moved) < 0.1  # two steps away, not a network that began anew
    with pytest.raises(BadInput, match="has seen 2 steps"):
        recipe.train(plan(2), pictures, out=tmp_path / "third", weights=first)
    with pytest.raises(BadInput, match="another network"):
        recipe.train(recipe.load("natural", steps=9), pictures, out=tmp_path / "fourth", weights=first)


def test_the_rate_rises_from_its_first_step_by_equal_parts() -> None:
    settings = TrainingSettings(steps=100, warmup=4, decay=0.1)
    assert [settings.rate(step) for step in range(5)] == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0])
