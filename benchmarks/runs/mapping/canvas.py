"""The windows of a picture put together again, in a file that is written whole.

Kept parts of neighbours overlap and are blended with linear ramps; the picture is made from the top down, so that
memory is bounded by one row of windows.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from operators.common import outside
from operators.common.atomic import atomic_path
from operators.common.errors import BadInput
from priors.tiling import ramp_window
from restore.io.errors import WriteError
from restore.io.layout import disarrange

from ...records.item import Item
from ...records.store import Store
from .grid import Cutout
from .request import Mapped

CHUNK = 256
SPARE = 1.05  # of the size of the values, for chunks at the edges and checksums
Band = tuple[int, dict[str, np.ndarray]]  # first row, and finished rows (C x rows x W) by name


def write(path: Path, mapped: Mapped, store: Store, facts: Mapping[str, Any]) -> Path:
    """The estimate (and `std` where there were several draws) as one HDF5 file, whole or not at all.

    facts: plain data about the run, kept beside the values. BadInput where a window is missing.
    """
    import h5py

    items, size = mapped.plan.items, mapped.extent
    first = _arrays(store, items[0])
    dtype = first["estimate"].dtype
    names = ("estimate", "std") if "samples" in first else ("estimate",)
    shape, axes = _layout(mapped)
    needed = int(SPARE * len(names) * np.prod(shape) * dtype.itemsize)
    folder = path.resolve().parent
    folder.mkdir(parents=True, exist_ok=True)
    # HDF5 cannot recover from a disk that fills up while it writes.
    if needed > (free := shutil.disk_usage(folder).free):
        raise WriteError(path, f"{needed >> 20} MB to write and {free >> 20} MB free", do="Free some space first.")
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        chunks = tuple(min(n, CHUNK) if letter in "HW" else min(n, 4) for n, letter in zip(shape, axes, strict=True))
        kinds = {"estimate": dtype, "std": np.empty(0, dtype).real.dtype}  # the spread of complex numbers is real
        data = {name: file.create_dataset(name, shape, kinds[name], chunks=chunks, fletcher32=True) for name in names}
        for values in data.values():
            values.attrs["axes"], values.attrs["unit"] = axes, mapped.unit
        file.attrs["restore"] = json.dumps(dict(facts), sort_keys=True)
        for index, group in groupby(zip(mapped.places, items, strict=True), key=lambda pair: pair[0][0]):
            windows = [(window, item) for (_, window), item in group]
            for top, rows in bands(windows, store, (size.height, size.width), names):
                for name, values in rows.items():
                    place = {size.along: index, "H": slice(top, top + values.shape[-2])}
                    where = tuple(place.get(letter, slice(None)) for letter in axes)
                    data[name][where] = disarrange(values, axes.replace(size.along, ""))
    return path


def facts(path: Path) -> dict[str, Any] | None:
    """What `write` noted in a file; None where it is no file of ours."""
    import h5py

    try:
        with h5py.File(outside.checked(path), "r") as file:
            table = outside.json_value(str(file.attrs["restore"]), where=str(path))
            return table if isinstance(table, dict) and isinstance(table.get("scores"), dict) else None
    except (OSError, KeyError, ValueError, RuntimeError):
        return None


def bands(
    windows: list[tuple[Cutout, Item]], store: Store, size: tuple[int, int], names: tuple[str, ...]
) -> Iterator[Band]:
    """Finished rows of one picture, from the top down."""
    rows = [list(group) for _, group in groupby(windows, key=lambda pair: pair[0].keep[0])]
    done = 0
    totals: dict[str, np.ndarray] = {}
    weights = np.zeros((0, size[1]))
    for number, row in enumerate(rows):
        bottom = row[0][0].keep[1]
        weights = _longer(weights, bottom - done)
        for window, item in row:
            arrays = _arrays(store, item)
            top, stop, left, right = window.keep
            ramp = _ramp(window, rows, row, size)
            weights[top - done : stop - done, left:right] += ramp
            for name in names:
                part = arrays["samples"].std(0, ddof=1) if name == "std" else arrays["estimate"]
                total = totals.get(name)
                if total is None:
                    total = np.zeros((len(part), 0, size[1]), np.result_type(part.dtype, np.float64))
                total = _longer(total, bottom - done)
                total[:, top - done : stop - done, left:right] += ramp * part
                totals[name] = total
        until = rows[number + 1][0][0].keep[0] if number + 1 < len(rows) else size[0]
        count = until - done
        yield done, {name: total[:, :count] / weights[:count] for name, total in totals.items()}
        totals = {name: total[:, count:] for name, total in totals.items()}
        weights, done = weights[count:], until


def _ramp(window: Cutout, rows: list[Any], row: list[tuple[Cutout, Item]], size: tuple[int, int]) -> np.ndarray:
    """The weights of a kept part: rising over what it shares with its neighbours."""
    top, bottom, left, right = window.keep
    shared = [a.keep[3] - b.keep[2] for (a, _), (b, _) in pairwise(row)]
    shared += [one[0][0].keep[1] - two[0][0].keep[0] for one, two in pairwise(rows)]
    overlap = min(shared, default=0)
    return ramp_window((bottom - top, right - left), size, (top, left), overlap).numpy()


def _arrays(store: Store, item: Item) -> dict[str, np.ndarray]:
    arrays = store.estimate(item.key)
    if arrays is None or "estimate" not in arrays:
        raise BadInput(f"the answer of {item.image} is gone", do="Run the same command again.")
    return arrays


def _layout(mapped: Mapped) -> tuple[tuple[int, ...], str]:
    """Shape and axes of the file's array: those of the picture's file in their order, and channels that are new."""
    size = mapped.extent
    axes = size.axes if "C" in size.axes or size.channels == 1 else f"{size.axes}C"
    sizes = {size.along: size.pictures, "C": size.channels, "H": size.height, "W": size.width}
    return tuple(int(sizes[letter] or 0) for letter in axes), axes


def _longer(array: np.ndarray, rows: int) -> np.ndarray:
    """The array with rows of zeros added at its end (its last axis but one)."""
    missing = rows - array.shape[-2]
    if missing <= 0:
        return array
    shape = (*array.shape[:-2], missing, array.shape[-1])
    return np.concatenate([array, np.zeros(shape, array.dtype)], axis=-2)
