"""Details of training and of weights on disk that no loss curve would show."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from operators import BadInput
from priors.files.checkpoints import load_network, save_network
from priors.networks.unet import UNet
from priors.training.loop import Trainer, TrainingSettings

SMALL = {"channels": 1, "widths": [8], "blocks": [1], "unshuffle": 2, "embedding": 8}


class Recording:
    """An objective that notes what it is given and draws."""

    def __init__(self) -> None:
        self.drawn: list[float] = []

    def loss(self, network: nn.Module, clean: Tensor, generator: torch.Generator) -> Tensor:
        self.drawn.append(float(torch.randn((), generator=generator)))
        return (network(clean, torch.zeros(len(clean))) - 1).square().mean()

    def network_settings(self, base):
        return dict(base)

    def preconditioning(self):
        return {"kind": "edm"}


def batches(start: int):
    while True:
        yield torch.ones(1, 1, 8, 8)


def trainer(folder: Path, steps: int, **settings) -> Trainer:
    return Trainer(
        UNet(**SMALL), Recording(), TrainingSettings(steps=steps, warmup=1, **settings), checkpoint=folder / "x.ckpt"
    )


def test_every_step_draws_noise_of_its_own_and_a_resumed_run_the_same(tmp_path: Path) -> None:
    whole = trainer(tmp_path / "a", 6)
    whole.run(batches, lambda _: None)
    assert len(set(whole.objective.drawn)) == 6
    first = trainer(tmp_path / "b", 3)
    first.run(batches, lambda _: None)
    rest = trainer(tmp_path / "b", 6)
    rest.run(batches, lambda _: None)
    assert first.objective.drawn + rest.objective.drawn == whole.objective.drawn


def test_another_seed_draws_other_noise(tmp_path: Path) -> None:
    runs = [trainer(tmp_path / str(seed), 3, seed=seed) for seed in (0, 1)]
    for run in runs:
        run.run(batches, lambda _: None)
    assert not set(runs[0].objective.drawn) & set(runs[1].objective.drawn)


def test_the_average_follows_early_steps_closely_and_later_ones_slowly(tmp_path: Path) -> None:
    """decay = min(ema, (k + 1) / (k + 10)); without this the start weights would stay in it for long."""
    run = trainer(tmp_path, 1, ema=0.9)
    parameter, mean = next(run.network.parameters()), next(run.average.parameters())
    expected = mean.detach().clone()
    for step in range(200):
        with torch.no_grad():
            parameter.fill_(float(step))
        run.step = step
        run._average()
        decay = min(0.9, (step + 1) / (step + 10))
        expected = decay * expected + (1 - decay) * step
        torch.testing.assert_close(mean.detach(), expected)
    assert 180 < float(mean.mean()) < 199


def test_a_checkpoint_is_never_seen_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = trainer(tmp_path, 4)
    run.save()
    before = run.checkpoint.read_bytes()

    def torn(state, file) -> None:
        file.write(b"half of it")
        raise OSError("no space left")

    monkeypatch.setattr(torch, "save", torn)
    with pytest.raises(OSError, match="no space"):
        run.save()
    assert run.checkpoint.read_bytes() == before


def test_weights_of_another_shape_or_with_other_names_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    save_network(
        path, UNet(**SMALL), architecture="unet", settings=SMALL, preconditioning={"kind": "edm"}, notes={"steps": 1}
    )
    header = {
        "format": "restore-network-1",
        "architecture": "unet",
        "settings": json.dumps(SMALL),
        "preconditioning": "{}",
        "notes": "{}",
    }
    tensors = load_file(path)
    name = next(iter(tensors))
    for wrong in (
        {**tensors, name: tensors[name].repeat(2, *[1] * (tensors[name].ndim - 1))},
        {k: v for k, v in tensors.items() if k != name},
        {**tensors, "extra": torch.zeros(2)},
    ):
        save_file(wrong, path, header)
        with pytest.raises(BadInput, match="does not fit its architecture"):
            load_network(path)


def test_the_pace_is_of_this_session_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10_000, 3))  # three seconds pass between any two looks at it
    monkeypatch.setattr("priors.training.loop.time.monotonic", lambda: float(next(clock)))
    first = trainer(tmp_path, 4).run(batches, lambda _: None)
    again = trainer(tmp_path, 6).run(batches, lambda _: None)
    assert (first.seconds, first.each) == (12.0, 3.0)
    assert (again.step, again.seconds, again.each) == (6, 18.0, 3.0)


def test_the_loss_that_is_told_is_a_mean_over_some_hundred_steps(tmp_path: Path) -> None:
    losses = iter([4.0, 2.0, 8.0])

    class Told(Recording):
        def loss(self, network: nn.Module, clean: Tensor, generator: torch.Generator) -> Tensor:
            return super().loss(network, clean, generator) * 0 + next(losses)

    told = trainer(tmp_path, 3)
    told.objective = Told()
    assert told.run(batches, lambda _: None).loss == pytest.approx(0.99 * (0.99 * 4 + 0.01 * 2) + 0.01 * 8)
