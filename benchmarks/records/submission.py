"""Results of others: estimates of their own method on our measurements, checked, scored by us, and merged.

A submission is a folder with `submission.toml` and one file per picture, TASK/SET/PICTURE.png (or .npy, C x H x W in
the unit of the task; .tif and the other formats that `restore.read` knows):

    method = "my-net"                  # its name in the tables
    source = "https://..."             # where to read about it
    seconds = 1.5                      # optional, as claimed: per picture
    nfe = 1                            # optional, as claimed

`restore bench measurements RESULTS FOLDER` writes what such a method starts from.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from operators import image_id
from operators.common import array_files, outside
from operators.common.errors import BadInput, RestoreError
from operators.common.registry import unknown_name
from restore.metrics import parse

from ..cases import reopened
from ..cases.methods import Answer
from ..runs.work import score_rows
from .item import BASELINE, OK, REFERENCE, SOLVER, SUBMITTED, Item, Outcome, failed
from .store import Row, Store

KEYS: Mapping[str, tuple[type, ...]] = {
    "method": (str,),
    "source": (str,),
    "seconds": (int, float),
    "nfe": (int,),
}
SHOWN = 5
LONGEST = 300  # characters of a name or an address
MOST_CLAIMED = 1e9  # seconds or network calls of one picture


@dataclass(frozen=True)
class CheckedSubmission:
    """A submission as read. files: measurement -> file. problems: sentences on what is wrong."""

    method: str
    source: str
    seconds: float
    nfe: int
    files: Mapping[str, Path]
    problems: tuple[str, ...]


def validate(folder: Path, store: Store) -> CheckedSubmission:
    """A submission compared with the latest run of a store; every fault is in `problems`.

    BadInput where there is no submission at all.
    """
    table = _table(folder)
    wanted = _wanted(store)
    tasks = {item.task for item in wanted.values()}
    files: dict[str, Path] = {}
    problems: list[str] = []
    missing: list[str] = []
    for name, item in wanted.items():
        if not (folder / item.task).is_dir():
            continue  # a submission may serve some tasks only, but each of those completely
        there = _listed(folder / item.task / item.data_set)
        # The physics of a measurement may still lie beside the estimate that began from it.
        paths = [path for path in there if path.stem == item.image and path.suffix != ".json"]
        if not paths:
            missing.append(f"{item.task}/{item.data_set}/{item.image}")
            continue
        if len(paths) > 1:
            problems.append(f"{len(paths)} files for {item.task}/{item.data_set}/{item.image}: {paths[1].name} too")
            continue
        try:
            _check_inside(paths[0], folder)
            _estimate(paths[0], item)
        except RestoreError as error:
            problems.append(str(error))
        else:
            files[name] = paths[0]
    if missing:
        more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
        problems.append(f"missing: {', '.join(missing[:SHOWN])}{more}")
    if strangers := _strangers(folder, wanted.values()):
        more = f" and {len(strangers) - SHOWN} more" if len(strangers) > SHOWN else ""
        problems.append(f"files of no picture of the run: {', '.join(strangers[:SHOWN])}{more}")
    if not files and not problems:
        problems.append(f"no folder of a task: {', '.join(sorted(tasks))}")
    return CheckedSubmission(
        table["method"], table["source"], float(table["seconds"]), int(table["nfe"]), files, tuple(problems)
    )


def submit(folder: Path, store: Store) -> int:
    """Score a valid submission and merge its rows into the latest run; how many there are.

    BadInput, with all that is wrong, for one that is not valid. Seconds and NFE stay what the submitter claims, and
    the tables say so; scores are ours.
    """
    checked = validate(folder, store)
    if checked.problems:
        raise BadInput(f"{folder}: {'; '.join(checked.problems)}", do="Mend it and run `restore bench validate` again.")
    run = store.last_run()
    label = f"{checked.method} (submitted)"
    submitted = {row.key for row in store.rows(run["plan"]) if row.role == SUBMITTED and row.method == label}
    wanted = _wanted(store)
    keys = []
    for name, path in checked.files.items():
        item = _item(wanted[name], checked, label, path, _metrics(store, name, run["plan"]))
        store.put(item, _outcome(item, checked, path))
        keys.append(item.key)
    plan = [key for key in run["plan"] if key not in submitted] + keys
    store.begin(command=run["command"], suite=run["suite"], plan=plan, notes=run["notes"], machine=run["machine"])
    return len(keys)


def measurements(store: Store, folder: Path) -> int:
    """How many measurements of the latest run were written: y as .npy, beside a JSON of its physics."""
    import json

    from operators.common.atomic import atomic_path

    count = 0
    for item in _wanted(store).values():
        case = reopened(item)
        place = folder / item.task / (item.data_set or ".")
        place.mkdir(parents=True, exist_ok=True)
        with atomic_path(place / f"{item.image}.npy") as temporary:
            np.save(temporary, case.problem.y[0].numpy(), allow_pickle=False)
        with atomic_path(place / f"{item.image}.json") as temporary:
            physics = {**item.identity["physics"], "input_shape": list(case.problem.operator.input_shape)}
            temporary.write_text(json.dumps(physics, indent=1), "utf-8")
        count += 1
    return count


def _table(folder: Path) -> dict[str, Any]:
    path = folder / "submission.toml"
    if not os.path.lexists(path):
        raise BadInput(f"no submission.toml in {folder}", do="See docs/benchmarks.md for the form of a submission.")
    raw = outside.toml(outside.text(path), where=str(path), guide="docs/benchmarks.md")
    for key, value in raw.items():
        if key not in KEYS:
            raise unknown_name(f"key of {path.name}", key, KEYS)
        if not isinstance(value, KEYS[key]) or isinstance(value, bool):
            raise BadInput(f"{key} of {path} is {value!r:.60}", wanted=" or ".join(k.__name__ for k in KEYS[key]))
        if isinstance(value, str) and not (len(value) <= LONGEST and value.isprintable()):
            raise BadInput(f"{key} of {path} is {value!r:.60}", wanted=f"up to {LONGEST} printable characters")
    for key in ("seconds", "nfe"):
        if not 0 <= raw.get(key, 0) <= MOST_CLAIMED:  # NaN too is refused here
            raise BadInput(f"{key} of {path} is {raw[key]:.4g}", wanted=f"0 to {MOST_CLAIMED:g}")
    if not str(raw.get("method", "")).strip():
        raise BadInput(f"{path} names no method")
    return {"source": "", "seconds": 0.0, "nfe": 0, **raw}


def _listed(folder: Path) -> list[Path]:
    """What lies in a folder, hidden files left out; nothing where there is no folder."""
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:  # a loop of links, no permission
        raise outside.unreadable(folder, error) from error


def _check_inside(path: Path, folder: Path) -> None:
    """ReadError for a link out of the submission, one that leads nowhere, and all but plain files."""
    outside.checked(path)
    if not path.resolve().is_relative_to(folder.resolve()):
        raise outside.ReadError(path, "a link out of the submission", "a file", "Put the file itself there.")


def _strangers(folder: Path, wanted: Iterable[Item]) -> list[str]:
    """Files of a submission that answer no measurement, and folders that are no task's: most are misspelt."""
    names: dict[str, dict[str, set[str]]] = {}
    for item in wanted:
        names.setdefault(item.task, {}).setdefault(item.data_set, set()).add(item.image)
    strange = []
    for task in (path for path in _listed(folder) if path.is_dir()):
        if task.name not in names:
            strange.append(task.name)
            continue
        for data_set in _listed(task):
            images = names[task.name].get(data_set.name)
            if images is None:
                strange.append(f"{task.name}/{data_set.name}")
            else:
                files = _listed(data_set)
                strange += [f"{task.name}/{data_set.name}/{p.name}" for p in files if p.stem not in images]
    return [outside.shown(name) for name in strange]


