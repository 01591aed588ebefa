"""Folders of pictures: which files in them are inputs, and which belong together."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .errors import ReadError, shown
from .formats import describe, kinds, recognise
from .source import open_source

Skipped = list[tuple[Path, str]]
CLUTTER = {"thumbs.db", "desktop.ini"}
SHOWN = 5  # names listed in an error


def expand(path: str | os.PathLike[str]) -> tuple[list[Path], Skipped]:
    """The inputs a path stands for: a file itself, or the readable kinds of files in a folder (not in its folders).

    Returns
    -------
    files: sorted by name. skipped: (path, reason) of everything else in the folder. Of two files with one stem
    (in upper or lower case) the first is taken, since both would be written to one place.

    Raises
    ------
    ReadError
        The path is missing, or nothing in the folder can be read.
    """
    folder = Path(path)
    if holds_one(folder):
        return [folder], []
    files: list[Path] = []
    skipped: Skipped = []
    stems: dict[str, Path] = {}
    for entry in _entries(folder):
        reason = _unfit(entry)
        twin = stems.get(entry.stem.casefold())
        if reason is None and twin is not None:
            reason = f"same name as {shown(twin.name)} but for its suffix or its capitals"
        if reason is not None:
            skipped.append((entry, reason))
            continue
        stems[entry.stem.casefold()] = entry
        files.append(entry)
    if not files:
        first = "; ".join(f"{shown(p.name)}: {why}" for p, why in skipped[:SHOWN])
        message = f"a folder without pictures ({first})" if skipped else "an empty folder"
        raise ReadError(folder, message, f"{kinds()} files", "Name another folder.")
    return files, skipped


def holds_one(path: str | os.PathLike[str]) -> bool:
    """Whether a path is one input: a file, or a folder that is itself of a format (a Zarr store, a DICOM series).

    ReadError where nothing is there that could be read.
    """
    source = open_source(path)
    return not source.folder or recognise(source) is not None


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir(), key=lambda entry: os.fsencode(entry.name))
    except OSError as error:
        raise ReadError(folder, "the folder cannot be listed", "", "Change its permissions.") from error


def _unfit(entry: Path) -> str | None:
    if entry.name.startswith("."):
        return "hidden"
    if entry.name.casefold() in CLUTTER:
        return "left by the file manager"
    try:
        source = open_source(entry)
    except ReadError as error:
        return str(error.args[0]).removeprefix(f"{shown(entry)}: ").split(". ", 1)[0]
    if recognise(source):
        return None
    return "a folder" if source.folder else describe(source)


@dataclass(frozen=True)
class Pairs:
    """Files of two folders with equal stems, those left over on either side, and those that were no pictures."""

    pairs: tuple[tuple[Path, Path], ...]
    only_first: tuple[Path, ...] = ()
    only_second: tuple[Path, ...] = ()
    skipped: tuple[tuple[Path, str], ...] = ()


def pair_by_stem(
    first: str | os.PathLike[str], second: str | os.PathLike[str], *, allow_missing: bool = False
) -> Pairs:
    """The pictures of two folders, paired by stem; two files are one pair whatever their names.

    Raises
    ------
    ReadError
        A picture has no partner (unless `allow_missing`), there is no pair at all, or one path is a file and the
        other a folder.
    """
    one, two = Path(first), Path(second)
    single = holds_one(one)
    if single != holds_one(two):
        raise ReadError(one, f"one path is a folder and the other ({shown(two)}) is not", "two files or two folders")
    (ones, skipped_one), (twos, skipped_two) = expand(one), expand(two)
    if single:
        return Pairs(((ones[0], twos[0]),))
    left, right = ({p.stem: p for p in paths} for paths in (ones, twos))
    pairs = tuple((left[stem], right[stem]) for stem in left if stem in right)
    only_first, only_second = _without(left, right), _without(right, left)
    if not pairs or ((only_first or only_second) and not allow_missing):
        lonely = ", ".join(shown(p) for p in (*only_first, *only_second)[:SHOWN])
        count = len(only_first) + len(only_second)
        do = "Use --allow-missing to leave them out." if pairs else "Give the files of one scene the same name."
        raise ReadError(
            one, f"{count} pictures without a partner in {shown(two)}: {lonely}", "pairs of equal names", do
        )
    return Pairs(pairs, only_first, only_second, (*skipped_one, *skipped_two))


def _without(mine: Mapping[str, Path], theirs: Mapping[str, Path]) -> tuple[Path, ...]:
    return tuple(path for stem, path in mine.items() if stem not in theirs)
