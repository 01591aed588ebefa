"""A recipe (TOML) to a trained prior: data, network, objective, loop, and the safetensors file that comes out."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from torch import nn

from operators.errors import BadInput

from ..checkpoints import save_network
from ..edm import EDMObjective
from ..networks.unet import UNet
from .loop import Progress, Settings, Trainer
from .photographs import Augmentation, Photographs, Source


@dataclass(frozen=True)
class Recipe:
    """Everything a training run depends on, as read from its TOML file."""

    name: str
    settings: Settings
    crop: int
    network: Mapping[str, Any]
    objective: EDMObjective
    augmentation: Augmentation
    sources: tuple[Source, ...]

    def build_network(self) -> nn.Module:
        """The network with its seeded start weights; the global random state is left as it was."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.settings.seed)
            return UNet(**self.network)


def names() -> list[str]:
    """Recipes that ship with the package."""
    return sorted(
        p.name.removesuffix(".toml") for p in resources.files(__package__).iterdir() if p.name.endswith(".toml")
    )


def load(name: str, *, steps: int | None = None, batch: int | None = None) -> Recipe:
    """The shipped recipe of that name; `steps` and `batch` replace its own. BadInput for an unknown name or key."""
    if name not in names():
        raise BadInput(f"unknown recipe {name!r}", do=f"Known: {', '.join(names())}.")
    table = tomllib.loads(resources.files(__package__).joinpath(f"{name}.toml").read_text())
    given = {"steps": steps, "batch": batch}
    setting_names = {f.name for f in fields(Settings)}
    settings = {k: table.pop(k) for k in list(table) if k in setting_names}
    settings.update({k: v for k, v in given.items() if v is not None})
    recipe = Recipe(
        name=table.pop("name"),
        settings=Settings(**settings),
        crop=table.pop("crop"),
        network=table.pop("network"),
        objective=EDMObjective(**table.pop("objective")),
        augmentation=Augmentation(**table.pop("augmentation")),
        sources=tuple(Source(**s) for s in table.pop("sources")),
    )
    if table:
        raise BadInput(f"recipe {name!r} has unknown keys {sorted(table)}")
    return recipe


def train(
    recipe: Recipe, *, data: Path, out: Path, device: str = "cpu", report: Callable[[Progress], None] = lambda _: None
) -> Path:
    """Train, or go on training, and write OUT/NAME.safetensors; a killed run resumes from OUT/NAME.ckpt."""
    photographs = Photographs(data, recipe.sources, size=recipe.crop, augmentation=recipe.augmentation)
    trainer = Trainer(
        recipe.build_network(), recipe.objective, recipe.settings, checkpoint=out / f"{recipe.name}.ckpt", device=device
    )

    def batches(start: int) -> Any:
        return photographs.batches(recipe.settings.batch, seed=recipe.settings.seed, start=start)

    progress = trainer.run(batches, report)
    return export(recipe, trainer, out / f"{recipe.name}.safetensors", progress)


def export(recipe: Recipe, trainer: Trainer, path: Path, progress: Progress) -> Path:
    """Write the averaged weights with what is needed to rebuild the prior in the file's own header."""
    save_network(
        path,
        trainer.average,
        architecture="unet",
        settings=dict(recipe.network),
        preconditioning={"kind": "edm", "sigma_data": recipe.objective.sigma_data},
        notes={"steps": progress.step, "seconds": round(progress.seconds), "recipe": json.dumps(recipe.name)},
    )
    return path
