"""LPIPS: the authors' numbers where the features are here, null at once where they cannot be had."""

from __future__ import annotations

import hashlib
import shutil
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from operators import Unavailable
from restore import metrics
from restore.metrics import download, features
from restore.metrics import lpips as learned

NAME = "lpips[alex,v0.1]"


@pytest.fixture
def example(weights_root: Path) -> Callable[[str], Tensor]:
    from PIL import Image

    def read(name: str) -> Tensor:
        with Image.open(weights_root / "lpips" / f"{name}.png") as picture:
            codes = np.asarray(picture.convert("RGB"), dtype=np.float32)
        return torch.from_numpy(codes / 255).permute(2, 0, 1)[None]

    return read


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[object]]:
    """No weights folder, an empty cache, a network that refuses every connection; the attempts made."""
    attempts: list[object] = []

    def refuse(*address: object, **_: object) -> None:
        attempts.append(address)
        raise ConnectionRefusedError("no network in this test")

    monkeypatch.delenv("RESTORE_WEIGHTS", raising=False)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(learned, "_networks", {})
    monkeypatch.setattr(features, "_failed", {})
    yield attempts


@pytest.mark.parametrize(("name", "value"), [("ex_p0", 0.721881), ("ex_p1", 0.137566)])
def test_the_authors_example_pairs_have_the_authors_values(
    example: Callable[[str], Tensor], name: str, value: float
) -> None:
    # float32 network: the last digit given may differ between processors
    assert float(metrics.parse(NAME)(example(name), example("ex_ref"))) == pytest.approx(value, abs=2e-6)


def test_a_batch_scores_each_picture_bitwise_as_if_alone(example: Callable[[str], Tensor]) -> None:
    estimate, truth = torch.cat([example("ex_p0"), example("ex_p1")]), example("ex_ref").expand(2, -1, -1, -1)
    together = metrics.parse(NAME)(estimate, truth)
    alone = torch.cat([metrics.parse(NAME)(e[None], t[None]) for e, t in zip(estimate, truth, strict=True)])
    assert torch.equal(together, alone)


def test_equal_pictures_have_distance_zero_and_gray_is_repeated(example: Callable[[str], Tensor]) -> None:
    truth, estimate = example("ex_ref"), example("ex_p0")
    assert float(metrics.parse(NAME)(truth, truth)) == 0
    gray = metrics.parse(NAME)(estimate[:, :1], truth[:, :1])
    assert torch.equal(
        gray, metrics.parse(NAME)(estimate[:, :1].expand(1, 3, 64, 64), truth[:, :1].expand(1, 3, 64, 64))
    )


def test_the_smallest_legal_picture_has_a_score(weights_root: Path) -> None:
    small = torch.full((1, 3, 31, 31), 0.5)
    assert 0 < float(metrics.parse(NAME)(small + 0.3, small)) < 2


def test_building_the_network_leaves_the_random_state_and_default_type_alone(
    weights_root: Path, monkeypatch: pytest.MonkeyPatch, example: Callable[[str], Tensor]
) -> None:
    expected = metrics.parse(NAME)(example("ex_p0"), example("ex_ref"))
    monkeypatch.setattr(learned, "_networks", {})
    before = torch.get_rng_state()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            value = metrics.parse(NAME)(example("ex_p0"), example("ex_ref"))
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(value, expected)
    assert torch.equal(torch.get_rng_state(), before)


def test_status_names_the_file_that_is_used(weights_root: Path) -> None:
    assert learned.status().path == weights_root / "lpips" / "alexnet_features.safetensors"


def test_without_weights_and_network_the_score_is_null_at_once_with_the_command(nowhere: list[object]) -> None:
    picture = torch.full((1, 3, 64, 64), 0.5)
    start = time.monotonic()
    scores = metrics.evaluate(picture + 0.1, picture, {"lpips": NAME, "psnr": "psnr"})
    # importing the download library is part of it
    assert time.monotonic() - start < 10
    assert scores["psnr"].value is not None
    assert scores["lpips"].value is None
    reason = scores["lpips"].reason
    assert reason is not None
    for part in ("restore doctor --fetch lpips", "RESTORE_WEIGHTS is not set", features.SOURCES["alex"].url, "244 MB"):
        assert part in reason
    assert metrics.as_metrics_json(scores)["reasons"] == {"lpips": reason}


def test_a_failed_look_up_is_not_tried_again_by_the_process(nowhere: list[object]) -> None:
    picture = torch.full((1, 3, 64, 64), 0.5)
    first = metrics.evaluate(picture, picture, [NAME])
    tried = len(nowhere)
    assert tried > 0
    assert metrics.evaluate(picture, picture, [NAME]) == first
    assert len(nowhere) == tried


