"""Where the networks of a checkpoint lie, and which of them trainers mean as an average of the weights.

A place is a container of the checkpoint and a prefix before the network's own keys. Whether it holds averaged or raw
weights is told by the innermost of those names that says so: `ema`, `params_ema`, `state_dict_ema`, `model_ema.`,
`ema_denoise_fn.`, `ema / ema_model.` are averages; `ema / online_model.`, `ema / collected_params` are not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from operators.common.errors import BadInput

from .reading import SAVE_AGAIN

AVERAGED = frozenset(("ema", "emas", "averaged", "averaging", "average", "avg", "swa", "shadow", "polyak"))
RAW = frozenset(("online", "current", "collected", "backup", "raw"))
DENIED = frozenset(("non", "no", "not", "without"))  # non_ema: the weights beside the averaged ones
_WRAPPING = (
    "module model models net network networks unet denoise denoising denoiser fn diffusion generator g backbone score "
    "eps noise predictor restoration inner first stage forward fsdp wrapped orig mod state dict weights params "
    "parameters copy helper exponential moving stochastic weight bsn"
)
WRAPPING = frozenset(_WRAPPING.split())
"""Words of names that wrap a network. A prefix of other words (unet0.) belongs to a part of another network."""

TRAINING = re.compile(r"opts?|.*optim.*|.*sched.*|.*scaler|loops", re.IGNORECASE)  # names of a trainer's own state
COUNTERS = ("n_averaged", "num_updates")  # how often an average was updated
DEEPEST = 8  # containers in containers
MOST = 200_000  # containers of one checkpoint: an optimizer's state has one for each parameter

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_GLUED = re.compile(rf"ema({'|'.join(sorted(WRAPPING))})|({'|'.join(sorted(WRAPPING))})ema")


@dataclass(frozen=True)
class Container:
    """The tensors of one dictionary or list of a checkpoint. path: names from outside in. counts: its counters."""

    path: tuple[str, ...]
    tensors: Mapping[str, Tensor]
    counts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Place:
    """A network's weights in a checkpoint, keyed as the network has them.

    averaged: by its names. prefix: before the keys. beside: what else stands in the module around it (schedules).
    """

    container: Container
    prefix: str
    averaged: bool
    weights: Mapping[str, Tensor]
    beside: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def where(self) -> str:
        """Container and prefix, in words."""
        return where(self.container.path, self.prefix)


def where(path: tuple[str, ...], prefix: str) -> str:
    """A container and a prefix, in words."""
    return " ".join(filter(None, ("/".join(path), prefix.rstrip(".")))) or "the file itself"


def containers(tree: Any) -> list[Container]:
    """Every dictionary and list of a checkpoint that holds tensors; of an optimizer's state only averages in it."""
    return list(_walk(tree, (), [0]))


def _walk(tree: Any, path: tuple[str, ...], visited: list[int]) -> Iterator[Container]:
    if isinstance(tree, Mapping):
        entries = {str(key): value for key, value in tree.items()}
    elif isinstance(tree, list | tuple):
        entries = {str(index): value for index, value in enumerate(tree)}
    else:
        return
    if len(path) > DEEPEST:
        return
    visited[0] += 1
    if visited[0] > MOST:  # containers that hold each other again and again
        raise BadInput(f"the checkpoint holds more than {MOST} dictionaries and lists", do=SAVE_AGAIN)
    training = any(TRAINING.fullmatch(name) for name in path)
    tensors = {key: value for key, value in entries.items() if isinstance(value, Tensor)}
    if training and not any("ema" in _words(name) for name in path):
        # An optimizer that averages keeps the average of each parameter beside its moments, numbered.
        states = {key: value["ema"] for key, value in entries.items() if isinstance(value, Mapping) and "ema" in value}
        if states and all(isinstance(value, Tensor) for value in states.values()):
            yield Container((*path, "ema"), states)
        tensors = {}
    counts = {
        key: float(value) for key, value in entries.items() if key.rpartition(".")[2] in COUNTERS and _is_number(value)
    }
    if tensors or counts:
        yield Container(path, tensors, counts)
    for key, value in entries.items():
        yield from _walk(value, (*path, key), visited)


