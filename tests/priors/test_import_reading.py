"""Checkpoint files are read as plain data: what would run something, or is no whole checkpoint, is refused by name."""

from __future__ import annotations

import argparse
import collections
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from operators.common.errors import BadInput
from priors.files.importing.convert import import_checkpoint
from priors.files.importing.reading import read

STATE = {"init_conv.weight": torch.ones(8, 6, 7, 7), "final_conv.bias": torch.zeros(3)}


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RESTORE_PRIORS", str(tmp_path / "priors"))
    return tmp_path / "priors"


def saved(folder: Path, tree: Any, name: str = "model.pt") -> Path:
    path = folder / name
    torch.save(tree, path)
    return path


def test_plain_containers_are_read(tmp_path: Path) -> None:
    tree = {
        "params": collections.OrderedDict(STATE),
        "args": argparse.Namespace(lr=1e-4),
        "by": collections.defaultdict(list, {"a": [1]}),
    }
    found = read(saved(tmp_path, tree))
    assert torch.equal(found["params"]["init_conv.weight"], STATE["init_conv.weight"])
    assert found["args"].lr == 1e-4 and found["by"]["a"] == [1]


class Malice:
    """Unpickling it makes a file."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (str(self.canary),)


def write_zip(path: Path, tree: Any) -> None:
    torch.save(tree, path)


def write_legacy(path: Path, tree: Any) -> None:
    torch.save(tree, path, _use_new_zipfile_serialization=False)


def write_pickle(path: Path, tree: Any) -> None:
    path.write_bytes(pickle.dumps(tree))


@pytest.mark.parametrize("write", [write_zip, write_legacy, write_pickle])
@pytest.mark.parametrize("deep", [False, True])
def test_a_pickle_that_would_run_something_is_refused_by_name_and_runs_nothing(
    tmp_path: Path, own_folder: Path, write: Callable[[Path, Any], None], deep: bool
) -> None:
    canary = tmp_path / "canary"
    path = tmp_path / "model.pth"
    state: dict[str, Any] = dict(STATE) if deep else {}
    write(path, {**state, "opt": [{"a": Malice(canary)}]})
    with pytest.raises(BadInput, match=r"asks for .*\b(posix|nt)\.mkdir"):
        import_checkpoint(path, format="ir-sde")
    assert not canary.exists() and not own_folder.exists()


def test_a_class_of_another_package_is_named(tmp_path: Path) -> None:
    path = saved(tmp_path, {"state_dict": {}, "when": np.float64(3.0)})
    with pytest.raises(BadInput, match=r"numpy.*Save its bare|numpy.*save its bare"):
        read(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"hello, this is no network", "neither"),
        (b"PK\x03\x04 cut", "truncated"),
        (b"\x80\x02}", "read"),
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "model.pth"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=said):
        read(path)


def test_a_truncated_checkpoint_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, STATE)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(BadInput, match="truncated or damaged"):
        read(path)


def test_an_archive_that_unpacks_to_more_than_its_size_is_refused(tmp_path: Path) -> None:
    import zipfile

    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model/data.pkl", b"\0" * 1_000_000)
    with pytest.raises(BadInput, match="unpacks to 1000000"):
        read(path)


def test_a_torchscript_program_is_refused(tmp_path: Path) -> None:
    import zipfile

    path = tmp_path / "script.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/constants.pkl", b"x")
        archive.writestr("model/data.pkl", b"x")
    with pytest.raises(BadInput, match="TorchScript"):
        read(path)


def test_a_refusal_never_advises_to_open_the_file_unsafely(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    path.write_bytes(pickle.dumps({"a": 1}, protocol=2)[:-3] + b"\x93.")
    with pytest.raises(BadInput) as caught:
        read(path)
    assert "weights_only" not in str(caught.value)
