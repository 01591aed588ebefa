"""ImageNet features for learned metrics: from RESTORE_WEIGHTS, from the torch hub cache, or downloaded once.

What is found is checked by its hash before it is used; what cannot be had is `Unavailable` at once, and the failure is
remembered for the life of the process. Another network is never put in its place.
"""

from __future__ import annotations

import hashlib
import os
import threading
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from operators.common import outside
from operators.common.errors import Unavailable

from .download import download, file_sha256

_BASE = "https://download.pytorch.org/models/"


@dataclass(frozen=True)
class FeatureSource:
    """Where the convolutions of one ImageNet network are.

    stored: file below RESTORE_WEIGHTS, safetensors with torchvision's own key names (`features.0.weight`, ...).
    tensors: sha256 of those tensors' bytes in key order, "" where no such file was ever published.
    published: torchvision's file name, which ends in the first digits of its sha256; megabytes: its size.
    """

    net: str
    stored: str
    tensors: str
    published: str
    megabytes: int

    @property
    def url(self) -> str:
        return _BASE + self.published

    @property
    def cached(self) -> Path:
        """Where torch.hub would keep the published file."""
        return Path(torch.hub.get_dir()) / "checkpoints" / self.published

    @property
    def prefix(self) -> str:
        return self.published.rsplit("-", 1)[1].removesuffix(".pth")


SOURCES = {
    "alex": FeatureSource(
        net="alex",
        stored="lpips/alexnet_features.safetensors",
        tensors="276812cc7430109e87ad2847e4409809bf867956c8a5e9621ae88a1bfcb08e76",
        published="alexnet-owt-7be5be79.pth",
        megabytes=244,
    ),
    "vgg": FeatureSource(
        net="vgg", stored="lpips/vgg16_features.safetensors", tensors="", published="vgg16-397923af.pth", megabytes=528
    ),
}

_lock = threading.RLock()
_failed: dict[tuple[str, str, str], Unavailable] = {}


@dataclass(frozen=True)
class Status:
    """What `restore doctor` shows: the file that is used, or why there is none and what brings it."""

    net: str
    path: Path | None
    reason: str = ""
    do: str = ""


def load(net: str) -> dict[str, Tensor]:
    """The convolutions of `net` under torchvision's key names; Unavailable where they cannot be had."""
    source = SOURCES[net]
    key = (net, os.environ.get("RESTORE_WEIGHTS", ""), str(source.cached))
    with _lock:
        if key in _failed:
            raise _failed[key]
        _, tensors, reasons = _search(source)
        if tensors is not None:
            return tensors
        try:
            return _published(source, download(source.url, source.cached, sha256_prefix=source.prefix))
        except Unavailable as error:
            _failed[key] = _missing(source, [*reasons, error.found])
            raise _failed[key] from error


def fetch(net: str = "alex") -> Path:
    """Download the published file to torch.hub's cache unless a sound copy is there; its path.

    Shows a progress bar on a terminal. Unavailable (with URL, size and where to put the file by hand) on failure.
    """
    source = SOURCES[net]
    with _lock:
        _failed.clear()
        try:
            if source.cached.is_file() and file_sha256(source.cached).startswith(source.prefix):
                return source.cached
            return download(source.url, source.cached, sha256_prefix=source.prefix)
        except Unavailable as error:
            raise _missing(source, [error.found]) from error


def status(net: str = "alex") -> Status:
    """Whether the features are here and sound; never touches the network."""
    source = SOURCES[net]
    path, _, reasons = _search(source)
    if path is not None:
        return Status(net, path)
    missing = _missing(source, reasons)
    return Status(net, None, missing.found, missing.do)


def _search(source: FeatureSource) -> tuple[Path | None, dict[str, Tensor] | None, list[str]]:
    """The first sound copy on this machine, and why each place before it has none."""
    reasons = []
    root = os.environ.get("RESTORE_WEIGHTS")
    if root:
        stored = Path(root) / source.stored
        try:
            return stored, _stored(source, stored), []
        except Unavailable as error:
            reasons.append(error.found)
    else:
        reasons.append("RESTORE_WEIGHTS is not set")
    try:
        return source.cached, _published(source, source.cached), []
    except Unavailable as error:
        reasons.append(error.found)
    return None, None, reasons


def _stored(source: FeatureSource, path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load as from_bytes

    if not path.is_file():
        raise Unavailable(f"{path} is not there")
    try:
        tensors = from_bytes(outside.content(path))
    except (outside.ReadError, OSError, SafetensorError) as error:
        raise Unavailable(f"{path} cannot be read ({error})") from error
    digest = hashlib.sha256()
    for key in sorted(tensors):
        digest.update(tensors[key].contiguous().view(torch.uint8).numpy().tobytes())
    if source.tensors and digest.hexdigest() != source.tensors:
        raise Unavailable(
            f"{path} does not hold the expected tensors (sha256 {digest.hexdigest()[:8]}, not {source.tensors[:8]})"
        )
    return tensors


def _published(source: FeatureSource, path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise Unavailable(f"{path} is not there")
    # The hash comes first: nothing of an unknown file is decoded.
    digest = file_sha256(path)
    if not digest.startswith(source.prefix):
        raise Unavailable(f"{path} is damaged (sha256 begins with {digest[:8]}, not {source.prefix})")
    tensors = torch.load(outside.checked(path), map_location="cpu", weights_only=True)
    return {key: value for key, value in tensors.items() if key.startswith("features.")}


def _missing(source: FeatureSource, reasons: list[str]) -> Unavailable:
    return Unavailable(
        f"the ImageNet features of lpips[{source.net}] are not here: {'; '.join(reasons)}",
        do=f"Run `restore doctor --fetch lpips`, or put {source.url} ({source.megabytes} MB) at {source.cached}.",
    )
