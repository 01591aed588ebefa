"""The averaged weights of a checkpoint, under whatever names its trainer wrote them.

Three ways to write an average: under the network's own names behind a prefix or in a container of its own; under those
names without their dots (latent diffusion) or with underscores in their place (MMCV); as a list without names, in the
order of the network's parameters. The last two need the raw weights beside them, which say names, shapes and order.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from .places import Container, Place, innermost, said, unmarked, where, wraps

UNKNOWN = "keys that say so."
SHOWN = 3  # keys listed of each kind of mismatch


@dataclass(frozen=True)
class Average:
    """Averaged weights that were found.

    where: they stood. weights: by the network's keys. fault: why they cannot be used; empty where they can. filled:
    whether buffers, which averages leave out, came from the raw weights.
    """

    where: str
    weights: Mapping[str, Tensor]
    fault: str = ""
    filled: bool = False


def averages(
    found: Sequence[Container], reference: Place, parameters: frozenset[str], *, swapped: bool = False
) -> list[Average]:
    """Every average of the network in these containers, whole or faulty.

    reference: the raw weights, or where there are none, averaged ones that keep the network's names. parameters: the
    keys of the network that are trained; the others are buffers.
    """
    answers = []
    found = _joined(found)
    for container in found:
        for prefix, tensors in _roots(container, reference, swapped).items():
            average = _match(where(container.path, prefix), tensors, reference, parameters)
            if average is not None:
                idle = _never_updated(found, container.path, prefix)
                answers.append(Average(average.where, average.weights, idle, average.filled) if idle else average)
    return answers


def _roots(container: Container, reference: Place, swapped: bool) -> dict[str, dict[str, Tensor]]:
    """The averaged tensors of a container by the prefix up to the last name that says so."""
    roots: dict[str, dict[str, Tensor]] = {}
    for key, value in container.tensors.items():
        *names, last = key.split(".")
        length = max((index + 1 for index, name in enumerate(names) if said(name) is not None), default=0)
        prefix = "".join(name + "." for name in names[:length])
        rest = key[len(prefix) :]
        for mark, bare in (("ema_", key.removeprefix("ema_")), ("_ema", key.removesuffix("_ema"))):
            # glued to the network's own key, or in front of one that has lost its dots
            known = bare.removeprefix(reference.prefix) in reference.weights
            glued = (known and (mark == "_ema" or not wraps(prefix))) or (mark == "ema_" and not names)
            if bare != key and glued:
                prefix, rest = mark, bare
        if innermost(container, prefix, swapped):
            roots.setdefault(prefix, {})[rest] = value
        elif said(last):  # a way to name them that is not known here: seen by their shapes, and refused
            roots.setdefault(UNKNOWN, {})[key] = value
    return roots


def _joined(found: Sequence[Container]) -> list[Container]:
    """The containers inside an average's container as one, with dotted keys; lists stay by themselves."""
    together: dict[tuple[str, ...], dict[str, Tensor]] = {}
    counts: dict[tuple[str, ...], dict[str, float]] = {}
    for container in found:
        path, listed = container.path, all(key.isdigit() for key in container.tensors)
        depth = max((index + 1 for index, name in enumerate(path) if said(name) is not None), default=0)
        base = path[:depth] if depth and said(path[depth - 1]) and not listed else path
        inner = "".join(name + "." for name in path[len(base) :])
        together.setdefault(base, {}).update({inner + key: value for key, value in container.tensors.items()})
        counts.setdefault(base, {}).update({inner + key: value for key, value in container.counts.items()})
    return [Container(path, tensors, counts[path]) for path, tensors in together.items()]


def _match(place: str, tensors: dict[str, Tensor], reference: Place, parameters: frozenset[str]) -> Average | None:
    for way in (_numbered, _named, _squeezed):
        average = way(place, tensors, reference, parameters)
        if average is not None:
            return average
    shapes = Counter(tuple(value.shape) for value in tensors.values() if value.ndim)
    wanted = Counter(tuple(reference.weights[key].shape) for key in parameters)
    if parameters and 2 * (shapes & wanted).total() >= len(parameters):
        return Average(place, {}, f"its names, such as {next(iter(tensors))}, are not the network's")
    return None


def _named(place: str, tensors: dict[str, Tensor], reference: Place, parameters: frozenset[str]) -> Average | None:
    """Under the network's own names, behind one prefix."""
    behind: Counter[str] = Counter()
    for key in tensors:
        names = key.split(".")
        for index in range(len(names)):
            prefix = "".join(name + "." for name in names[:index])
            if key[len(prefix) :] in reference.weights and wraps(prefix):
                behind[prefix] += 1
                break
    if not behind:
        return None
    prefix = max(behind, key=lambda text: (behind[text], -len(text)))
    weights = {key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)}
    weights = {key: value for key, value in weights.items() if unmarked(key)}
    several = [text for text, count in behind.items() if count == behind[prefix]]
    if len(several) > 1 and behind[prefix] >= len(parameters):
        return Average(place, {}, f"it holds several networks ({_listed(several)})")
    mixed = len(behind) > 1 and any(key not in weights for key in parameters)
    fault = f"its keys stand behind different prefixes ({_listed(sorted(behind))})" if mixed else ""
    return _completed(place, weights, reference, parameters, fault)