def _wanted(store: Store) -> dict[str, Item]:
    """The measurements of the latest run with seed 0, pictures only, by name."""
    problems = store.problems()
    used = {row.problem for row in store.rows(store.last_run()["plan"])}
    return {n: i for n, i in problems.items() if n in used and i.seed == 0 and i.kind == "pictures"}


def _metrics(store: Store, problem: str, plan: Any) -> dict[str, str]:
    """The conventions that the run's own rows of this measurement have, without those of draws."""
    roles = (BASELINE, SOLVER)
    rows: list[Row] = [r for r in store.rows(plan) if r.problem == problem and r.role in roles and r.role != REFERENCE]
    names = dict.fromkeys(name for row in rows for name in row.scores)
    return {name: name for name in names if "samples" not in parse(name).NEEDS}


def _estimate(path: Path, item: Item) -> Tensor:
    """The submitted picture, C x H x W in the file's unit; BadInput for a wrong shape or values that are not finite."""
    truth = tuple(reopened(item).problem.operator.input_shape)
    source = outside.open_source(path)
    if path.suffix == ".npy":
        if not source.head.startswith(array_files.NPY):
            raise source.fail("this is no .npy file", do="Save it with numpy.save, or give it the suffix of its kind.")
        header = array_files.npy_header(source)  # before anything of the size it claims is allocated
        if header.dtype.kind not in "fc":
            raise BadInput(f"{path} holds {header.dtype}", wanted="floating-point numbers")
        if header.shape != truth:
            raise BadInput(f"{path} has shape {header.shape}", wanted=" x ".join(map(str, truth)))
        values = array_files.read_npy_file(source)
        kind = np.complex64 if values.dtype.kind == "c" else np.float32
        data = torch.from_numpy(np.ascontiguousarray(values, dtype=kind))
    else:
        from restore.io.reading import read

        data = read(path, max_pixels=math.prod(truth)).data
    if tuple(data.shape) != truth:
        raise BadInput(f"{path} has shape {tuple(data.shape)}", wanted=" x ".join(map(str, truth)))
    flat = torch.view_as_real(data) if data.is_complex() else data
    bad = int((~torch.isfinite(flat)).sum())
    if bad:
        raise BadInput(f"{path} holds {bad} NaN or infinite values")
    return data


def _item(item: Item, checked: CheckedSubmission, label: str, path: Path, metrics: dict[str, str]) -> Item:
    import dataclasses

    parameters = {"source": checked.source}
    identity = {
        **item.identity,
        "method": [SUBMITTED, checked.method, parameters],
        "prior": ["", ""],
        "samples": 1,
        "estimate": image_id(_estimate(path, item)),
        "code": "",
    }
    return dataclasses.replace(
        item,
        method=label,
        role=SUBMITTED,
        solver=checked.method,
        parameters=parameters,
        identity=identity,
        metrics=metrics,
    )


def _outcome(item: Item, checked: CheckedSubmission, path: Path) -> Outcome:
    estimate = _estimate(path, item)[None]
    case = reopened(item)
    try:
        scores = score_rows(case, case.restored(Answer(estimate, estimate[None])), item.metrics)
    except RestoreError as error:
        return failed(item, str(error))
    arrays = {"estimate": estimate[0], **case.arrays()}
    return Outcome(
        item.key,
        OK,
        scores=scores,
        nfe=checked.nfe,
        seconds=checked.seconds,
        machine={"claimed": "seconds and NFE are the submitter's"},
        arrays={name: tensor.numpy() for name, tensor in arrays.items()},
    )
