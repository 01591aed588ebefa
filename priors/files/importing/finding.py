"""The network of a checkpoint: which of the weights in it are taken, and the network rebuilt from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from operators.common.errors import BadInput, RestoreError

from ..checkpoints import ARCHITECTURES
from .averages import averages
from .layouts import AUTOENCODER, FORMATS, ReleasedLayout, differences, shapes_of
from .places import Container, Place, containers, innermost, is_swapped, places, where, wraps

CHOICES = ("averaged", "raw")
USUAL = ("state_dict", "model", "params")  # entries looked into first, in this order
SAVE_ONE = "Save the one you want as a bare state_dict, and import that"


@dataclass(frozen=True)
class Found:
    """The network's part of a checkpoint.

    weights: without prefix. where: the container and prefix they stood under. beside: what else the module around it
    holds (schedule buffers among them). notes: the checkpoint's hyper-parameters. chosen: what was taken where there
    was a choice, as a sentence; else empty. kind: "averaged", "raw", or "the only ones" where no name says more.
    """

    weights: Mapping[str, Tensor]
    where: str
    beside: Mapping[str, Tensor] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)
    chosen: str = ""
    kind: str = "the only ones"


def find(tree: Any, layout: ReleasedLayout, path: Path, *, weights: str | None = None) -> Found:
    """The weights of `layout` in a checkpoint: the averaged ones where it has any, else the raw ones.

    weights: "averaged" or "raw" to insist. BadInput where no weights of that format are in it, where the averaged ones
    cannot be used (incomplete, misshapen, a list that does not fit, never updated), and where two differ and no name
    says which is meant.
    """
    if weights not in (None, *CHOICES):
        raise BadInput(f"weights {weights!r}", wanted=" or ".join(CHOICES))
    found, swapped = containers(tree), is_swapped(tree)
    named = sorted(_places(tree, layout), key=_rank)
    raw = [place for place in named if not place.averaged]
    if not named:
        raise _nothing(tree, found, layout, path)
    reference = (raw or named)[0]
    answers = averages(found, reference, _parameters(layout, reference), swapped=swapped)
    whole = [answer for answer in answers if not answer.fault]
    notes = tree.get("hyper_parameters", {}) if isinstance(tree, Mapping) else {}
    notes = notes if isinstance(notes, Mapping) else getattr(notes, "__dict__", {})
    last = sorted(named, key=lambda place: place.averaged)
    beside = {key: value for place in last for key, value in place.beside.items()}
    if weights != "raw" and whole:
        _agree(path, [(answer.where, answer.weights) for answer in whole], "averages")
        taken = whole[0]
        chosen = "".join(f"; {a.where} holds an average that cannot be used: {a.fault}" for a in answers if a.fault)
        if raw:
            chosen = f"; {reference.where} holds the raw ones (--weights raw){chosen}"
        if chosen:
            buffers = " (the buffers are the raw ones)" if taken.filled else ""
            chosen = f"averaged weights of {taken.where}{buffers}{chosen}"
        return Found(taken.weights, taken.where, beside, notes, chosen, "averaged")
    if weights != "raw" and answers:
        raise BadInput(
            f"{path} holds averaged weights in {answers[0].where} that cannot be used: {answers[0].fault}",
            wanted="an average of the whole network, in its shapes",
            do=f"{SAVE_ONE}{', or take the raw ones with --weights raw' if raw else ''}.",
        )
    if weights == "averaged":
        raise BadInput(f"no name in {path} says averaged", do="Leave --weights out to take the weights it has.")
    if not raw:
        raise BadInput(f"{path} holds averaged weights only ({reference.where})", do="Leave --weights raw out.")
    # `online` copies and the like inside an average's container are the raw weights once more.
    plain = [place for place in raw if not innermost(place.container, "", swapped)] or raw
    outside = [place for place in plain if not any(_is_inside(place, other) for other in plain)]
    _agree(path, [(place.where, place.weights) for place in outside], "networks")
    stranger = None if weights == "raw" else _stranger(found, reference, layout.anchors)
    if stranger is not None:
        raise BadInput(
            f"{path} holds the network twice, in {reference.where} and in {stranger}",
            wanted="one, or names that say which is the average (ema, averaged)",
            do=f"{SAVE_ONE}, or take {reference.where} with --weights raw.",
        )
    chosen = f"raw weights of {reference.where}, as asked; {answers[0].where} holds averaged ones" if answers else ""
    kind = "raw" if answers else "the only ones"
    return Found(reference.weights, reference.where, reference.beside, notes, chosen, kind)


def _places(tree: Any, layout: ReleasedLayout) -> list[Place]:
    """The places of a layout, their weights under the keys of our network."""
    return [replace(place, weights=layout.translated(place.weights)) for place in places(tree, layout.anchors)]


def _stranger(found: Sequence[Container], reference: Place, anchors: tuple[str, ...]) -> str | None:
    """Where another whole copy of the network stands, with other values, under a name that says nothing known."""
    for container in found:
        tensors = container.tensors
        for prefix in {key.removesuffix(a) for a in anchors for key in tensors if key.endswith("." + a)}:
            if wraps(prefix) or innermost(container, prefix):
                continue
            pairs = [(tensors.get(prefix + key), value) for key, value in reference.weights.items()]
            whole = all(other is not None and other.shape == value.shape for other, value in pairs)
            if whole and any(other is not None and not torch.equal(other, value) for other, value in pairs):
                return where(container.path, prefix)
    return None


def _rank(place: Place) -> tuple[int, int, int]:
    """Usual entries first, then shallow ones; `online` copies inside an average's container last."""
    outer = place.container.path[0] if place.container.path else ""
    usual = USUAL.index(outer) if outer in USUAL else len(USUAL) + (outer != "")
    return int(innermost(place.container, "")), usual, len(place.prefix)