def _squeezed(place: str, tensors: dict[str, Tensor], reference: Place, parameters: frozenset[str]) -> Average | None:
    """Under names without dots, or with underscores for dots."""
    given = [re.sub(r"[._]", "", key) for key in tensors]
    values = dict(zip(given, tensors.values(), strict=True))
    outer = reference.prefix.split(".")[:-1]
    best: dict[str, str] = {}
    for index in range(len(outer) + 1):  # the average may be of a module around the network
        prefix = "".join(outer[index:])
        names = {key: re.sub(r"[._]", "", prefix + key) for key in reference.weights}
        present = {key: name for key, name in names.items() if name in values}
        best = max(best, present, key=len)
    if 2 * len(best) < len(parameters) or not best:
        return None
    twice = [name for name, times in (Counter(given) + Counter(best.values())).items() if times > 2]
    if twice:
        return Average(place, {}, f"{_listed(twice)} stand for several keys each")
    if place.endswith("ema_"):
        return Average(
            place, {}, "its names are those of MMCV, which swaps average and raw weights in some of its runs"
        )
    return _completed(place, {key: values[name] for key, name in best.items()}, reference, parameters, "")


def _numbered(place: str, tensors: dict[str, Tensor], reference: Place, parameters: frozenset[str]) -> Average | None:
    """A list in the order of the parameters: the network's, or those of everything that stands with it."""
    if not tensors or set(tensors) != {str(index) for index in range(len(tensors))}:
        return None
    values = [tensors[str(index)] for index in range(len(tensors))]
    shapes_here = {reference.weights[key].shape for key in parameters if reference.weights[key].ndim > 1}
    if not any(value.shape in shapes_here for value in values):
        return None  # losses and the like
    order = [key for key in reference.weights if key in parameters]
    everything: dict[str, str | None] = {}
    for key in reference.container.tensors:
        inside = key.removeprefix(reference.prefix) if key.startswith(reference.prefix) else None
        if inside in reference.weights and inside not in parameters:
            continue
        everything[key] = inside if inside in parameters else None
    fault = ""
    for names, shapes in (
        (order, [reference.weights[key].shape for key in order]),
        (list(everything.values()), [reference.container.tensors[key].shape for key in everything]),
    ):
        if len(names) == len(values):
            wrong = [i for i, value in enumerate(values) if value.shape != shapes[i]]
            if not wrong and not reference.averaged:
                weights = {name: value for name, value in zip(names, values, strict=True) if name is not None}
                return _completed(place, weights, reference, parameters, "")
            if wrong:
                number = wrong[0]
                fault = (
                    f"number {number} of its list is {tuple(values[number].shape)} where the parameter "
                    f"{names[number]} is {tuple(shapes[number])}"
                )
    if not fault:
        fault = f"it is a list of {len(values)} tensors without names and the network has {len(order)} parameters"
    return Average(place, {}, fault)


def _completed(
    place: str, weights: Mapping[str, Tensor], reference: Place, parameters: frozenset[str], fault: str
) -> Average:
    """The average with the buffers of the raw weights where it has none; faulty where a parameter is missing."""
    buffers = {k: v for k, v in reference.weights.items() if k not in parameters and k not in weights}
    missing = [key for key in parameters if key not in weights]
    other = [k for k, v in weights.items() if k in reference.weights and v.shape != reference.weights[k].shape]
    if not fault and missing:
        ordered = [key for key in reference.weights if key in missing]
        fault = f"it lacks {len(missing)} of {len(parameters)} parameters ({_listed(ordered)})"
    if not fault and other:
        shapes = f"{tuple(weights[other[0]].shape)} for {tuple(reference.weights[other[0]].shape)}"
        fault = f"{len(other)} of its tensors have other shapes than the raw ones ({other[0]} {shapes})"
    return Average(place, {**buffers, **weights}, fault, filled=bool(buffers))


def _never_updated(found: Sequence[Container], path: tuple[str, ...], prefix: str) -> str:
    """Says so where a counter of the average, or of the container around it, is 0: it is no average yet."""
    for container in found:
        for key, count in container.counts.items():
            outer = key[: key.rfind(".") + 1]
            own = container.path == path and (prefix == outer or (outer != "" and prefix.startswith(outer)))
            around = not outer and path[:-1] == container.path and any(map(said, path))
            around = around or (path[:1] == ("state_dict",) and container.path == ("averaging_state",))
            if count == 0 and (own or around):
                return f"it was never updated ({key} is 0)"
    return ""


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(name or "none" for name in names[:SHOWN])
    return shown + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
