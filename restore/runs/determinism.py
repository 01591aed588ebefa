"""Bitwise repetition on request: which switches torch has for it, set for one run and put back."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import torch

WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"  # cuBLAS repeats only with a workspace of fixed size


@contextlib.contextmanager
def repeatable(wanted: bool) -> Iterator[None]:
    """Only deterministic algorithms, no autotuning and no TF32 inside the block; everything as before after it."""
    if not wanted:
        yield
        return
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        cudnn.benchmark,
        cudnn.allow_tf32,
        matmul.allow_tf32,
        os.environ.get(WORKSPACE),
    )
    os.environ.setdefault(WORKSPACE, ":4096:8")
    torch.use_deterministic_algorithms(True)
    cudnn.benchmark = cudnn.allow_tf32 = matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        cudnn.benchmark, cudnn.allow_tf32, matmul.allow_tf32 = before[2:5]
        if before[5] is None:
            os.environ.pop(WORKSPACE, None)
