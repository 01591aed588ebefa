"""Residual processes in the training loop: they learn, start warm, and leave a file from which the prior comes back."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import priors
import restore
from operators import BadInput
from priors import residual
from priors.files.embedded import shipped
from priors.networks.unet import UNet
from priors.residual.network import CompactPrior, outputs, unet_settings, warm_start
from priors.training import recipe as recipes
from priors.training.loop import Trainer, TrainingSettings
from priors.training.pairs import Measured, PairedCrops
from priors.training.photographs import Augmentation, CropSource, Photographs
from priors.training.residual import ResidualObjective
from restore import tasks
from restore.runs.pairing import file_pairs, task_measure

SMALL = {"widths": [8, 12], "blocks": [1, 1], "unshuffle": 2, "embedding": 16}
RECIPES = ("resshift", "rddm", "resfusion", "ir-sde", "i2sb", "regression")
every_recipe = pytest.mark.parametrize("name", RECIPES)


@pytest.fixture
def photographs(tmp_path: Path) -> Photographs:
    rng = np.random.default_rng(0)
    (tmp_path / "pictures").mkdir()
    ramp = np.linspace(0, 255, 40)[:, None, None] * rng.random(3)
    picture = np.broadcast_to(ramp, (40, 44, 3)) + rng.integers(0, 20, (40, 44, 3))
    Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(tmp_path / "pictures" / "a.png")
    return Photographs(tmp_path, [CropSource("pictures", 1.0)], size=16, augmentation=Augmentation())


def tiny(name: str, **settings) -> recipes.TrainingRecipe:
    import dataclasses

    plan = recipes.load(name)
    quick = TrainingSettings(
        **{"steps": 2, "batch": 4, "warmup": 2, "decay": 0.5, "checkpoint_seconds": 1e9} | settings
    )
    return dataclasses.replace(plan, network=SMALL, settings=quick, crop=16, warm_start="")


def pairs_of(count: int) -> Tensor:
    """Smooth pictures and a darker, shifted copy of each as measurement (count x 6 x 16 x 16, [-1, 1])."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, 3, 4, 4, generator=generator) * 2 - 1
    x0 = torch.nn.functional.interpolate(coarse, size=16, mode="bilinear")
    return torch.cat([x0, 0.8 * x0.roll(1, -1) - 0.1], dim=1)


class Fixed:
    """The same batch for ever."""

    def batches(self, count: int, *, seed: int, start: int = 0):
        while True:
            yield pairs_of(count)


@every_recipe
def test_the_loss_falls(name, tmp_path):
    plan = tiny(name, steps=60, muon_lr=5e-3, adam_lr=3e-3, ema=0.9)
    run = Trainer(plan.build_network(), plan.objective, plan.settings, checkpoint=tmp_path / "run.ckpt")

    def loss() -> float:
        with torch.no_grad():
            generator = torch.Generator().manual_seed(1)
            return float(plan.objective.loss(run.network, pairs_of(32), generator))

    before = loss()
    run.run(lambda start: Fixed().batches(4, seed=0), lambda _: None)
    # IR-SDE weighs the noise by its share in one of a hundred steps, and learns it slowly.
    assert loss() < (0.999 if name == "ir-sde" else 0.95) * before


@every_recipe
def test_exported_weights_rebuild_the_same_prior_and_solve(name, tmp_path):
    plan = tiny(name)
    path = recipes.train(plan, Fixed(), out=tmp_path, origin="test")
    prior = priors.load(path)
    assert (prior.kind, prior.name) == (name, name)
    assert prior.process == plan.objective.process
    picture = torch.rand(1, 3, 17, 14, generator=torch.Generator().manual_seed(0))
    problem = tasks.load("denoise").problem(picture)
    solver = restore.solvers.build(name, **({"steps": 3} if name == "ir-sde" else {}))
    result = restore.solve(problem, prior, solver)
    assert result.estimate.shape == picture.shape and bool(torch.isfinite(result.estimate).all())
    assert result.nfe == len(result.trace)
    gray = restore.solve(tasks.load("denoise").problem(picture[:, :1]), prior, solver).estimate
    assert gray.shape == (1, 1, 17, 14)


@every_recipe
def test_a_prior_predicts_what_its_heads_give(name):
    plan = tiny(name)
    network, process = plan.build_network().eval(), plan.objective.process
    prior = CompactPrior(network, process, gain=plan.objective.gain)
    x_t, y = pairs_of(2).chunk(2, dim=1)
    t = process.times()[0]
    known = prior.predict(x_t, y, t)
    level = torch.full((2,), process.level(t))
    with torch.no_grad():
        given = outputs(network, process, process.network_input(x_t, t), y, level, gain=prior.gain)
    torch.testing.assert_close(known.x0, process.read(given, x_t, y, t).x0)
    # A fresh network ends in zeros: a predicted picture is y.
    if plan.objective.process.objectives[0] == "x0":
        torch.testing.assert_close(known.x0, y)


def test_levels_of_time_differ_and_grow():
    for name in residual.REGISTRY:
        process = residual.build(name)
        levels = [process.level(t) for t in process.times()[:-1]]
        assert levels == sorted(levels, reverse=True)
        assert len(set(levels)) == len(levels)
        assert all(-2.5 <= level <= 0 for level in levels)


