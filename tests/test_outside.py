"""The one door for what comes from outside: what it refuses, and that nobody goes round it."""

from __future__ import annotations

import ast
import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import restore
from operators import BadInput
from operators.common import array_files, outside
from restore.cli import main

ROOT = Path(restore.__file__).parents[1]

# -- who opens files -------------------------------------------------------------------------------------------------

OPENERS = {
    *("open", "os.open", "io.open", "np.load", "np.loadtxt", "np.genfromtxt", "np.fromfile", "np.memmap", "h5py.File"),
    *("tomllib.load", "tomllib.loads", "json.load", "json.loads", "sqlite3.connect", "torch.load", "safe_open"),
    *("load_file", "zipfile.ZipFile", "zipfile.is_zipfile", "tarfile.open", "Image.open", "scipy.io.loadmat"),
    *("tifffile.TiffFile", "tifffile.imread", "zarr.open", "zarr.open_group", "zarr.open_array"),
}
METHODS = {"open", "read_text", "read_bytes"}  # of a path
CHECKED = ("source.path", "outside.checked(", "checked(source.path)")  # the path went through the door
OURS = "ships with the package"
SYSTEM = "the system tells of itself"
REPOSITORY = "a page of the repository, for those who work on it"
ALLOWED = {
    ("operators/common/outside.py", "*"): "the door itself",
    ("operators/common/atomic.py", "*"): "files that are written",
    ("restore/io/npz.py", ".open"): "a member of an archive that came through the door",
    ("operators/common/array_files.py", ".open"): "a member of an archive that came through the door",
    ("benchmarks/sets/collecting.py", ".open"): "a member of an archive that came through the door",
    ("benchmarks/sets/collecting.py", "zipfile.is_zipfile"): "an archive that was just fetched and looked at",
    ("benchmarks/records/store.py", "sqlite3.connect"): "looked at by `_check_file` before",
    ("restore/reconstruction.py", "h5py.File"): "looked at in the line before",
    ("benchmarks/records/store.py", "h5py.File"): "looked at in the line before",
    ("benchmarks/runs/mapping/streaming.py", "h5py.File"): "a file of the work folder that this program has made",
    ("restore/runs/plan.py", ".open"): "a plan opens an item",
    ("restore/runs/execute.py", ".open"): "a plan opens an item",
    ("restore/runs/calibrating.py", ".open"): "a plan opens an item",
    ("benchmarks/cases/__init__.py", ".open"): "a kind of case opens an item",
    ("operators/blurring/kernels/__init__.py", "np.loadtxt"): "a text that came through the door",
    ("restore/tasks/settings.py", "tomllib.loads"): "a value of the command line",
    ("priors/files/words.py", "tomllib.loads"): "a word of the command line",
    ("benchmarks/studies/tune.py", "tomllib.loads"): "a word of the command line",
    ("benchmarks/records/machine.py", ".read_text"): SYSTEM,
    ("benchmarks/peers/memory.py", ".read_text"): SYSTEM,
    ("benchmarks/studies/fuzz.py", "*"): "files that it has made",
    ("benchmarks/studies/kills.py", "*"): "files that it has made",
    ("benchmarks/records/versions.py", "*"): "the sources of the package",
    ("benchmarks/studies/structure.py", "*"): "the sources of the package",
    ("benchmarks/studies/mutants.py", "*"): "the sources of the package",
    ("benchmarks/studies/residual_comparison.py", "*"): REPOSITORY,
    ("benchmarks/studies/posterior_statistics.py", "*"): REPOSITORY,
    ("benchmarks/tables/results_page.py", "*"): REPOSITORY,
    ("benchmarks/peers/page.py", "*"): REPOSITORY,
    ("benchmarks/peers/ffdnet.py", "*"): "weights and pictures that the study itself fetched",
    ("benchmarks/commands/bench.py", ".read_text"): "tables that were written the moment before",
    ("restore/commands/tabulated.py", "*"): OURS,
    ("restore/commands/tables.py", ".read_text"): "a card that ships, or that `restore import` wrote",
    ("priors/training/recipe.py", "*"): OURS,
    ("restore/tasks/__init__.py", ".read_text"): OURS,
    ("restore/solvers/tuned/__init__.py", "*"): OURS,
    ("restore/report/page.py", ".read_text"): OURS,
    ("benchmarks/tables/leaderboard/page.py", ".read_text"): OURS,
    ("benchmarks/suites/__init__.py", ".read_text"): OURS,
    ("benchmarks/sets/datasets.py", "*"): "the list and the manifests that ship or that `restore data add` wrote",
    ("priors/files/embedded.py", ".read_text"): OURS,
}


