"""Other toolkits beside ours: entries of the benchmark (`SOLVERS`), and commands, `python -m benchmarks.peers.NAME`."""

from __future__ import annotations

from operators.common.registry import Entry, Registry

__all__ = ["SOLVERS"]

# Each is called as target(problem, prior, *, task, seed, **settings) -> estimate, with a prior that counts its calls.
# Its module has `ready()`, which imports what the method needs.
SOLVERS = Registry(
    "peer",
    {
        "deepinv-diffpir": Entry(
            "benchmarks.peers.deepinv_solvers:diffpir", "deepinv's DiffPIR on its own physics", "deepinv 0.5.0"
        ),
        "deepinv-dps": Entry(
            "benchmarks.peers.deepinv_solvers:dps", "deepinv's DPS on its own physics", "deepinv 0.5.0"
        ),
    },
)