def test_status_and_fetch_say_what_is_missing_and_status_asks_no_network(nowhere: list[object]) -> None:
    assert learned.status().path is None
    assert "restore doctor --fetch lpips" in learned.status().do
    assert nowhere == []
    with pytest.raises(Unavailable, match="cannot be reached"):
        learned.fetch()


def test_a_silent_network_is_given_up_within_the_connect_time(
    nowhere: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "CONNECT_SECONDS", 0.3)
    awake = threading.Event()

    def hang(*_: object, **__: object) -> None:
        awake.wait(20)
        raise ConnectionRefusedError("no network in this test")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    import requests  # noqa: F401 - its import time is not the network's

    start = time.monotonic()
    with pytest.raises(Unavailable, match="no answer"):
        learned.fetch()
    assert time.monotonic() - start < 3
    awake.set()


def test_vgg_features_are_never_replaced_by_another_network(nowhere: list[object]) -> None:
    picture = torch.full((1, 3, 64, 64), 0.5)
    score = metrics.evaluate(picture, picture, ["lpips[vgg,v0.1]"])["lpips[vgg,v0.1]"]
    assert score.value is None
    assert score.reason is not None
    assert "vgg16-397923af.pth" in score.reason


def test_damaged_features_are_refused_by_their_hash(
    weights_root: Path, nowhere: list[object], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    copy = tmp_path / "weights" / "lpips" / "alexnet_features.safetensors"
    copy.parent.mkdir(parents=True)
    shutil.copy(weights_root / "lpips" / copy.name, copy)
    monkeypatch.setenv("RESTORE_WEIGHTS", str(tmp_path / "weights"))
    assert learned.status().path == copy
    spoiled = bytearray(copy.read_bytes())
    spoiled[len(spoiled) // 2] ^= 1
    copy.write_bytes(spoiled)
    assert learned.status().path is None
    assert "does not hold the expected tensors" in learned.status().reason
    copy.write_bytes(b"<html>log in first</html>")
    assert "cannot be read" in learned.status().reason


class Server:
    """Answers the one address of a published file, whole or from an offset, without a network."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.ranges: list[str] = []

    def head(self, url: str, **_: object) -> object:
        import requests

        answer = requests.Response()
        answer.status_code = 200
        return answer

    def get(self, url: str, *, headers: dict[str, str], **_: object) -> object:
        import io

        import requests

        self.ranges.append(headers.get("Range", ""))
        start = int(headers["Range"].removeprefix("bytes=").rstrip("-")) if headers else 0
        answer = requests.Response()
        answer.status_code = 206 if start else 200
        answer.raw = io.BytesIO(self.content[start:])
        return answer


@pytest.fixture
def server(nowhere: list[object], monkeypatch: pytest.MonkeyPatch) -> Server:
    import requests

    served = Server(b"published weights" * 1000)
    digest = hashlib.sha256(served.content).hexdigest()
    source = features.FeatureSource("alex", "none", "", f"net-{digest[:8]}.pth", 1)
    monkeypatch.setattr(features, "SOURCES", {"alex": source})
    monkeypatch.setattr(requests, "head", served.head)
    monkeypatch.setattr(requests, "get", served.get)
    return served


def test_a_download_is_checked_and_put_in_place_once(server: Server) -> None:
    path = features.fetch()
    assert path.read_bytes() == server.content
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    assert features.fetch() == path
    assert len(server.ranges) == 1


def test_an_interrupted_download_goes_on_where_it_stopped(server: Server) -> None:
    partial = features.SOURCES["alex"].cached.with_suffix(".part")
    partial.parent.mkdir(parents=True)
    partial.write_bytes(server.content[:5000])
    assert features.fetch().read_bytes() == server.content
    assert server.ranges == ["bytes=5000-"]


def test_a_login_page_in_place_of_the_file_is_refused_and_leaves_nothing(server: Server) -> None:
    server.content = b"<html>log in first</html>"
    with pytest.raises(Unavailable, match="gave another file"):
        features.fetch()
    assert list(features.SOURCES["alex"].cached.parent.iterdir()) == []


def test_a_damaged_cache_entry_is_fetched_again(server: Server) -> None:
    cached = features.SOURCES["alex"].cached
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"half of it")
    assert features.status().path is None
    assert features.fetch().read_bytes() == server.content


def test_building_the_network_prints_and_warns_nothing(
    weights_root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(learned, "_networks", {})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        learned.network("alex")
    assert capsys.readouterr().out == ""
