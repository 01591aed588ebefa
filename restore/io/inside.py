"""Files that hold several arrays: choosing one by name, saying what is inside, and complex numbers stored as pairs."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

import numpy as np

from .source import Source

SHOWN = 12  # names listed in an error
PAIRS = (("real", "imag"), ("r", "i"), ("re", "im"))


def choose_name(source: Source, members: Mapping[str, str], wanted: str | None) -> tuple[str, tuple[str, ...]]:
    """The array `wanted`, or the only one there is, with a note; ReadError with the list of members otherwise.

    members: name -> description ("float32 (5, 7)").
    """
    if wanted is not None:
        if wanted in members:
            return wanted, ()
        close = difflib.get_close_matches(wanted, list(members), n=1)
        do = f"Did you mean {close[0]!r}?" if close else f"Inside: {listing(members)}."
        raise source.fail(f"no array named {wanted!r}", do=do)
    if not members:
        raise source.fail("no array that could be a picture", wanted="numbers with two axes or more")
    if len(members) > 1:
        raise source.fail(f"{len(members)} arrays", "one", f"Choose with dataset (--dataset): {listing(members)}.")
    (name,) = members
    return name, (f"took the only array that could be a picture, {name!r}",)


def listing(members: Mapping[str, str]) -> str:
    """`a (float32 (5, 7)), b, ... and 3 more`."""
    shown = [f"{name} [{text}]" if text else name for name, text in list(members.items())[:SHOWN]]
    more = f", and {len(members) - SHOWN} more" if len(members) > SHOWN else ""
    return ", ".join(shown) + more if shown else "nothing"


def complex_pair(dtype: np.dtype) -> tuple[str, str] | None:
    """Names of the two number fields of a compound type that stands for complex values, None for any other type."""
    names = dtype.names or ()
    if len(names) != 2 or any(dtype[name].kind not in "fiu" or dtype[name].shape for name in names):
        return None
    return next(((a, b) for a, b in (names, names[::-1]) if (a.lower(), b.lower()) in PAIRS), None)


def join_parts(stored: np.ndarray) -> np.ndarray:
    """A (real, imag) compound array as complex numbers; any other array as it is."""
    pair = complex_pair(stored.dtype)
    if pair is None:
        return stored
    wide = np.complex128 if stored.dtype[0].itemsize > 4 else np.complex64
    joined = np.empty(stored.shape, wide)
    joined.real, joined.imag = stored[pair[0]], stored[pair[1]]
    return joined