def opened_in(path: Path) -> Iterator[tuple[str, int]]:
    """What opens a file in a module (its name as written, ".open" for a method), without those that write."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        text = ast.unparse(node)
        name = ast.unparse(node.func)
        if name not in OPENERS:
            if not isinstance(node.func, ast.Attribute) or node.func.attr not in METHODS or name.startswith("outside."):
                continue
            name = f".{node.func.attr}"
        words = [a.value for a in [*node.args, *(k.value for k in node.keywords)] if isinstance(a, ast.Constant)]
        writes = any(
            isinstance(word, str) and word[:1] in "wax" and set(word) <= set("waxb+") for word in words if word
        )
        if not writes and not any(mark in text for mark in CHECKED):
            yield name, node.lineno


def test_nobody_opens_a_file_of_others_but_through_the_door() -> None:
    round_it, used = [], set()
    for package in ("operators", "priors", "restore", "benchmarks"):
        for path in sorted((ROOT / package).rglob("*.py")):
            where = path.relative_to(ROOT).as_posix()
            for name, number in opened_in(path):
                keys = {(where, name), (where, "*")} & set(ALLOWED)
                used |= keys
                if not keys:
                    round_it.append(f"{where}:{number} {name}")
    assert round_it == []
    assert set(ALLOWED) - used == set()  # an exception that nothing needs is none


def test_the_search_sees_every_kind_of_opening(tmp_path: Path) -> None:
    lines = ["with open(p) as f: ...", "np.load(p)", "Path(p).read_text()", "json.loads(t)", "torch.load(p)"]
    (tmp_path / "m.py").write_text("\n".join([*lines, "p.open('wb')", "np.memmap(source.path)", "open(p, 'w')"]))
    assert sorted(number for _, number in opened_in(tmp_path / "m.py")) == [1, 2, 3, 4, 5]


# -- what the door refuses -------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def in_time() -> Iterator[None]:
    """Whatever waits for a pipe is a failure and no test that hangs."""

    def late(*_: object) -> None:
        raise AssertionError("it waits for something that will not come")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def _fifo(path: Path) -> Path:
    os.mkfifo(path)
    return path


def _socket(path: Path) -> Path:
    with socket.socket(socket.AF_UNIX) as bound:
        before = Path.cwd()
        os.chdir(path.parent)  # the name of a socket may have some hundred bytes
        try:
            bound.bind(path.name)
        finally:
            os.chdir(before)
    return path


def _link(target: str | Path) -> Callable[[Path], Path]:
    def make(path: Path) -> Path:
        path.symlink_to(path.name if target == "itself" else target)
        return path

    return make


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


STRANGE: dict[str, Callable[[Path], Path]] = {
    "pipe": _fifo,
    "socket": _socket,
    "link to a device without end": _link("/dev/zero"),
    "loop": _link("itself"),
    "link to nowhere": _link("/nowhere/at-all"),
    "folder": _folder,
}


@pytest.mark.parametrize("kind", STRANGE)
def test_what_is_no_file_is_refused_before_it_is_opened(tmp_path: Path, kind: str) -> None:
    path = STRANGE[kind](tmp_path / "x")
    for read in (outside.checked, outside.content, outside.text, outside.sha256, array_files.read_array):
        with pytest.raises(outside.ReadError, match=f"^{path}: "):
            read(path)


def test_a_file_of_the_system_that_has_no_size_is_not_waited_for() -> None:
    with pytest.raises(outside.ReadError, match="empty"):
        outside.open_source("/proc/self/maps")


def test_a_file_that_is_too_large_or_no_text_is_refused(tmp_path: Path) -> None:
    with (path := tmp_path / "x.toml").open("wb") as file:
        file.truncate(outside.MAX_TEXT + 1)
    with pytest.raises(outside.ReadError, match="at most"):
        outside.text(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(outside.ReadError, match="no text"):
        outside.text(path)


@pytest.mark.parametrize(
    "words",
    ['{"a": 1, "a": 2}', "NaN", "[Infinity]", "1e999", "{", "[" * 100_000, '{"a": ' * 100_000, "9" * 5000, "\0"],
)
def test_json_that_two_readers_would_read_differently_is_refused(words: str) -> None:
    with pytest.raises(BadInput, match="w is not JSON"):
        outside.json_value(words, where="w")


@pytest.mark.parametrize("words", ["a = 1\na = 2", "a = " + "[" * 5000, "a = " + "9" * 5000, "a = 0000-99-99", "\0"])
def test_toml_that_is_none_is_refused(words: str) -> None:
    with pytest.raises(BadInput, match="w is not TOML"):
        outside.toml(words, where="w")


def test_arrays_of_parameters_are_bounded_and_native(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(6, dtype=">f4").reshape(2, 3))
    np.savez(tmp_path / "a.npz", x=np.asfortranarray(np.arange(6.0).reshape(2, 3)))
    for name in ("a.npy", "a.npz"):
        read = array_files.read_array(tmp_path / name)
        assert np.array_equal(read, np.arange(6).reshape(2, 3)) and read.dtype.isnative
    np.save(tmp_path / "words.npy", np.array(["a", "b"]))
    with pytest.raises(BadInput, match="numbers"):
        array_files.read_array(tmp_path / "words.npy")
    (tmp_path / "lying.npy").write_bytes((tmp_path / "a.npy").read_bytes().replace(b"(2, 3)", b"(9, 9)"))
    with pytest.raises(BadInput, match="lying"):
        array_files.read_array(tmp_path / "lying.npy")


# -- every option that names a file ----------------------------------------------------------------------------------

RUN = ("run", "--task", "denoise", "--solver", "tikhonov", "--out", "out", "--quiet")
MEASURED = (*RUN, "--input", "x.png", "--measured", "--sigma", "0.1")
COMMANDS: dict[str, tuple[str, ...]] = {
    "input": (*RUN, "--input", "X"),
    "measured input": (*RUN, "--input", "X", "--measured", "--sigma", "0.1"),
    "mask": (*MEASURED, "--mask", "X"),
    "kernel": (*MEASURED, "--kernel", "X"),
    "array": (*MEASURED, "--array", "maps=X"),
    "task": ("run", "--task", "X.toml", "--out", "out"),
    "prior": ("run", "--task", "denoise", "--input", "x.png", "--prior", "X.safetensors", "--out", "out"),
    "report": ("report", "X"),
    "rerun": ("rerun", "X"),
    "score": ("score", "x.png", "X"),
    "import": ("import", "X", "--format", "rddm", "--out", "out"),
    "autoencoder": ("import", "x.png", "--format", "resshift", "--autoencoder", "X", "--out", "out"),
    "suite": ("bench", "--suite", "X.toml", "--out", "out"),
    "map": ("bench", "map", "--task", "denoise", "--input", "X", "--out", "out.h5"),
    "store": ("bench", "report", "S"),
    "submission": ("bench", "validate", "S", "S"),
    "data": ("data", "add", "mine", "X"),
    "weights": ("train", "natural", "--data", ".", "--weights", "X", "--out", "out"),
}


@pytest.mark.parametrize("kind", STRANGE)
@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_that_names_a_file_refuses_what_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RESTORE_CONFIG", str(tmp_path / "config"))
    restore.write("x.png", torch.zeros(3, 16, 16))
    for suffix in ("", ".toml", ".safetensors"):
        STRANGE[kind](tmp_path / f"X{suffix}")
    (tmp_path / "S").mkdir()
    STRANGE[kind](tmp_path / "S" / "results.sqlite")
    before = sorted(p.name for p in tmp_path.iterdir())
    capsys.readouterr()
    assert main(list(COMMANDS[command])) == 2
    told = capsys.readouterr().err
    assert told.startswith("restore: ") and told.count("\n") == 1 and "Traceback" not in told
    assert sorted(p.name for p in tmp_path.iterdir()) == before


@pytest.mark.parametrize("kind", ["pipe", "link to a device without end"])
def test_a_chunk_of_a_zarr_store_that_is_no_file_is_refused(tmp_path: Path, kind: str) -> None:
    pytest.importorskip("zarr")
    store = restore.write(tmp_path / "x.zarr", torch.rand(3, 16, 16))
    chunk = max((path for path in store.rglob("*") if path.is_file()), key=lambda path: len(path.parts))
    chunk.unlink()
    STRANGE[kind](chunk)
    with pytest.raises(outside.ReadError, match="plain files"):
        restore.read(store)