def test_a_warm_start_takes_every_shape_that_fits():
    given = UNet(**SMALL)
    torch.nn.init.normal_(given.leave.weight)
    network = UNet(**unet_settings(residual.build("resshift"), SMALL))
    left = warm_start(network, given.state_dict())
    assert left == ["leave.weight", "leave.bias"]
    torch.testing.assert_close(network.bottom[0].first.weight, given.bottom[0].first.weight)
    x = torch.rand(1, 3, 8, 8)
    both = torch.nn.functional.pixel_unshuffle(torch.cat([x, x], dim=1), 2)
    alone = torch.nn.functional.pixel_unshuffle(x, 2)
    torch.testing.assert_close(network.enter(both), given.enter(alone))  # two equal pictures are seen as the one


def test_shipped_recipes_begin_with_the_natural_weights_and_read_no_test_set():
    natural = recipes.load("natural")
    for name in RECIPES:
        plan = recipes.load(name)
        assert plan.sources == natural.sources and plan.warm_start == "natural"
        assert isinstance(plan.objective, ResidualObjective) and plan.objective.process.kind == name
    network = recipes.load("resfusion").build_network()
    start = shipped("natural").network.state_dict()
    torch.testing.assert_close(network.state_dict()["bottom.0.first.weight"], start["bottom.0.first.weight"])


@pytest.mark.parametrize("task", ["sr4x", "inpaint-random", "cs4x", "denoise-poisson"])
@pytest.mark.parametrize("name", ["resshift", "ir-sde"])
def test_a_task_gives_pairs_as_its_solver_will_see_them(photographs, task, name):
    process = residual.build(name)
    batch = next(Measured(photographs, task_measure(tasks.load(task), process)).batches(2, seed=0))
    pictures = next(photographs.batches(2, seed=0))
    x0, y = batch.chunk(2, dim=1)
    torch.testing.assert_close(process.shift + process.scale * x0, (pictures + 1) / 2)
    problem = tasks.load(task).problem((pictures + 1) / 2)
    assert y.shape == x0.shape and float((y - x0).abs().max()) < 10
    if task == "sr4x":  # nothing drawn: the very numbers
        from priors.residual.grid import on_grid

        posed = problem.gaussian().posed(process.shift, process.scale)
        torch.testing.assert_close(y, on_grid(posed.operator, posed.y))


def test_masks_of_a_task_differ_from_batch_to_batch(photographs):
    measured = Measured(photographs, task_measure(tasks.load("inpaint-random"), residual.build("ir-sde")))
    first, second = (y == 0 for y in (next(measured.batches(2, seed=0, start=k)).chunk(2, dim=1)[1] for k in (0, 1)))
    assert not torch.equal(first, second)


def test_crops_of_pairs_stay_aligned_and_depend_on_their_number_alone():
    ramp = torch.arange(30.0 * 40).reshape(1, 30, 40).expand(3, -1, -1)
    pairs = PairedCrops([ramp, 2 * ramp], [ramp + 1, 2 * ramp + 1], size=8)
    x0, y = next(pairs.batches(5, seed=1)).chunk(2, dim=1)
    torch.testing.assert_close(y, x0 + 1)
    again = pairs.batches(5, seed=1, start=2)
    source = pairs.batches(5, seed=1)
    torch.testing.assert_close([next(source) for _ in range(3)][2], next(again), rtol=0, atol=0)


def test_pairs_are_read_from_folders_and_hdf5(tmp_path):
    process = residual.build("resshift")
    rng = np.random.default_rng(0)
    for kind, side in (("input", 8), ("target", 32)):
        (tmp_path / "png" / kind).mkdir(parents=True)
        Image.fromarray(rng.integers(0, 255, (side, side, 3), dtype=np.uint8)).save(tmp_path / "png" / kind / "a.png")
    pairs = file_pairs(tmp_path / "png", process, size=16)
    target = torch.from_numpy(np.array(Image.open(tmp_path / "png/target/a.png"))).permute(2, 0, 1) / 255
    torch.testing.assert_close(pairs.pairs[0][:3], 2 * target - 1)
    (tmp_path / "h5").mkdir()
    with h5py.File(tmp_path / "h5" / "a.h5", "w") as file:
        file["input"], file["target"] = rng.random((20, 24)), rng.random((20, 24))
    assert file_pairs(tmp_path / "h5", process, size=16).pairs[0].shape == (6, 20, 24)


def test_pairs_that_do_not_fit_are_refused(tmp_path):
    process = residual.build("resshift")
    with pytest.raises(BadInput, match="holds no pairs"):
        file_pairs(tmp_path, process, size=16)
    with pytest.raises(BadInput, match="not a folder"):
        file_pairs(tmp_path / "none", process, size=16)
    with pytest.raises(BadInput, match="at least 16 x 16"):
        PairedCrops([torch.zeros(3, 8, 8)], [torch.zeros(3, 8, 8)], size=16)
    for kind, side in (("input", 40), ("target", 32)):
        (tmp_path / kind).mkdir()
        Image.fromarray(np.zeros((side, side, 3), np.uint8)).save(tmp_path / kind / "a.png")
    with pytest.raises(BadInput, match="not larger"):
        file_pairs(tmp_path, process, size=16)
