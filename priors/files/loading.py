"""A prior by what a user calls it: a name of the table, with or without settings and adapters, or a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from operators.common.described import keyword_parameters
from operators.common.errors import BadInput
from operators.common.registry import check_keywords, check_types

from .. import REGISTRY
from ..base import Prior
from ..diffusion.adapters import adapt
from .embedded import from_file
from .store import SUFFIX
from .words import WordPart, parse


def load(name: str | Path, adapter: str | Mapping[str, Any] | None = None, **settings: Any) -> Prior:
    """A prior by registry name, or from a safetensors file written by `restore train`.

    name: may hold settings and adapters itself, "NAME(KEY=VALUE):ADAPTER" (`priors.files.words`). adapter: fits it to
    other pictures (`priors.diffusion.adapters`): "bands", "window(0,0.04)", or a table {"name": "window", "low": 0,
    "high": 0.04}. settings: parameters of the prior itself. The prior carries `name`, under which it is loaded again,
    and `sha256` (of its weights). BadInput with a suggestion for an unknown name, BadType for a setting that it does
    not take, Unavailable for a file that is absent.
    """
    first, *others = _parts(str(name))
    prior = _base(first, settings)
    for part in others:
        prior = adapt(prior, part)
    return prior if adapter is None else adapt(prior, adapter)


def check_word(word: str) -> None:
    """BadInput or BadType for a prior that is not in the table or does not take its settings; nothing is loaded."""
    part = _parts(word)[0]
    if not part.name.endswith(SUFFIX) or part.name in REGISTRY:
        _settings(part, {})


def _parts(word: str) -> list[WordPart]:
    return [WordPart(word)] if word.endswith(SUFFIX) else list(parse(word))


def _settings(part: WordPart, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a prior of the table by name, held against what it takes."""
    target, where = REGISTRY.load(part.name), f"prior {part.name!r}"
    merged = {**part.by_name(list(keyword_parameters(target)), where=where), **settings}
    check_keywords(target, merged, where=where)
    check_types(target, merged, where=where)
    return merged


def _base(part: WordPart, settings: Mapping[str, Any]) -> Prior:
    path = Path(part.name)
    if part.name not in REGISTRY and path.suffix == SUFFIX:
        if settings:
            raise BadInput(f"{path.name} was given {', '.join(settings)}", wanted="no settings for a file of weights")
        return from_file(path, name=path.stem)
    arguments = _settings(part, settings)
    prior: Prior = REGISTRY.load(part.name)(**arguments)
    if arguments:
        prior.name = WordPart(part.name, settings=arguments).spelled
    return prior
