"""A checkpoint file as plain data: tensors and plain containers, and nothing that a file could run."""

from __future__ import annotations

import argparse
import pickletools
import re
import types
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from operators.common import outside
from operators.common.errors import BadInput


def _plain_dict(_factory: object = None) -> dict[Any, Any]:
    """What a defaultdict is read as; torch fills no other mapping than a dict."""
    return {}


PLAIN = (
    argparse.Namespace,
    types.SimpleNamespace,
    (_plain_dict, "collections.defaultdict"),
    *(list, dict, int, float),  # what a defaultdict makes
)
"""Containers allowed beside what torch allows by itself (tensors, numbers, text, dict, list, OrderedDict, sizes)."""

SAVE_AGAIN = "If you trust the file, save its bare state_dict where it was made, and import that."
_GLOBAL = re.compile(r"GLOBAL ([\w.]+)")


def read(path: Path) -> Any:
    """What is in a file of torch.save or safetensors, on the CPU.

    BadInput, and nothing has been run: no such file, another kind of file, a damaged one, an archive that unpacks to
    more than its size, a pickle that names anything outside the plain containers (each such name is told).
    """
    with outside.opened(path) as file:
        head = file.read(16)
    if head[:2] == b"PK":
        return _zipped(path)
    if head[8:9] == b"{":
        return _safetensors(path)
    if head[:1] == b"\x80":
        return _unpickled(path)
    kind = "empty" if not head else "neither a torch checkpoint nor safetensors"
    raise BadInput(f"{path} is {kind}", wanted="a .pth, .pt, .ckpt or .safetensors file as released")


def _safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(outside.checked(path))
    except SafetensorError as error:
        raise BadInput(f"{path} is not a whole safetensors file ({error})", do="Fetch it again.") from error


def _zipped(path: Path) -> Any:
    try:
        with zipfile.ZipFile(outside.checked(path)) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise BadInput(f"{path} is truncated or damaged ({error})", do="Fetch it again.") from error
    size = sum(member.file_size for member in members)
    if size > path.stat().st_size:  # torch stores, it never packs
        raise BadInput(f"{path} of {path.stat().st_size} bytes unpacks to {size}", do="This is no file of torch.save.")
    names = {Path(member.filename).name for member in members}
    if "constants.pkl" in names:
        raise BadInput(f"{path} is a TorchScript program", wanted="a state_dict", do="Import the released weights.")
    if "data.pkl" not in names:
        raise BadInput(f"{path} is an archive without weights", wanted="a file of torch.save")
    with torch.serialization.safe_globals(list(PLAIN)):
        try:
            strange = torch.serialization.get_unsafe_globals_in_checkpoint(path)
        except Exception as error:  # a damaged pickle fails in many ways
            raise BadInput(f"{path} is damaged ({type(error).__name__}: {error})", do="Fetch it again.") from error
    if strange:
        raise refused(path, strange)
    return _unpickled(path)


def _unpickled(path: Path) -> Any:
    with torch.serialization.safe_globals(list(PLAIN)), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pickles that another protocol wrote: they are read or refused below
        try:
            return torch.load(outside.checked(path), map_location="cpu", weights_only=True)
        except Exception as error:
            names = _GLOBAL.findall(str(error)) or _globals_named(path)
            if names:
                raise refused(path, names) from None
            # Of torch's own words only the cause: the rest advises to open the file unsafely.
            cause = str(error).rpartition("WeightsUnpickler error:")[2].partition("Check the documentation")[0]
            reason = " ".join(cause.split())[:200] or type(error).__name__
            raise BadInput(f"{path} cannot be read as plain data ({reason})", do=SAVE_AGAIN) from error


def _globals_named(path: Path) -> list[str]:
    """What the first pickle of a file that was refused asks for, read without running it; only to tell it."""
    names: list[str] = []
    words: list[str] = []
    try:
        with outside.opened(path) as file:
            for opcode, argument, _ in pickletools.genops(file):
                if opcode.name == "GLOBAL":
                    names.append(str(argument).replace(" ", "."))
                elif opcode.name == "STACK_GLOBAL":
                    names.append(".".join(words[-2:]))
                elif isinstance(argument, str):
                    words.append(argument)
    except ValueError:  # no pickle after all
        return names
    return names


def refused(path: Path, names: list[str]) -> BadInput:
    """The error for a checkpoint that asks for these names, any of which could run code."""
    listed = ", ".join(sorted(set(names)))
    return BadInput(
        f"{path} was not opened: it asks for {listed}, and a checkpoint that may do so can run anything",
        wanted="tensors in plain containers",
        do=SAVE_AGAIN,
    )
