"""Memory that one step frees is kept for the next one."""

from __future__ import annotations

import ctypes
import os
import sys

MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1  # glibc's malloc.h
LARGEST_KEPT = (1 << 30, 1 << 25)  # releases of glibc differ in the largest threshold that they take
KEPT = 1 << 30


def keep_freed_memory() -> bool:
    """Have glibc keep up to a gibibyte of freed memory; whether that was done.

    By default it gives every large tensor back to the system when it is freed, and the next one is mapped and cleared
    anew, page by page. This is a setting of the whole process, so only the programs of this package ask for it, never
    the library; and not where MALLOC_* or GLIBC_TUNABLES set their own.
    """
    if not sys.platform.startswith("linux") or any(
        name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ
    ):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # absent from other C libraries
    if mallopt is None:
        return False
    return any(mallopt(MMAP_THRESHOLD, size) for size in LARGEST_KEPT) and bool(mallopt(TRIM_THRESHOLD, KEPT))
