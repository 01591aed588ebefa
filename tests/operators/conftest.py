"""Laws that every operator keeps, as functions; `laws` hands them to the tests."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def laws() -> ModuleType:
    # Test folders are no packages (import-mode=importlib), so the file beside this one is loaded by its path.
    spec = importlib.util.spec_from_file_location("operator_laws", Path(__file__).with_name("laws.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
