"""Freed memory is kept by the programs, in a process of its own: the setting cannot be taken back."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

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


def report(**environment: str) -> list[str]:
    given = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_"))} | environment
    done = subprocess.run([sys.executable, "-c", FAULTS], env=given, capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a setting of glibc")
def test_a_tensor_takes_the_memory_that_the_last_one_left() -> None:
    kept, before, after = report()
    if kept == "False":
        pytest.skip("the C library here is not glibc")
    assert int(after) < 16384 <= int(before)


def test_what_the_user_has_set_stays() -> None:
    assert report(MALLOC_TRIM_THRESHOLD_="1000000")[0] == "False"
