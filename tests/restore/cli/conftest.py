"""A small picture, a tiny prior and the command line in this process: a run takes a fraction of a second."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import skimage.data
import torch

import restore
from priors.files.checkpoints import save_network
from priors.networks.unet import UNet
from restore.cli import main

TINY = {"channels": 3, "widths": [8, 8], "blocks": [1, 1], "unshuffle": 2, "embedding": 16}


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    status: int
    out: str
    err: str


@pytest.fixture(scope="session")
def tiny_prior(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights: nothing here depends on how good the picture gets."""
    path = tmp_path_factory.mktemp("prior") / "tiny.safetensors"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = UNet(**TINY)
    preconditioning = {"kind": "edm", "sigma_data": 0.5}
    save_network(path, network, architecture="unet", settings=TINY, preconditioning=preconditioning, notes={})
    return path


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits for a network; LPIPS is computed where its weights are here."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network in tests")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def face() -> torch.Tensor:
    """48 x 48 pixels of the astronaut, 3 x 48 x 48 in [0, 1]."""
    pixels = skimage.data.astronaut()[60:108, 200:248].copy()
    return torch.from_numpy(pixels).permute(2, 0, 1).float() / 255


@pytest.fixture
def picture(here: Path, face: torch.Tensor) -> Path:
    return restore.write(here / "face.png", face)


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    def run(*arguments: object) -> Ended:
        capsys.readouterr()
        status = main([str(argument) for argument in arguments])
        text = capsys.readouterr()
        return Ended(status, text.out, text.err)

    return run


@pytest.fixture
def quick_recipes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shipped recipes with a network of a few thousand weights, and four drawn pages where they draw hundreds."""
    from priors.training import recipe

    load = recipe.load

    def quick(name: str, **settings: int | None) -> recipe.TrainingRecipe:
        shipped = load(name, **settings)
        sources = tuple(replace(source, drawn=min(source.drawn, 4)) for source in shipped.sources)
        return replace(shipped, network=TINY, sources=sources, warm_start="", widen="")

    monkeypatch.setattr(recipe, "load", quick)


@pytest.fixture
def fast(command: Callable[..., Ended], tiny_prior: Path) -> Callable[..., Ended]:
    """`restore run` with the tiny prior and two steps."""

    def run(*arguments: object) -> Ended:
        return command("run", "--prior", tiny_prior, "--set", "solver.steps=2", *arguments)

    return run