def _is_inside(place: Place, other: Place) -> bool:
    same = place.container is other.container
    return same and place.prefix != other.prefix and place.prefix.startswith(other.prefix) and other.prefix != ""


def _parameters(layout: ReleasedLayout, reference: Place) -> frozenset[str]:
    """The keys of the network that are trained; all of them where the weights are not of the format after all."""
    try:
        network = layout.skeleton(layout.settings(shapes_of(reference.weights)))
    except Exception:  # noqa: BLE001 - told with its reason when the network is rebuilt
        return frozenset(reference.weights)
    buffers = {key for key, _ in network.named_buffers()}
    return frozenset(key for key in reference.weights if key not in buffers)


def _agree(path: Path, found: Sequence[tuple[str, Mapping[str, Tensor]]], what: str) -> None:
    """BadInput where two of these differ: no name says which one is meant."""
    first_place, first = found[0]
    for place, other in found[1:]:
        if set(first) != set(other) or not all(torch.equal(first[key], other[key]) for key in first):
            raise BadInput(
                f"{path} holds several {what} that differ: {first_place} and {place}",
                wanted="one, or names that say which is the average (ema, averaged)",
                do=f"{SAVE_ONE}.",
            )


def _nothing(tree: Any, found: Sequence[Container], layout: ReleasedLayout, path: Path) -> BadInput:
    keys = [key for container in found for key in container.tensors]
    holds = f"It holds keys such as {', '.join(keys[:3])}." if keys else "It holds no tensors."
    lists = [c for c in found if c.tensors and all(key.isdigit() for key in c.tensors) and innermost(c, "")]
    if lists:
        count = len(lists[0].tensors)
        holds = (
            f"{where(lists[0].path, '')} is an average of {count} tensors without names: it needs the state_dict of "
            "the network beside it, in the same file."
        )
    return BadInput(
        f"{path} holds no network of format {layout.name!r}",
        wanted=f"the key {' or '.join(layout.anchors)}",
        do=f"{holds}{suggestion(tree, layout)}",
    )


