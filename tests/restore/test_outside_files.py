"""Files that come from other people: results, stores and weights that say what no program of ours writes."""

from __future__ import annotations

import io
import json
import os
import random
import sqlite3
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import restore
from operators import BadInput, RestoreError
from priors.files import embedded
from priors.files.checkpoints import load_network, save_network
from priors.networks.unet import UNet
from restore.cli import main

SMALL = {"channels": 3, "widths": [8], "blocks": [1], "unshuffle": 2, "embedding": 8}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    restore.write(folder / "x.png", torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(1)))
    out = folder / "out"
    command = ["run", "--task", "denoise", "--solver", "tikhonov", "--input", str(folder / "x.png"), "--out", str(out)]
    assert main([*command, "--quiet", "--no-baseline"]) == 0
    return out


@pytest.fixture
def result(finished: Path, tmp_path: Path) -> Path:
    for name in ("result.h5", "metrics.json"):
        (tmp_path / name).write_bytes((finished / name).read_bytes())
    return tmp_path / "result.h5"


def refused(result: Path, capsys: pytest.CaptureFixture[str], *commands: str) -> None:
    for command in commands:
        assert main([command, str(result)]) == 2, command
        told = capsys.readouterr().err
        assert told.count("\n") == 1 and "Traceback" not in told


def test_a_link_out_of_a_result_file_is_not_followed(result: Path, tmp_path: Path, capsys) -> None:
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["y"] = np.ones((1, 3, 16, 16), np.float32)
    with h5py.File(result, "a") as file:
        del file["y"]
        file["y"] = h5py.ExternalLink("secret.h5", "/y")
    refused(result, capsys, "report", "rerun")


def test_an_array_that_was_never_written_is_not_allocated(result: Path, capsys) -> None:
    with h5py.File(result, "a") as file:
        del file["samples"]
        file.create_dataset("samples", shape=(1, 1, 3, 30_000, 30_000), dtype="f4", chunks=(1, 1, 1, 512, 512))
    refused(result, capsys, "report", "rerun")


def test_a_packed_array_that_promises_more_than_it_holds_is_refused(result: Path, capsys) -> None:
    with h5py.File(result, "a") as file:
        del file["estimate"]
        file.create_dataset("estimate", data=np.zeros((1, 3, 1024, 1024), np.float32), compression="gzip")
    refused(result, capsys, "report", "rerun")


def damaged(value: object, generator: random.Random) -> object:
    """The value with one part of another kind, missing, or odd."""
    odd = [None, "x", -1, 1e30, [], {}, True, [[1]], {"a": 1}]
    if isinstance(value, dict) and value and generator.random() < 0.8:
        key = generator.choice(sorted(value))
        if generator.random() < 0.3:
            return {k: v for k, v in value.items() if k != key}
        return {**value, key: damaged(value[key], generator)}
    if isinstance(value, list) and value and generator.random() < 0.8:
        place = generator.randrange(len(value))
        return [damaged(v, generator) if k == place else v for k, v in enumerate(value)]
    return generator.choice(odd)


@pytest.mark.parametrize("seed", range(25))
def test_edited_attributes_and_metrics_end_in_one_line_or_in_a_page(result: Path, capsys, seed: int) -> None:
    generator = random.Random(seed)
    with h5py.File(result, "a") as file:
        name = generator.choice(sorted(set(file.attrs) - {"format"}))
        file.attrs[name] = json.dumps(damaged(json.loads(file.attrs[name]), generator))
    if generator.random() < 0.5:
        metrics = result.with_name("metrics.json")
        metrics.write_text(json.dumps(damaged(json.loads(metrics.read_text()), generator)))
    for command in ("report", "rerun"):
        status = main([command, str(result), *(["--quiet"] if command == "rerun" else [])])
        told = capsys.readouterr().err
        assert status in (0, 1, 2) and "Traceback" not in told
        assert status != 2 or told.count("\n") == 1


# -- weights ---------------------------------------------------------------------------------------------------------


def weights(path: Path) -> Path:
    save_network(
        path,
        UNet(**SMALL),
        architecture="unet",
        settings=SMALL,
        preconditioning={"kind": "edm", "sigma_data": 0.5},
        notes={"steps": 1},
    )
    return path


