"""Arrays that describe an operator (coil maps, a trajectory, angles): any number of axes, taken as stored."""

from __future__ import annotations

import os

import numpy as np

from .errors import as_read_error
from .source import open_source


def read_array(path: str | os.PathLike[str]) -> np.ndarray:
    """The one array of a .npy file, or of a .npz file with a single member; numbers keep their type.

    Raises ReadError for a missing or damaged file, another kind, pickled objects, or several members.
    """
    source = open_source(path)
    if source.folder:
        raise source.fail("this is a folder", "a file", "Name one file in it.")
    with as_read_error(source.path, "an array file"):
        loaded = np.load(source.path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            names = list(loaded.files)
            if len(names) == 1:
                return np.asarray(loaded[names[0]])
    raise source.fail(f"{len(names)} arrays ({', '.join(names[:5])})", "one array", "Store the one you mean as .npy.")