def _is_number(value: Any) -> bool:
    return value.numel() == 1 if isinstance(value, Tensor) else isinstance(value, int | float)


def said(name: str) -> bool | None:
    """True where a name says averaged, False where it says raw, None where it says neither."""
    words = _words(name)
    if any(word in AVERAGED or _GLUED.fullmatch(word) for word in words):
        return not any(word in DENIED for word in words)
    return False if any(word in RAW for word in words) else None


def _words(name: str) -> list[str]:
    return [word.lower() for word in _WORDS.findall(name)]


def innermost(container: Container, prefix: str, swapped: bool = False) -> bool:
    """Whether the names of a place say averaged, the innermost that says anything deciding."""
    for name in reversed((*container.path, *prefix.split("."))):
        if swapped and name in SWAPPED:
            return SWAPPED[name]
        answer = said(name)
        if answer is not None:
            return answer
    inner = [key for key in container.tensors if key not in BOOKKEEPING]
    # torch's AveragedModel, under whatever name
    return "n_averaged" in container.counts and inner != [] and all(key.startswith("module.") for key in inner)


SWAPPED = {"state_dict": True, "ema_state_dict": False}
"""What MMEngine and Lightning's WeightAveraging write: the average under the usual name, the raw weights aside."""


def is_swapped(tree: Any) -> bool:
    """Whether the checkpoint's `state_dict` is the average by the habit of the program that wrote it."""
    if not isinstance(tree, Mapping):
        return False
    about = tree.get("meta")
    engine = isinstance(about, Mapping) and "mmengine_version" in about and "ema_state_dict" in tree
    return engine or ("averaging_state" in tree and "current_model_state" in tree)


def wraps(prefix: str) -> bool:
    """Whether a prefix is made of names that wrap a whole network."""
    return all(_wraps(name) for name in prefix.rstrip(".").split(".")) if prefix else True


def _wraps(name: str) -> bool:
    words, answer = _words(name), said(name)
    known = WRAPPING | AVERAGED | RAW | DENIED
    return name.isdigit() or all(
        word in known or _GLUED.fullmatch(word) is not None or (answer is not None and word.isdigit()) for word in words
    )


def places(tree: Any, anchors: tuple[str, ...]) -> list[Place]:
    """Every place that has one of the anchors behind a prefix that wraps a whole network, in the file's order."""
    swapped = is_swapped(tree)
    found: list[Place] = []
    for container in containers(tree):
        prefixes = {
            key.removesuffix(anchor)
            for anchor in anchors
            for key in container.tensors
            if key == anchor or key.endswith("." + anchor)
        }
        shortest = sorted(filter(wraps, prefixes), key=lambda text: (len(text), text))
        found += [_place(container, prefix, swapped) for prefix in shortest]
    return found


def _place(container: Container, prefix: str, swapped: bool) -> Place:
    tensors = container.tensors
    outer = prefix[: prefix[:-1].rfind(".") + 1]
    weights = {
        key[len(prefix) :]: value
        for key, value in tensors.items()
        if key.startswith(prefix) and unmarked(key[len(prefix) :])
    }
    beside = {k[len(outer) :]: v for k, v in tensors.items() if k.startswith(outer) and not k.startswith(prefix)}
    return Place(
        container,
        prefix,
        innermost(container, prefix, swapped),
        weights,
        {key: value for key, value in beside.items() if unmarked(key)} if prefix else {},
    )


def unmarked(key: str) -> bool:
    """Whether nothing in a key says that another set of weights begins there, nor that it counts an average."""
    *names, last = key.split(".")
    return last not in BOOKKEEPING and "ema" not in _words(last) and all(said(name) is None for name in names)


BOOKKEEPING = frozenset((*COUNTERS, "decay", "initted", "step", "steps"))
"""Numbers that averages are kept with."""