def test_a_flipped_bit_in_weights_is_noticed(tmp_path: Path) -> None:
    path = weights(tmp_path / "net.safetensors")
    whole = bytearray(path.read_bytes())
    whole[-5] ^= 16
    path.write_bytes(whole)
    with pytest.raises(BadInput, match="digest differs"):
        load_network(path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("settings", "{"),
        ("settings", "[]"),
        ("settings", json.dumps({**SMALL, "channels": 1_000_000})),
        ("settings", json.dumps({**SMALL, "widths": [10**9]})),
        ("settings", json.dumps({**SMALL, "blocks": [10**9]})),
        ("settings", json.dumps({**SMALL, "embedding": 7})),
        ("settings", json.dumps({**SMALL, "no_such": 1})),
        ("settings", json.dumps({**SMALL, "widths": "wide"})),
        ("settings", json.dumps({**SMALL, "widths": list(range(10_000))})),
        ("architecture", "no-such-network"),
        ("preconditioning", "null"),
        ("preconditioning", json.dumps({"kind": "edm", "sigma_data": 0})),
        ("preconditioning", json.dumps({"kind": "edm", "sigma_data": "x"})),
        ("preconditioning", json.dumps({"kind": "edm", "odd": 1})),
        ("preconditioning", json.dumps({"kind": "residual"})),
        ("preconditioning", json.dumps({"kind": "residual", "process": "odd", "settings": {}, "gain": 1})),
        ("notes", "nothing"),
    ],
)
def test_a_header_that_describes_no_network_of_ours_is_refused(tmp_path: Path, key: str, value: str) -> None:
    path = weights(tmp_path / "net.safetensors")
    header = {
        "format": "restore-network-1",
        "architecture": "unet",
        "settings": json.dumps(SMALL),
        "preconditioning": json.dumps({"kind": "edm", "sigma_data": 0.5}),
        "notes": "{}",
        key: value,
    }
    save_file(load_file(path), path, header)
    with pytest.raises(RestoreError):
        embedded.from_file(path, name="net")


def test_the_weights_that_ship_are_those_that_their_list_names() -> None:
    listed = embedded.shipped_digests()
    assert set(listed) == {p.name for p in Path(embedded.weights_folder()).glob("*.safetensors")}


def test_shipped_weights_that_were_changed_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "SHA256SUMS").write_text((embedded.weights_folder() / "SHA256SUMS").read_text("utf-8"), "utf-8")
    weights(tmp_path / "natural.safetensors")
    monkeypatch.setattr(embedded, "weights_folder", lambda: tmp_path)
    with pytest.raises(BadInput, match="not the weights that ship"):
        embedded.shipped("natural")


# -- stores ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("column", ["image", "task", "data_set"])
@pytest.mark.parametrize("name", ["../../../../EVIL", "/etc/EVIL", "a/b", "..", "x\n"])
def test_a_name_in_a_store_leads_nowhere(tmp_path: Path, column: str, name: str) -> None:
    from benchmarks.records.store import FILE, Store

    store = Store(tmp_path / "store")
    with sqlite3.connect(store.folder / FILE) as database:
        values = {"image": "i", "task": "denoise", "data_set": "s", column: name}
        database.execute(
            "INSERT INTO problems VALUES ('p', 'pictures', ?, 1, ?, ?, 'h', '{}', 0, '{}')",
            (values["task"], values["data_set"], values["image"]),
        )
    database.close()
    with pytest.raises(BadInput, match="plain name"):
        store.problems()
    with pytest.raises(BadInput, match="plain name"):
        store.estimate_path(f"..{os.sep}..{os.sep}EVIL")


# -- names of arrays -------------------------------------------------------------------------------------------------

SLIPS = ["../../slip", "/etc/slip", "a/../slip", "a\\..\\slip", "a//b", "x" * 220, "a\nb", "."]


@pytest.mark.parametrize("name", SLIPS)
def test_the_name_of_an_array_that_leads_elsewhere_is_not_copied(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "in.npz", "w") as archive:
        data = io.BytesIO()
        np.save(data, np.zeros((8, 9), np.float32))
        archive.writestr(f"{name}.npy", data.getvalue())
    image = restore.read(tmp_path / "in.npz")
    restore.io.write_native(tmp_path / "out", image.data, image.meta)
    with zipfile.ZipFile(tmp_path / "out.npz") as archive:
        assert archive.namelist() == ["image.npy"]


def test_a_plain_name_in_groups_is_kept(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "in.h5", "w") as file:
        file["scan/x"] = np.zeros((8, 9), np.float32)
    image = restore.read(tmp_path / "in.h5")
    restore.io.write_native(tmp_path / "out", image.data, image.meta)
    assert restore.read(tmp_path / "out.h5", dataset="scan/x").data.shape == (1, 8, 9)
