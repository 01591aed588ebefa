"""A recipe (TOML) to a trained prior: data, network, objective, loop, and the safetensors file that comes out."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from operators.common.errors import BadInput
from operators.common.registry import check_keywords
from operators.common.settings import Checked, Count

from .. import residual
from ..diffusion.edm import EDMObjective
from ..files.checkpoints import ARCHITECTURES, load_network, save_network
from ..files.embedded import weights_folder
from ..networks.coder import Coder, LatentNetwork
from ..networks.tokens import TokenCoder, TokenNetwork
from ..residual.network import warm_start
from .latent import AutoencoderObjective, LatentObjective
from .loop import Progress, Trainer, TrainingSettings
from .pairs import Batches
from .photographs import Augmentation, CropSource, Photographs
from .residual import ResidualObjective
from .tokens import CoderObjective, TokensObjective
from .widening import widen

AnyObjective = (
    EDMObjective | ResidualObjective | AutoencoderObjective | LatentObjective | CoderObjective | TokensObjective
)
NAMED = {  # objectives that a recipe names
    "latent-coder": AutoencoderObjective,
    "latent": LatentObjective,
    "token-coder": CoderObjective,
    "tokens": TokensObjective,
}
EMBEDDED = {"latent-coder": "latent", "tokens-coder": "tokens"}  # recipe of a coder -> the prior that ships with it


@dataclass(frozen=True)
class TrainingRecipe(Checked):
    """Everything a training run depends on, as read from its TOML file.

    network: settings of the network before the objective adapts them. warm_start: name of a weights file of the
    package whose weights the network begins with where shapes allow, or "". widen: name of one whose whole function a
    wider network begins with, or "". coder: recipe of the coder whose latents or tokens are learned, or "".
    """

    name: str
    settings: TrainingSettings
    crop: Annotated[Count, "side of the crops in pixels"]
    network: Mapping[str, Any]
    objective: AnyObjective
    augmentation: Augmentation
    sources: tuple[CropSource, ...]
    warm_start: str = ""
    widen: str = ""
    coder: str = ""

    @property
    def needs_pairs(self) -> bool:
        """Whether it is trained on pictures with their measurements."""
        return isinstance(self.objective, ResidualObjective)

    @property
    def network_settings(self) -> dict[str, Any]:
        """Settings of the network that is trained."""
        return self.objective.network_settings(self.network)

    def build_network(self) -> nn.Module:
        """The network with its start weights; the global random state is left as it was."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.settings.seed)
            network: nn.Module = ARCHITECTURES.build(self.objective.architecture, **self.network_settings)
        if self.warm_start:
            warm_start(network, _shipped_weights(self.warm_start))
        if self.widen:
            widen(network, _shipped_weights(self.widen))
        return network


def _shipped_weights(name: str) -> dict[str, Tensor]:
    with resources.as_file(weights_folder() / f"{name}.safetensors") as path:
        return load_network(path).network.state_dict()


def names() -> list[str]:
    """Recipes that ship with the package."""
    return sorted(
        p.name.removesuffix(".toml") for p in resources.files(__package__).iterdir() if p.name.endswith(".toml")
    )


def load(name: str, *, steps: int | None = None, batch: int | None = None) -> TrainingRecipe:
    """The shipped recipe of that name; `steps` and `batch` replace its own. BadInput for an unknown name or key."""
    if name not in names():
        raise BadInput(f"unknown recipe {name!r}", do=f"Known: {', '.join(names())}.")
    table = _table(name)
    overrides = {"steps": steps, "batch": batch}
    setting_names = {f.name for f in fields(TrainingSettings)}
    settings = {k: table.pop(k) for k in list(table) if k in setting_names}
    settings.update({k: v for k, v in overrides.items() if v is not None})
    recipe = TrainingRecipe(
        name=table.pop("name"),
        settings=TrainingSettings(**settings),
        crop=table.pop("crop"),
        network=table.pop("network"),
        objective=_objective(table),
        augmentation=_built(Augmentation, table.pop("augmentation"), f"[augmentation] of recipe {name!r}"),
        sources=tuple(_built(CropSource, s, f"[[sources]] of recipe {name!r}") for s in table.pop("sources")),
        warm_start=table.pop("warm_start", ""),
        widen=table.pop("widen", ""),
        coder=table.pop("coder", ""),
    )
    if table:
        raise BadInput(f"recipe {name!r} has unknown keys {sorted(table)}")
    return recipe


def _table(name: str) -> dict[str, Any]:
    """The recipe's TOML over that of the recipe it `extends`, whose objective it does not inherit."""
    table = tomllib.loads(resources.files(__package__).joinpath(f"{name}.toml").read_text())
    if "extends" not in table:
        return table
    base = _table(table.pop("extends"))
    base.pop("objective", None)
    return {**base, **table}


