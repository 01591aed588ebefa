"""Arrays of the toolkit's own HDF5 files (results, kept estimates), read without trusting the file.

Such files come by mail and from other machines too. What `restore` writes is plain: hard links to numbers in fletcher32
chunks without compression, so that every array occupies at least its own size in the file. Whatever is not so was not
written by it, and is refused before anything is allocated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from operators.common.errors import BadInput, RestoreError


@contextmanager
def reading(path: Path, *, do: str) -> Iterator[Callable[[str], BadInput]]:
    """A block that reads `path`: whatever a damaged file makes it raise becomes one BadInput that says so.

    Gives a function that makes such an error from a sentence. do: the remedy.
    """

    def fail(message: str) -> BadInput:
        return BadInput(f"{path} is damaged ({' '.join(message.split())})", do=do)

    try:
        yield fail
    except RestoreError:
        raise
    except Exception as error:
        raise fail(f"{type(error).__name__}: {error}") from error


def array(group: Any, name: str, fail: Callable[[str], BadInput]) -> np.ndarray:
    """The numbers under a name of an open HDF5 file or group; BadInput for anything this toolkit would not write."""
    import h5py

    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise fail(f"{name!r} is a link to elsewhere")
    data = group[name]
    if not isinstance(data, h5py.Dataset) or data.is_virtual or data.external or data.dtype.kind not in "biufc":
        raise fail(f"{name!r} is no plain array of numbers")
    promised = data.size * data.dtype.itemsize
    there = data.id.get_storage_size()
    if promised > there:
        raise fail(f"{name!r} promises {promised} bytes and holds {there}")
    return np.asarray(data[()])


def arrays(group: Any, fail: Callable[[str], BadInput]) -> Mapping[str, np.ndarray]:
    """All arrays of an open file or group, by name."""
    return {name: array(group, name, fail) for name in group}
