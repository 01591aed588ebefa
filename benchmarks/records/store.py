"""Results: one committed row per key in SQLite (WAL), estimates beside it in HDF5 files that are written whole.

Whatever a method's numbers depend on is hashed into the key, so rows of other code, weights, settings or pictures lie
beside the current ones and are never mixed with them.
"""

from __future__ import annotations

import datetime
import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from operators.common import outside
from operators.common.errors import BadInput, Unavailable

from .item import FAILED, OK, Item, Outcome, ScoreRow, digest

SCHEMA = 1
FILE = "results.sqlite"
MAGIC = b"SQLite format 3\0"
BUSY_SECONDS = 60.0
_TABLES = """
CREATE TABLE rows (
  key TEXT PRIMARY KEY, kind TEXT, task TEXT, task_version INTEGER, data_set TEXT, image TEXT, image_sha256 TEXT,
  method TEXT, role TEXT, solver TEXT, parameters TEXT, physics TEXT, prior TEXT, prior_sha256 TEXT, samples INTEGER,
  seed INTEGER, settings TEXT, code TEXT, problem TEXT, status TEXT, reason TEXT, nfe INTEGER, backward INTEGER,
  seconds REAL, network_seconds REAL, noise_seconds REAL, total_seconds REAL, memory_mb REAL, machine TEXT, date TEXT,
  digest TEXT
) WITHOUT ROWID;
CREATE TABLE scores (
  key TEXT, metric TEXT, place INTEGER, value REAL, flag TEXT, reason TEXT, version TEXT, digest TEXT,
  PRIMARY KEY (key, metric)
) WITHOUT ROWID;
CREATE TABLE problems (
  problem TEXT PRIMARY KEY, kind TEXT, task TEXT, task_version INTEGER, data_set TEXT, image TEXT, image_sha256 TEXT,
  physics TEXT, seed INTEGER, place TEXT
) WITHOUT ROWID;
CREATE TABLE runs (id INTEGER PRIMARY KEY, date TEXT, command TEXT, suite TEXT, plan TEXT, notes TEXT, machine TEXT);
CREATE TABLE pixels (name TEXT PRIMARY KEY, sha256 TEXT) WITHOUT ROWID;
"""
_PROBLEM = ("problem", "kind", "task", "task_version", "data_set", "image", "image_sha256", "physics", "seed")
_HASHED = (
    *("key", "kind", "task", "task_version", "data_set", "image", "image_sha256", "method", "role", "solver"),
    *("parameters", "prior", "prior_sha256", "samples", "seed", "code", "status", "reason", "nfe", "backward"),
    *("seconds", "network_seconds", "memory_mb"),
)


@dataclass(frozen=True)
class Row:
    """A stored row with its scores by canonical name."""

    columns: Mapping[str, Any]
    scores: Mapping[str, ScoreRow]

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["columns"][name]
        except KeyError:
            raise AttributeError(name) from None

    @property
    def ok(self) -> bool:
        return bool(self.columns["status"] == OK)