def rebuilt(
    layout: ReleasedLayout, release: Found, path: Path, tree: Any, *, groups: int | None = None
) -> tuple[nn.Module, dict[str, Any], list[str]]:
    """The network with its weights, its settings, and what was assumed of it.

    groups: of its group norms, where the file does not say. BadInput names keys that are missing, left over or
    misshapen, and asks for the groups where nothing published says them.
    """
    shapes = shapes_of(release.weights)
    try:
        settings = layout.settings(shapes)
    except BadInput as error:
        raise BadInput(f"{path}: {error.found}", do=suggestion(tree, layout).strip()) from None
    wrong = differences(shapes_of(_built(layout, layout.groupless(settings), path, layout.groups).state_dict()), shapes)
    if wrong:
        raise BadInput(
            f"{path} does not fit format {layout.name!r}: {wrong}",
            wanted=f"the keys of a network with {_listed(settings)}",
            do=suggestion(tree, layout).strip(),
        )
    for key, value in release.weights.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise BadInput(f"{path}: {key} holds values that are not finite", do="Fetch the file again.")
    try:
        settings.update(layout.told_by_values(release.weights))
    except BadInput as error:
        raise BadInput(f"{path}: {error.found}", wanted=error.wanted, do=error.do) from None
    count, assumed = _groups(layout, release, path, settings, groups)
    if count and layout is not AUTOENCODER:
        settings["groups"] = count
    network = _built(layout, settings, path, count)
    exact = {k: v.detach().float() if v.is_floating_point() else v for k, v in release.weights.items()}
    network.load_state_dict(exact, strict=True, assign=True)
    return network.eval().requires_grad_(False), settings, assumed


def _built(layout: ReleasedLayout, settings: Mapping[str, Any], path: Path, groups: int) -> nn.Module:
    try:
        with torch.device("meta"):
            return ARCHITECTURES.build(layout.architecture, **settings)  # type: ignore[no-any-return]
    except RestoreError as error:
        raise BadInput(f"{path}: {error.found}", wanted=error.wanted, do=error.do) from None
    except ValueError as error:  # torch: the channels are no multiple of the groups
        raise BadInput(
            f"{path}: {groups} groups do not divide the channels of every group norm ({error})",
            wanted="the number of groups the network was trained with",
            do="Another autoencoder than the published one is not supported."
            if layout is AUTOENCODER
            else "Name it: --groups N.",
        ) from None


def _groups(
    layout: ReleasedLayout, release: Found, path: Path, settings: Mapping[str, Any], asked: int | None
) -> tuple[int, list[str]]:
    """The number of groups of the norms, which shapes do not tell, and the sentence where it is the published one.

    The file's hyper-parameters, else what was asked, else the published number: of a network of the released size, or
    of any size where the released code fixes it.
    """
    if not layout.groups:
        if asked is not None:
            raise BadInput(f"--groups was given and {layout.name} has no group norms", do="Leave it out.")
        return 0, []
    if asked is not None and asked < 1:
        raise BadInput(f"groups is {asked}", wanted="1 or more", do="Give the number the network was trained with.")
    said = next((v for k in ("resnet_block_groups", "norm_groups") if type(v := release.notes.get(k)) is int), None)
    if said is not None and asked not in (None, said):
        raise BadInput(f"{path} says {said} groups and --groups says {asked}", do="Leave --groups out.")
    if said is not None or asked is not None:
        return said or asked or 0, []
    if layout.released is None:
        owner = "of the autoencoder " if layout is AUTOENCODER else ""
        remedy = "" if layout is AUTOENCODER else "; --groups N for another"
        return layout.groups, [
            f"groups {owner}{layout.groups} (the file does not say; as the published code has it{remedy})"
        ]
    if any(_plain(settings[key]) != _plain(value) for key, value in layout.released.items()):
        raise BadInput(
            f"{path} does not say how many groups its group norms have, and it is no network of the released size",
            wanted=f"that number (the trainer's default is {layout.groups})",
            do=f"Name the one it was trained with: --groups {layout.groups}.",
        )
    return layout.groups, [f"groups {layout.groups} (the file does not say; as published; --groups N for another)"]


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, list | tuple) else value


def suggestion(tree: Any, tried: ReleasedLayout) -> str:
    """The format that takes the file, as a sentence with a leading space; empty where none does."""
    for layout in (*FORMATS.values(), AUTOENCODER):
        if layout.name == tried.name:
            continue
        for place in _places(tree, layout)[:1]:
            shapes = shapes_of(place.weights)
            try:
                network = layout.skeleton(layout.settings(shapes))
            except Exception:  # noqa: BLE001 - the shapes of another format may build anything or nothing
                continue
            if not differences(shapes_of(network.state_dict()), shapes):
                return f" It fits {'--autoencoder' if layout is AUTOENCODER else f'--format {layout.name}'}."
    return ""


def _listed(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in settings.items())
