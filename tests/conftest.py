"""Shared files, from the folders RESTORE_DATA, RESTORE_WEIGHTS and RESTORE_REFERENCE; a skip that says so without."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    # One thread for each worker: two pools of threads on the same cores wait for one another.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def _folder(variable: str) -> Path:
    value = os.environ.get(variable)
    if not value:
        pytest.skip(f"{variable} is not set: this test needs the shared files it names")
    path = Path(value)
    if not path.is_dir():
        pytest.fail(f"{variable} names {path}, which is not a folder")
    return path


@pytest.fixture
def device() -> str:
    """Where a law is tested: the processor, and by `pytest_generate_tests` CUDA too."""
    return "cpu"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """What asks for `device` runs on CUDA too, where it is at hand."""
    if "device" in metafunc.fixturenames:
        import torch  # after the line on threads above

        if torch.cuda.is_available():
            metafunc.parametrize("device", ["cpu", "cuda"])


@pytest.fixture
def data_root() -> Path:
    return _folder("RESTORE_DATA")


@pytest.fixture
def weights_root() -> Path:
    return _folder("RESTORE_WEIGHTS")


@pytest.fixture
def reference() -> Callable[[str], Mapping[str, np.ndarray]]:
    root = _folder("RESTORE_REFERENCE")

    def load(name: str) -> Mapping[str, np.ndarray]:
        with np.load(root / f"{name}.npz", allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}

    return load
