"""The JSON schema of training recipes, for editors: docs/recipe.schema.json."""

from __future__ import annotations

from typing import Any

from operators.common.described import schema

from ..diffusion.edm import EDMObjective
from ..networks.coder import Coder
from ..networks.tokens import TokenCoder, TokenPredictor
from ..networks.unet import UNet
from .loop import TrainingSettings
from .photographs import Augmentation, CropSource
from .recipe import NAMED
from .residual import ResidualObjective


def _predictor() -> dict[str, Any]:
    """Of the network that predicts tokens: the levels are its coder's."""
    form = schema(TokenPredictor)
    form["properties"].pop("levels", None)
    form["required"] = [name for name in form.get("required", []) if name != "levels"]
    return form


def _named() -> list[dict[str, Any]]:
    """Of the objectives that a recipe names."""
    forms = []
    for name, kind in NAMED.items():
        form = schema(kind)
        form["properties"] = {"name": {"const": name}, **form["properties"]}
        forms.append({**form, "required": ["name"]})
    return forms


def recipe_schema() -> dict[str, Any]:
    """The form of a recipe file: what `priors.training.recipe.load` reads."""
    settings = schema(TrainingSettings)["properties"]
    text = {"type": "string"}
    residual = schema(ResidualObjective)
    residual["properties"].pop("process", None)
    process = {"type": "object", "properties": {"name": text}, "required": ["name"]}
    properties: dict[str, Any] = {
        "name": {**text, "description": "of the recipe and of the weights that it makes"},
        "extends": {**text, "description": "recipe whose keys stand where this one has none; its objective does not"},
        **settings,
        "crop": {"type": "integer", "minimum": 1, "description": "side of a training picture in pixels"},
        "warm_start": {**text, "description": "weights file of the package that the network begins with"},
        "widen": {**text, "description": "weights file whose whole function a wider network begins with"},
        "coder": {**text, "description": "recipe of the coder whose latents or tokens are learned"},
        "network": {"anyOf": [schema(UNet), schema(Coder), schema(TokenCoder), _predictor()]},
        "process": {**process, "description": "residual process, and its settings"},
        "objective": {"anyOf": [schema(EDMObjective), residual, *_named()]},
        "augmentation": schema(Augmentation),
        "sources": {"type": "array", "items": schema(CropSource), "minItems": 1},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A training recipe of restore",
        "type": "object",
        "properties": properties,
        "required": ["name"],
        "additionalProperties": False,
    }
