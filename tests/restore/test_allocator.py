"""Freed memory is kept by the programs, in a process of its own: the setting cannot be taken back."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from restore.runs.allocator import keep_freed_memory

FAULTS = """
import resource
import torch
from restore.runs.allocator import keep_freed_memory

def faults():
    source = torch.zeros(1 << 24)  # 64 megabytes: 16384 pages, more than glibc ever keeps of itself
    for _ in range(20):  # the first few still find their places in the heap
        source.clone()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        source.clone()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

before = faults()
print(keep_freed_memory(), before, faults())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a setting of glibc")
def test_a_tensor_takes_the_memory_that_the_last_one_left() -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_"))}
    done = subprocess.run([sys.executable, "-c", FAULTS], env=environment, capture_output=True, text=True, check=True)
    kept, before, after = done.stdout.split()
    if kept == "False":
        pytest.skip("the C library here is not glibc")
    assert int(after) < 16384 <= int(before)


def test_what_the_user_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1000000")
    assert not keep_freed_memory()