def _objective(table: dict[str, Any]) -> AnyObjective:
    if "process" not in table:
        own = dict(table.pop("objective"))
        kind = own.pop("name", "edm")
        if kind not in {"edm", *NAMED}:
            raise BadInput(f"unknown objective {kind!r}", do=f"Known: edm, {', '.join(NAMED)}.")
        built: AnyObjective = _built(NAMED.get(kind, EDMObjective), own, "[objective]")
        return built
    settings, objective = dict(table.pop("process")), table.pop("objective")
    check_keywords(ResidualObjective, objective, where="[objective]")
    return ResidualObjective(residual.build(settings.pop("name"), **settings), **objective)


def _built(kind: type[Any], settings: Mapping[str, Any], where: str) -> Any:
    """An instance; BadType for a key it does not take, with the closest one, or for another kind of value."""
    check_keywords(kind, settings, where=where)
    return kind(**settings)


def train(
    recipe: TrainingRecipe,
    batches: Batches,
    *,
    out: Path,
    device: str = "cpu",
    report: Callable[[Progress], None] = lambda _: None,
    origin: str = "",
    weights: Path | None = None,
) -> Path:
    """Train, or go on training, and write OUT/NAME.safetensors; a killed run resumes from OUT/NAME.ckpt.

    batches: `photographs(recipe, data)`, or for a residual process `Measured` ones or `Pairs`. origin: what they are,
    for the notes of the file. weights: a file of this recipe to go on from at the step it was written, where there is
    no checkpoint; BadInput for one of another network, or one that has seen all steps of the recipe.
    """
    coder = find_coder(recipe.coder, out) if recipe.coder else None
    if coder is not None:
        inner = "denoiser" if isinstance(coder, Coder) else "predictor"
        recipe = replace(recipe, network={"coder": coder.settings, inner: recipe.network})
    network = recipe.build_network()
    if isinstance(network, LatentNetwork | TokenNetwork) and coder is not None:
        network.coder.load_state_dict(coder.state_dict())
    trainer = Trainer(network, recipe.objective, recipe.settings, checkpoint=out / f"{recipe.name}.ckpt", device=device)
    if weights is not None and trainer.step == 0:
        _go_on_from(trainer, weights)

    def source(start: int) -> Any:
        return batches.batches(recipe.settings.batch, seed=recipe.settings.seed, start=start)

    progress = trainer.run(source, report)
    return export(recipe, trainer, out / f"{recipe.name}.safetensors", progress, origin=origin)


def find_coder(name: str, folder: Path) -> Coder | TokenCoder:
    """The trained coder NAME.safetensors of a folder or, where it holds none, of the embedded prior it belongs to."""
    own = folder / f"{name}.safetensors"
    if own.is_file():
        network = load_network(own).network
    else:
        with resources.as_file(weights_folder() / f"{EMBEDDED[name]}.safetensors") as path:
            network = load_network(path).network
    coder = network.coder if isinstance(network, LatentNetwork | TokenNetwork) else network
    if not isinstance(coder, Coder | TokenCoder):
        raise BadInput(f"{own} holds no coder", do=f"Make one: restore train {name} --out {folder}.")
    return coder


def _go_on_from(trainer: Trainer, path: Path) -> None:
    checkpoint = load_network(path)
    state, own = checkpoint.network.state_dict(), trainer.network.state_dict()
    if {k: v.shape for k, v in state.items()} != {k: v.shape for k, v in own.items()}:
        raise BadInput(f"{path} holds another network than the recipe trains", do="Name a file of the same recipe.")
    step = int(checkpoint.notes.get("steps", 0))
    if step >= trainer.settings.steps:
        raise BadInput(
            f"{path} has seen {step} steps and the recipe has {trainer.settings.steps}", do="Give more with --steps."
        )
    trainer.go_on_from(state, step=step, seconds=float(checkpoint.notes.get("seconds", 0.0)))


def photographs(recipe: TrainingRecipe, data: Path) -> Photographs:
    """The recipe's crops of the photographs under `data`."""
    return Photographs(data, recipe.sources, size=recipe.crop, augmentation=recipe.augmentation)


def export(recipe: TrainingRecipe, trainer: Trainer, path: Path, progress: Progress, *, origin: str = "") -> Path:
    """Path of the averaged weights, written with what rebuilds the prior in their header."""
    notes: dict[str, Any] = {
        "steps": progress.step,
        "seconds": round(progress.seconds),
        "recipe": json.dumps(recipe.name),
    }
    if origin:
        notes["data"] = origin
    for key in ("warm_start", "widen", "coder"):
        if getattr(recipe, key):
            notes[key] = getattr(recipe, key)
    save_network(
        path,
        trainer.average,
        architecture=recipe.objective.architecture,
        settings=recipe.network_settings,
        preconditioning=recipe.objective.preconditioning(),
        notes=notes,
    )
    return path
