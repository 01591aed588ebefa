"""Commands that are killed and given again end as if nothing had been; more: `python -m benchmarks.studies.kills`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.studies import kills

KILLS = 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("kills")
    kills.prepare(path)
    return path


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[kills.Server]:
    opened = kills.Server(folder)
    yield opened
    opened.close()


@pytest.mark.parametrize("name", [name for name, scene in kills.scenes().items() if not scene.dask])
def test_a_command_that_is_killed_ends_like_one_that_was_not(name: str, folder: Path, server: kills.Server) -> None:
    cost = kills.cost(kills.scenes()[name], folder, server, kills=KILLS, seed=len(name))
    assert cost.kills == KILLS and cost.equal


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_client_of_a_cluster_that_is_killed_ends_like_one_that_was_not(folder: Path, server: kills.Server) -> None:
    pytest.importorskip("distributed", reason="dask is not installed: pip install restore[cluster]")
    with kills.cluster() as address:
        for name in ("bench-dask", "map-dask"):
            cost = kills.cost(kills.scenes()[name], folder, server, kills=KILLS, seed=3, address=address)
            assert cost.equal, name


def test_what_the_scenes_leave_tells_one_result_from_another(folder: Path, server: kills.Server) -> None:
    """Equal bytes would say nothing if every result had them."""
    scene = kills.scenes()["run"]
    for out, seed in (("a", "0"), ("b", "1")):
        words = [word.replace("OUT", out) for word in scene.words]
        assert server.run([*words, "--seed", seed]) == 0
    assert scene.left(folder / "a") != scene.left(folder / "b")
