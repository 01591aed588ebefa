"""Stores and submissions of other people: each fault is told in one line, nothing is read or written elsewhere."""

from __future__ import annotations

import json
import os
import random
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from bench_helpers import bench

import restore
from benchmarks.records import submission
from benchmarks.records.store import FILE, Store
from operators import RestoreError
from restore.cli import main


@pytest.fixture
def results(tiny: Path, tmp_path: Path) -> Path:
    bench(tmp_path / "results", "identity")
    return tmp_path / "results"


@pytest.fixture
def theirs(results: Path, tmp_path: Path) -> Path:
    """A submission that is valid."""
    folder = tmp_path / "theirs"
    store = Store(results, create=False)
    submission.measurements(store, folder)
    store.close()
    (folder / "submission.toml").write_text('method = "theirs"\n')
    return folder


def first(folder: Path) -> Path:
    return sorted(folder.rglob("*.npy"))[0]


def replaced(path: Path) -> Path:
    path.unlink()
    return path


def lie(folder: Path) -> None:
    content = first(folder).read_bytes()
    first(folder).write_bytes(content.replace(b"(3, 32, 32)", b"(3, 99, 99)"))


def huge(folder: Path) -> None:
    header = first(folder).read_bytes()[:128].replace(b"(3, 32, 32), }      ", b"(3, 99999, 99999), }")
    with first(folder).open("wb") as file:
        file.write(header)
        file.truncate(128 + 4 * 3 * 99999**2)  # of zeros that take no room


def zipped(folder: Path) -> None:
    with first(folder).open("wb") as file:
        np.savez(file, x=np.zeros((3, 32, 32), np.float32))


def link_out(folder: Path) -> None:
    (folder.parent / "elsewhere.npy").write_bytes(first(folder).read_bytes())
    replaced(first(folder)).symlink_to(folder.parent / "elsewhere.npy")


def values(kind: str) -> Callable[[Path], None]:
    return lambda folder: np.save(first(folder), np.full((3, 32, 32), 1, kind), allow_pickle=True)


