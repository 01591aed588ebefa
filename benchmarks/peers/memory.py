"""Memory that a contestant needs: the growth of the resident set of a process of its own (Linux).

A process is forked from a server that has imported the libraries and computed nothing, so that neither imports nor
what other contestants left behind count. From its high-water mark, the growth is taken over building the operator, one
forward and one adjoint call: arrays that one contestant makes at the start and another at its first call count alike.
"""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

from .contest import FAMILIES, contests

LIBRARIES = (
    "torch",
    "operators",
    "deepinv.physics",
    "astra",
    "sigpy.linop",
    "kornia.enhance",
    "skimage.transform",
    "scipy.signal",
    "scipy.sparse",
    "torchkbnufft",
    "pylops",
    "finufft",
    *(f"benchmarks.peers.families.{family}" for family in FAMILIES),
)
PATIENCE = 60.0  # seconds


def memory(family: str, side: int, index: int, name: str, *, threads: int) -> float | None:
    """Megabytes that a contestant of the family's contest number `index` adds; None where it gave no answer."""
    context = multiprocessing.get_context("forkserver")
    # Libraries that are absent are passed over, and so are they by the contest itself.
    context.set_forkserver_preload(list(LIBRARIES))
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_grown, args=(family, side, index, name, threads, sender))
    child.start()
    sender.close()
    try:
        grown = float(receiver.recv()) if receiver.poll(PATIENCE) else None
    except EOFError:  # the child ended early: out of memory
        grown = None
    child.kill()
    child.join()
    return grown


def _grown(family: str, side: int, index: int, name: str, threads: int, sender: Any) -> None:
    import torch

    import operators

    torch.set_num_threads(threads)
    for entry in operators.REGISTRY:  # modules that are imported at first use are no part of an operator
        operators.REGISTRY.load(entry)
    build = list(contests(family, side))[index].contestants[name]
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts again from here
    before = _status("VmRSS")
    calls = build()
    calls.forward()
    if calls.adjoint is not None:
        calls.adjoint()
    sender.send((_status("VmHWM") - before) / 1024)


def _status(key: str) -> int:
    """Kilobytes that Linux reports for this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))
