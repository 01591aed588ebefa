"""What the tests of the runner share: a tiny suite, and a store as text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks import suites
from benchmarks.cases.planning import Context
from benchmarks.records.store import Store
from benchmarks.runs import runner

HERE = Path(__file__).parent
SUITE = """
version = 1
summary = "for tests"
timeout = {timeout}
[[part]]
tasks = ["{task}"]
sets = ["tiny"]
crop = 32
solvers = [{solvers}]
metrics = {{{metrics}}}
"""
TASK = """
version = 1
summary = "noise, nothing else"
[operator]
name = "identity"
[noise]
name = "gaussian"
sigma = 0.1
[solver]
name = "tikhonov"
[baseline]
name = "measurement"
[metrics]
psnr = "psnr[rgb,clip,peak=1]"
"""
VOLATILE = ("seconds", "memory", "date")


def suite(*solvers: str, timeout: float = 60.0, metrics: str = "") -> suites.Suite:
    named = ", ".join(f'"bench_methods:{name}"' for name in solvers)
    text = SUITE.format(solvers=named, timeout=timeout, metrics=metrics, task="plain.toml")
    return suites.parse(text, name="tests")


def context(**more: Any) -> Context:
    return Context(settings={"device": "cpu", "dtype": "float32"}, keep_first=0, **more)


def bench(out: Path, *solvers: str, executor: Any = None, timeout: float = 60.0, **more: Any) -> runner.Tally:
    _, progress = runner.bench(suite(*solvers, timeout=timeout), out, context=context(**more), executor=executor)
    return progress


def rows(out: Path) -> list[Any]:
    store = Store(out, create=False)
    try:
        return store.rows()
    finally:
        store.close()


def table(out: Path) -> str:
    """The store as text, without what may differ between equal runs."""
    lines = []
    for row in rows(out):
        fixed = {k: v for k, v in row.columns.items() if not any(word in k for word in VOLATILE) and k != "machine"}
        lines.append(f"{sorted(fixed.items())} {sorted((k, v) for k, v in row.scores.items())}")
    return "\n".join(lines)
