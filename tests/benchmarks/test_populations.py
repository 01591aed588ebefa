"""FID and KID in a table: taken over all pictures of a method, or empty with the reason."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bench_helpers import rows, suite
from torch import Tensor

from benchmarks.cases.planning import Context
from benchmarks.records.store import Store
from benchmarks.runs import runner
from benchmarks.tables import leaderboard
from benchmarks.tables.leaderboard import tables
from operators.common.errors import Unavailable
from restore.metrics import distribution

METRICS = 'kid = "kid", fid = "fid"'


def ran(out: Path, **more: Any) -> Store:
    context = Context(settings={"device": "cpu", "dtype": "float32"}, keep_first=0)
    chosen = suite("identity", metrics=METRICS).narrowed(**more)
    runner.bench(chosen, out, context=context)
    return Store(out, create=False)


def features(pictures: Iterable[Tensor]) -> Tensor:
    """Means over a 4 x 4 grid in the network's place."""
    return torch.stack([torch.nn.functional.adaptive_avg_pool2d(p, 4).flatten() for p in pictures])


def test_too_few_pictures_leave_the_cell_empty_with_the_reason(tiny: Path, tmp_path: Path) -> None:
    store = ran(tmp_path / "out")
    written = leaderboard.write(store)
    board = tables.gather(store)
    store.close()
    for line in board.lines:
        assert line.cells["kid[inception]"].value.mean is None
        assert line.cells["kid[inception]"].reason == "4 pictures, and kid needs 50"
        assert line.cells["fid[inception]"].reason == "4 pictures, and fid needs 2049"
    assert any("4 pictures, and kid needs 50" in path.read_text("utf-8") for path in written if path.suffix == ".md")


def test_enough_pictures_give_the_distance_of_all_kept_estimates_to_the_truths(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distribution, "inception_features", features)
    monkeypatch.setattr(distribution, "KID_LEAST", 4)
    store = ran(tmp_path / "out", seeds=2)
    board = tables.gather(store)
    line = next(line for line in board.lines if line.role == "solver")
    arrays = [store.estimate(row.key) or {} for row in rows(tmp_path / "out") if row.role == "solver"]
    estimates = features(torch.from_numpy(a["estimate"]).clamp(0, 1) for a in arrays)
    truths = {np.asarray(a["truth"]).tobytes(): torch.from_numpy(a["truth"]) for a in arrays}
    cell = line.cells["kid[inception]"]
    assert len(estimates) == 8 and len(truths) == 4
    assert cell.value.mean == pytest.approx(distribution.kid(estimates, features(truths.values())), rel=1e-5)
    assert cell.images == 4 and cell.reason == ""
    monkeypatch.setattr(distribution, "inception_features", None)  # remembered: not asked again
    assert tables.gather(store).lines == board.lines
    store.close()


def test_without_the_network_the_cell_says_what_to_do(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(pictures: object) -> Tensor:
        raise Unavailable("the Inception weights are not here", do="Connect once.")

    monkeypatch.setattr(distribution, "inception_features", absent)
    monkeypatch.setattr(distribution, "KID_LEAST", 4)
    store = ran(tmp_path / "out")
    cell = tables.gather(store).lines[0].cells["kid[inception]"]
    store.close()
    assert cell.value.mean is None and "Connect once" in cell.reason
