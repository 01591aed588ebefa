"""Items on a real dask cluster of this machine, one of whose workers is killed in the middle of its work."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bench_helpers import HERE, bench, context, rows, suite, table

import restore
from benchmarks.runs import executors, mapping, runner
from benchmarks.runs.mapping.request import Request

distributed = pytest.importorskip("distributed", reason="dask is not installed: pip install restore[cluster]")

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def client() -> Any:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("OMP_NUM_THREADS", "1")
        environment.setenv("PYTHONPATH", os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")]))
        cluster = distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0", silence_logs=50
        )
        opened = distributed.Client(cluster)
        opened.run(lambda: __import__("sys").path.insert(0, str(HERE)))
        yield opened
        opened.close()
        cluster.close()


def kill_one(client: Any, killed: list[int]) -> None:
    """End a worker with SIGKILL, the first time that this is called."""
    if not killed:
        killed.append(next(iter(client.run(os.getpid).values())))
        with contextlib.suppress(ProcessLookupError):
            os.kill(killed[0], signal.SIGKILL)


def test_a_worker_that_is_killed_in_the_middle_loses_nothing(tiny: Path, tmp_path: Path, client: Any) -> None:
    from benchmarks.runs.executors.cluster import Cluster

    bench(tmp_path / "here", "slow_identity", "identity")
    killed: list[int] = []

    chosen = suite("slow_identity", "identity", timeout=600.0)
    executor = Cluster(client, threads=1)
    _, progress = runner.bench(
        chosen, tmp_path / "there", context=context(), executor=executor, tell=lambda *_: kill_one(client, killed)
    )
    assert killed and progress.done == 12 and progress.failed == 0
    assert len(rows(tmp_path / "there")) == 12
    assert table(tmp_path / "there") == table(tmp_path / "here")


def test_a_worker_that_is_killed_loses_nothing_of_a_large_picture(tmp_path: Path, client: Any) -> None:
    from benchmarks.runs.executors.cluster import Cluster

    source = np.random.default_rng(0)
    restore.write(tmp_path / "x.h5", torch.from_numpy(source.random((3, 200, 150))).float())
    request = Request("denoise", tmp_path / "x.h5", tile=64, halo=4, blend=4, solver="bench_methods:slow_identity")
    killed: list[int] = []
    found = {}
    for name, executor in (("here", executors.make("serial")), ("there", Cluster(client, threads=1))):
        out = tmp_path / f"{name}.h5"
        tell = {"here": lambda *_: None, "there": lambda *_: kill_one(client, killed)}[name]
        done = mapping.restore_file(request, out, context=context(), executor=executor, tell=tell)
        assert done.progress is not None and done.progress.reasons == {}
        found[name] = out.read_bytes()
    assert killed and found["here"] == found["there"]
