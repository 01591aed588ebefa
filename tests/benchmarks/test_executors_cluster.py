"""Items on a real dask cluster of this machine, one of whose workers is killed in the middle of its work."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from bench_helpers import HERE, bench, context, rows, suite, table

from benchmarks import runner

distributed = pytest.importorskip("distributed", reason="dask is not installed: pip install restore[cluster]")

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")]))
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
    )
    opened = distributed.Client(cluster)
    opened.run(lambda: __import__("sys").path.insert(0, str(HERE)))
    yield opened
    opened.close()
    cluster.close()


def test_a_worker_that_is_killed_in_the_middle_loses_nothing(tiny: Path, tmp_path: Path, client: Any) -> None:
    from benchmarks.executors.cluster import Cluster

    bench(tmp_path / "here", "slow_identity", "identity")
    killed: list[int] = []

    def kill_one(item: Any, outcome: Any) -> None:
        if not killed:
            killed.append(next(iter(client.run(os.getpid).values())))
            with contextlib.suppress(ProcessLookupError):
                os.kill(killed[0], signal.SIGKILL)

    chosen = suite("slow_identity", "identity", timeout=600.0)
    executor = Cluster(client, threads=1)
    _, progress = runner.bench(chosen, tmp_path / "there", context=context(), executor=executor, tell=kill_one)
    assert killed and progress.done == 12 and progress.failed == 0
    assert len(rows(tmp_path / "there")) == 12
    assert table(tmp_path / "there") == table(tmp_path / "here")