class Store:
    """The results of one output folder. Several processes may use it at once; a row is computed once or identically."""

    def __init__(self, folder: Path, *, create: bool = True) -> None:
        self.folder = Path(folder)
        path = self.folder / FILE
        if not create and not os.path.lexists(path):
            raise BadInput(f"no results in {folder}", do="Name a folder that `restore bench --out` wrote.")
        if os.path.lexists(path):
            _check_file(path)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
            self._prepare()
        except (sqlite3.DatabaseError, OSError) as error:
            raise Unavailable(f"{path} cannot be used ({error})", do="Choose another --out, or mend it.") from error

    def close(self) -> None:
        self._database.close()

    def discard(self) -> None:
        """Close a store that nothing was put into and delete it, and its folder where that is empty then."""
        self.close()
        for suffix in ("", "-wal", "-shm"):
            (self.folder / f"{FILE}{suffix}").unlink(missing_ok=True)
        with suppress(OSError):
            self.folder.rmdir()

    def _prepare(self) -> None:
        self._database.execute("PRAGMA trusted_schema=OFF")
        self._check_tables()
        self._database.execute("PRAGMA journal_mode=WAL")
        # Full: a committed row survives a power cut. A commit costs about a millisecond.
        self._database.execute("PRAGMA synchronous=FULL")
        with self._transaction():
            version = int(self._database.execute("PRAGMA user_version").fetchone()[0])
            if version == 0:
                for statement in _TABLES.split(";"):
                    if statement.strip():
                        self._database.execute(statement)
                self._database.execute(f"PRAGMA user_version={SCHEMA}")
            elif version != SCHEMA:
                raise BadInput(
                    f"{self.folder / FILE} has schema {version}",
                    wanted=str(SCHEMA),
                    do="Use the version that wrote it.",
                )

    def _check_tables(self) -> None:
        """BadInput for a store whose tables are not those of `restore bench`: a view or trigger may run anything."""
        names = {f"{kind} {name}" for kind, name in self._query("SELECT type, name FROM sqlite_master")}
        strange = sorted(name for name in names if not name.startswith(("table ", "index sqlite_autoindex_")))
        for table, columns in _COLUMNS.items() if names else ():
            found = {name for (name,) in self._query(f"SELECT name FROM pragma_table_xinfo('{table}')")}
            strange += [f"table {table}"] if found != columns else []
        if strange:
            raise BadInput(f"{self.folder / FILE} holds another {strange[0]}", do=_NOT_OURS)

    def _query(self, words: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of a query; BadInput where the file is damaged."""
        try:
            return self._database.execute(words, values).fetchall()
        except sqlite3.OperationalError as error:
            if "decode" not in str(error):  # locked for too long, no such table
                raise Unavailable(f"{self.folder / FILE} cannot be read ({error})", do="Try again.") from error
            raise BadInput(f"{self.folder / FILE} is damaged ({error})", do=_NOT_OURS) from error
        except (sqlite3.DatabaseError, ValueError, OverflowError) as error:  # ValueError: a name that is no text
            raise BadInput(f"{self.folder / FILE} is damaged ({error})", do="Start in a new --out.") from error

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")
        except sqlite3.OperationalError as error:  # the disk is full, the folder read-only or locked for too long
            raise Unavailable(
                f"{self.folder / FILE} cannot be written ({error})",
                do="Mend that and run the same command again: what is committed stays.",
            ) from error
        except (sqlite3.IntegrityError, sqlite3.ProgrammingError):
            raise
        except sqlite3.DatabaseError as error:
            raise BadInput(f"{self.folder / FILE} is damaged ({error})", do="Start in a new --out.") from error

    # -- writing ----------------------------------------------------------------------------------------------------

    def put(self, item: Item, outcome: Outcome, *, replace: bool = False) -> None:
        """Commit the row of an item and its scores, estimate first.

        A key that is there already stays as it is, unless it is to be replaced.
        """
        if outcome.arrays:
            write_arrays(self.estimate_path(item.key), outcome.arrays)
        values = _row(item, outcome)
        with self._transaction():
            if replace:
                self._delete(item.key)
            marks = ", ".join("?" * len(values))
            fresh = self._database.execute(
                f"INSERT OR IGNORE INTO rows ({', '.join(values)}) VALUES ({marks})", tuple(values.values())
            ).rowcount
            if fresh:
                self._put_scores(item.key, outcome.scores)
                place = [values[name] for name in _PROBLEM] + [_json(item.where)]
                self._database.execute("INSERT OR REPLACE INTO problems VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", place)

    def put_scores(self, key: str, scores: Iterable[ScoreRow]) -> None:
        """Replace scores of a row."""
        with self._transaction():
            self._put_scores(key, scores)

    def _put_scores(self, key: str, scores: Iterable[ScoreRow]) -> None:
        places = dict(self._database.execute("SELECT metric, place FROM scores WHERE key = ?", (key,)))
        rows = []
        for score in scores:
            place = places.setdefault(score.metric, len(places))  # the first one is the score that ranks
            seal = _score_digest(key, score)
            rows.append((key, score.metric, place, score.value, score.flag, score.reason, score.version, seal))
        self._database.executemany("INSERT OR REPLACE INTO scores VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def drop(self, keys: Iterable[str]) -> None:
        """Delete rows, so that they are computed again."""
        with self._transaction():
            for key in keys:
                self._delete(key)

    def _delete(self, key: str) -> None:
        self._database.execute("DELETE FROM rows WHERE key = ?", (key,))
        self._database.execute("DELETE FROM scores WHERE key = ?", (key,))

    def begin(self, *, command: str, suite: str, plan: Sequence[str], notes: Sequence[str], machine: Any) -> None:
        """Note that a run begins: its command and the keys it is about."""
        values = (_now(), command, suite, json.dumps(list(plan)), json.dumps(list(notes)), json.dumps(machine))
        with self._transaction():
            self._database.execute(
                "INSERT INTO runs (date, command, suite, plan, notes, machine) VALUES (?, ?, ?, ?, ?, ?)", values
            )

    def pixels(self, name: str, compute: Callable[[], str]) -> str:
        """A hash remembered under `name`, computed once."""
        rows = self._query("SELECT sha256 FROM pixels WHERE name = ?", (name,))
        if not rows:
            value = compute()
            with self._transaction():
                self._database.execute("INSERT OR IGNORE INTO pixels VALUES (?, ?)", (name, value))
            return value
        return str(rows[0][0])

    # -- reading ----------------------------------------------------------------------------------------------------

    def __contains__(self, key: str) -> bool:
        return bool(self._query("SELECT 1 FROM rows WHERE key = ?", (key,)))

    def keys(self, status: str | None = None) -> set[str]:
        """Keys of the finished rows, failed ones among them."""
        where = "" if status is None else " WHERE status = ?"
        return {k for (k,) in self._query(f"SELECT key FROM rows{where}", (status,) if status else ())}

    def failures(self) -> set[str]:
        return self.keys(FAILED)

    def rows(self, keys: Iterable[str] | None = None) -> list[Row]:
        """Rows in the order of `keys` (those that exist), or all of them by key.

        BadInput for a row that was changed by hand: its digest tells.
        """
        names = [name for (name,) in self._query("SELECT name FROM pragma_table_info('rows')")]
        table = self._query("SELECT * FROM rows ORDER BY key")
        wanted = None if keys is None else {key: place for place, key in enumerate(keys)}
        lines = [dict(zip(names, values, strict=True)) for values in table if wanted is None or values[0] in wanted]
        scores: dict[str, dict[str, ScoreRow]] = {}
        kept = self._query("SELECT key, metric, value, flag, reason, version, digest FROM scores ORDER BY key, place")
        for key, metric, value, flag, reason, version, seal in kept:
            score = ScoreRow(metric, value, flag, reason, version)
            if seal != _score_digest(key, score):
                raise BadInput(f"{metric} of row {key[:12]} in {self.folder / FILE} was edited", do=_EDITED)
            scores.setdefault(key, {})[metric] = score
        for line in lines:
            if line.pop("digest") != _row_digest(line):
                raise BadInput(f"row {line['key'][:12]} in {self.folder / FILE} was edited", do=_EDITED)
        if wanted is not None:
            lines.sort(key=lambda line: wanted[line["key"]])
        return [Row(line, scores.get(line["key"], {})) for line in lines]

    def problems(self) -> dict[str, Item]:
        """A bare item for each measurement, by its name: enough to open its case again."""
        items = {}
        columns = ", ".join((*_PROBLEM, "place"))
        for line in self._query(f"SELECT {columns} FROM problems ORDER BY problem"):
            table = dict(zip((*_PROBLEM, "place"), line, strict=True))
            for name in ("task", "data_set", "image"):
                if table[name]:
                    check_name(str(table[name]), f"{name} of a measurement in {self.folder / FILE}")
            where = self._plain(table["place"], "place of a measurement")
            if where.get("y"):  # a file of the store, wherever that was moved to: what is not there is written
                where["y"] = str(self.folder.resolve() / check_name(Path(str(where["y"])).name, "the file of y"))
            identity = {
                "task": [table["task"], table["task_version"]],
                "physics": self._plain(table["physics"], "physics of a measurement"),
                "image": table["image_sha256"] or table["image"],
                "seed": table["seed"],
            }
            items[table["problem"]] = Item(
                **{key: table[key] for key in ("kind", "task", "data_set", "image", "image_sha256", "seed")},
                method="",
                role="",
                solver="",
                parameters={},
                prior="",
                samples=1,
                metrics={},
                where=where,
                identity=identity,
            )
        return items

    def last_run(self) -> dict[str, Any]:
        """The latest run: command, suite, plan, notes, machine."""
        names = ("id", "date", "command", "suite", "plan", "notes", "machine")
        lines = self._query(f"SELECT {', '.join(names)} FROM runs ORDER BY id DESC LIMIT 1")
        if not lines:
            raise BadInput(f"nothing was run in {self.folder}")
        table = dict(zip(names, lines[0], strict=True))
        return {**table, **{key: self._plain(table[key], f"{key} of a run", kind) for key, kind in _RUN.items()}}

    def _plain(self, words: Any, what: str, kind: type = dict) -> Any:
        """Plain data of a column; BadInput for anything else that somebody put there."""
        where = f"the {what} in {self.folder / FILE}"
        value = outside.json_value(words, where=where, do=_NOT_OURS)
        if not isinstance(value, kind):
            raise BadInput(f"{where} is {value!r:.60}", wanted=kind.__name__, do=_NOT_OURS)
        return value

    def estimate_path(self, key: str) -> Path:
        """Where the arrays of a row are kept."""
        check_name(key, "the key of a row")
        return self.folder / "estimates" / f"{key}.h5"

    def estimate(self, key: str) -> dict[str, np.ndarray] | None:
        """The arrays kept for a row, None where there are none (or the file is damaged: it is then computed again)."""
        path = self.estimate_path(key)
        return read_arrays(path) if os.path.lexists(path) else None


_NOT_OURS = "The store was not written by `restore bench`."
_RUN = {"plan": list, "notes": list, "machine": object}
_EDITED = "Delete the row to have it computed again, or start in a new --out."


def _columns(tables: str) -> dict[str, set[str]]:
    """Name -> columns of the tables that these statements make."""
    with closing(sqlite3.connect(":memory:")) as database:
        database.executescript(tables)
        names = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {
            name: {column for (column,) in database.execute(f"SELECT name FROM pragma_table_xinfo('{name}')")}
            for name in names
        }


_COLUMNS = _columns(_TABLES)


def _check_file(path: Path) -> None:
    """ReadError for a results file that is no database; one of no bytes is a new one."""
    with outside.opened(path) as file:
        head = file.read(len(MAGIC))
    if head not in (b"", MAGIC):
        raise outside.ReadError(path, "this is no store of results", do="Name a folder that `restore bench` wrote.")


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> Path:
    """Arrays in one HDF5 file with checksums: whole, or not at all."""
    from operators.common.atomic import atomic_path
    from restore.io.hdf5 import new_file

    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary, new_file(temporary) as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array, fletcher32=array.ndim > 0, chunks=True if array.ndim else None)
    return path


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """What `write_arrays` wrote; BadInput for a damaged file."""
    import h5py

    from restore.io import own_arrays

    outside.checked(path)
    with own_arrays.reading(path, do="Delete it and its row, and run again.") as fail, h5py.File(path, "r") as file:
        return dict(own_arrays.arrays(file, fail))


def check_name(text: str, what: str) -> str:
    """A name that may become that of a file; BadInput for one that leads elsewhere or is none.

    Stores come from other people too, and what stands in them is not to reach any file but those below its folder.
    """
    parts = Path(text).parts
    if len(parts) != 1 or parts[0] in (".", "..") or any(c in text for c in "/\\\0") or not text.isprintable():
        raise BadInput(f"{what} is {text!r}", wanted="a plain name", do=_NOT_OURS)
    return text


def _row(item: Item, outcome: Outcome) -> dict[str, Any]:
    identity = item.identity
    task = identity.get("task", [item.task, 1])
    values = {
        "key": item.key,
        "kind": item.kind,
        "task": item.task,
        "task_version": int(task[1]),
        "data_set": item.data_set,
        "image": item.image,
        "image_sha256": item.image_sha256,
        "method": item.method,
        "role": item.role,
        "solver": item.solver,
        "parameters": _json(item.parameters),
        "physics": _json(identity.get("physics", {})),
        "prior": item.prior,
        "prior_sha256": str(identity.get("prior", ["", ""])[1]),
        "samples": item.samples,
        "seed": item.seed,
        "settings": _json(item.settings),
        "code": str(identity.get("code", "")),
        "problem": item.problem,
        "status": outcome.status,
        "reason": outcome.reason,
        "nfe": outcome.nfe,
        "backward": outcome.backward,
        "seconds": outcome.seconds,
        "network_seconds": outcome.network_seconds,
        "noise_seconds": outcome.noise_seconds,
        "total_seconds": outcome.total_seconds,
        "memory_mb": outcome.memory_mb,
        "machine": _json(outcome.machine),
        "date": _now(),
    }
    return {**values, "digest": _row_digest(values)}


def _row_digest(values: Mapping[str, Any]) -> str:
    return _sealed([values[name] for name in _HASHED])


def _sealed(values: list[Any]) -> str:
    try:
        return digest(values)[:16]
    except (TypeError, ValueError):  # bytes or NaN: no row of ours
        return ""


def _score_digest(key: str, score: ScoreRow) -> str:
    return _sealed([key, score.metric, score.value, score.flag, score.version])


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, allow_nan=False)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