def text(words: str) -> Callable[[Path], None]:
    return lambda folder: (folder / "submission.toml").write_text(words) and None


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "lying": (lie, "lying"),
    "huge": (huge, "shape"),
    "a zip named .npy": (zipped, "no .npy file"),
    "a pipe": (lambda folder: os.mkfifo(replaced(first(folder))), "device or pipe"),
    "a loop": (lambda folder: replaced(first(folder)).symlink_to(first(folder).name + "x"), "no such file"),
    "a link to itself": (lambda folder: (p := replaced(first(folder))).symlink_to(p.name), "leads to itself"),
    "a device": (lambda folder: replaced(first(folder)).symlink_to("/dev/zero"), "device or pipe"),
    "a link out": (link_out, "link out of the submission"),
    "a folder": (lambda folder: replaced(first(folder)).mkdir(), "folder"),
    "empty": (lambda folder: first(folder).write_bytes(b""), "empty"),
    "integers": (values("u1"), "uint8"),
    "objects": (values("O"), "pickle"),
    "texts": (values("U1"), "<U1"),
    "a misspelt picture": (lambda folder: first(folder).with_name("p9.npy").touch(), "no picture of the run"),
    "a misspelt task": (lambda folder: (folder / "plian").mkdir(), "no picture of the run: plian"),
    "twice": (lambda folder: restore.write(first(folder).with_suffix(".png"), torch.zeros(3, 32, 32)), "2 files"),
    "seconds are NaN": (text('method = "m"\nseconds = nan\n'), "seconds"),
    "seconds are negative": (text('method = "m"\nseconds = -1\n'), "seconds"),
    "seconds without end": (text('method = "m"\nseconds = inf\n'), "seconds"),
    "many calls": (text('method = "m"\nnfe = 1e26\n'), "nfe"),
    "more calls": (text('method = "m"\nnfe = 100000000000000000000000000\n'), "nfe"),
    "calls without end": (text('method = "m"\nnfe = ' + "9" * 5000), "not TOML"),
    "a truth value": (text('method = "m"\nnfe = true\n'), "nfe"),
    "a key twice": (text('method = "m"\nmethod = "n"\n'), "not TOML"),
    "no name": (text('method = " "\n'), "no method"),
    "a name of two lines": (text('method = "a\\nb"\n'), "printable"),
    "a long name": (text(f'method = "{"m" * 5000}"\n'), "printable"),
    "an unknown key": (text('method = "m"\nsecond = 1\n'), "seconds"),
    "deep": (text("method = " + "[" * 5000), "not TOML"),
    "bytes": (lambda folder: (folder / "submission.toml").write_bytes(b"\xff\xfe"), "no text"),
    "a description that is a pipe": (lambda folder: os.mkfifo(replaced(folder / "submission.toml")), "pipe"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_a_submission_is_told_in_one_line(results: Path, theirs: Path, capsys, fault: str) -> None:
    spoil, told = FAULTS[fault]
    spoil(theirs)
    capsys.readouterr()
    assert main(["bench", "validate", str(results), str(theirs)]) == 2
    found = capsys.readouterr().err
    assert told in found and found.count("\n") == 1 and "Traceback" not in found
    assert main(["bench", "submit", str(results), str(theirs)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


# -- stores ----------------------------------------------------------------------------------------------------------

COMMANDS = (["report"], ["rescore"], ["measurements", "+m"], ["validate", "+theirs"])


def all_commands(results: Path, capsys) -> None:
    """Every command that reads a store ends well or in one line."""
    for name, *folders in COMMANDS:
        words = [str(results.with_name(folder[1:])) for folder in folders]
        capsys.readouterr()
        status = main(["bench", name, str(results), *words])
        told = capsys.readouterr().err
        assert status in (0, 2) and "Traceback" not in told
        assert status == 0 or told


@pytest.mark.parametrize("seed", range(12))
def test_an_edited_store_ends_in_one_line(results: Path, theirs: Path, capsys, seed: int) -> None:
    generator = random.Random(seed)
    odd = [None, "", "x", b"\xff\xfe", -1, 2**62, 1e300, "{", "[]", '{"a": 1}', "NaN", "[" * 5000, "../../EVIL"]
    with sqlite3.connect(results / FILE) as database:
        for _ in range(generator.randint(1, 3)):
            table = generator.choice(["rows", "scores", "problems", "runs"])
            columns = [name for (name,) in database.execute(f"SELECT name FROM pragma_table_info('{table}')")]
            words = f"UPDATE OR REPLACE {table} SET {generator.choice(columns)} = ?"
            with suppress(sqlite3.IntegrityError):  # no key is NULL
                database.execute(words, (generator.choice(odd),))
    database.close()
    before = set(results.parent.rglob("*EVIL*"))
    all_commands(results, capsys)
    assert set(results.parent.rglob("*EVIL*")) == before


@pytest.mark.parametrize("seed", range(6))
def test_a_store_with_damaged_bytes_ends_in_one_line(results: Path, theirs: Path, capsys, seed: int) -> None:
    generator = random.Random(seed)
    content = bytearray((results / FILE).read_bytes())
    for _ in range(generator.choice([1, 20, 300])):
        content[generator.randrange(16, len(content))] = generator.randrange(256)
    (results / FILE).write_bytes(content)
    all_commands(results, capsys)


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE VIEW more AS SELECT * FROM rows",
        "CREATE TRIGGER t AFTER INSERT ON runs BEGIN DELETE FROM rows; END",
        "ALTER TABLE rows ADD COLUMN more TEXT",
        "DROP TABLE scores",
    ],
)
def test_a_store_of_other_tables_is_refused(results: Path, capsys, statement: str) -> None:
    with sqlite3.connect(results / FILE) as database:
        database.execute(statement)
    database.close()
    assert main(["bench", "report", str(results)]) == 2
    assert "was not written by" in capsys.readouterr().err


def test_a_store_does_not_say_where_a_measurement_is_written(results: Path, tmp_path: Path) -> None:
    with sqlite3.connect(results / FILE) as database:
        (place,) = database.execute("SELECT place FROM problems").fetchone()
        where = {**json.loads(place), "y": str(tmp_path / "EVIL.h5")}
        database.execute("UPDATE problems SET place = ?", (json.dumps(where),))
    database.close()
    store = Store(results, create=False)
    assert {item.where["y"] for item in store.problems().values()} == {str((results / "EVIL.h5").resolve())}
    store.close()
    with pytest.raises(RestoreError):
        Store(tmp_path / "nothing", create=False)
