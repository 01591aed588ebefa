"""Sets on this machine: a folder becomes a set of the user's own, and a published archive is fetched and unpacked."""

from __future__ import annotations

import json
import shutil
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from operators.common import outside
from operators.common.errors import BadInput, Unavailable
from restore.metrics.download import download

from .datasets import SUFFIXES, data_root, find, shipped, user_entries, user_folder


def add(name: str, folder: Path) -> int:
    """How many pictures the set `name` has, now those of a folder, with a manifest of what is there.

    BadInput for a folder without pictures, a name that cannot be one, or the name of a known set for other pictures.
    """
    from operators.common.atomic import atomic_path

    if not name or not all(c.isalnum() or c in "-_." for c in name):
        raise BadInput(f"{name!r} is not a name for a data set", wanted="letters, digits, '-', '_' and '.'")
    if not folder.is_dir():
        raise BadInput(f"{folder} is not a folder", do="Name the folder that holds the pictures.")
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())
    if not files:
        raise BadInput(f"no pictures in {folder}", wanted=", ".join(sorted(SUFFIXES)))
    hashes = {p.name: outside.sha256(p) for p in files}
    _check_published(name, hashes)
    entries = {**user_entries(), name: {"folder": str(folder.resolve()), "images": len(files)}}
    home = user_folder()
    home.mkdir(parents=True, exist_ok=True)
    with atomic_path(home / f"{name}.sha256") as temporary:
        temporary.write_text("".join(f"{digest}  {file}\n" for file, digest in hashes.items()), "utf-8")
    with atomic_path(home / "datasets.toml") as temporary:
        lines = [
            f"[{json.dumps(key)}]\nfolder = {json.dumps(line['folder'])}\nimages = {line['images']}\n"
            for key, line in sorted(entries.items())
        ]
        temporary.write_text("\n".join(lines), "utf-8")
    return len(files)


def _check_published(name: str, hashes: Mapping[str, str]) -> None:
    """BadInput where a set that ships under this name is made of other pictures: its results would be no results."""
    published = shipped().get(name)
    if published is None:
        return
    do = f"Give it a name of its own: restore data add my-{name} FOLDER."
    listed, needed = set(published.hashes().values()), published.images or len(published.hashes())
    matched = len(listed & set(hashes.values())) if listed else len(hashes)
    if matched < needed:
        message = f"{len(hashes)} pictures, of which {matched} are" if listed else f"{len(hashes)} pictures for"
        raise BadInput(f"{message} those of the published set {name!r}", wanted=f"all {needed}", do=do)


def fetch(name: str, root: Path | None = None) -> Path:
    """Download a set that has a stable address into the data root, and check it; its folder.

    Unavailable where it has no address, the address does not answer, or what came is not the set.
    """
    data_set = find(name)
    if not data_set.url:
        raise Unavailable(f"data set {name!r} has no address to load it from", do=f"Its source: {data_set.source}.")
    target = data_root(root, what=name) / name
    target.mkdir(parents=True, exist_ok=True)
    if "{" in data_set.url:
        hashes = data_set.hashes()
        for number in range(1, data_set.images + 1):
            url = data_set.url.format(number)
            file = url.rpartition("/")[2]
            if not (target / file).is_file() or outside.sha256(target / file) != hashes.get(file):
                download(url, target / file, sha256_prefix=hashes.get(file, ""))
    else:
        archive = download(data_set.url, target / data_set.url.rpartition("/")[2], sha256_prefix="")
        unpack(archive, target)
    data_set.pictures(root)
    return target


def unpack(archive: Path, target: Path) -> list[Path]:
    """The pictures of a zip or tar file, flat in `target`. Only file names are used, so nothing lands elsewhere."""
    written = []
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(outside.checked(archive)) as opened:
                for info in opened.infolist():
                    if _wanted(info.filename) and not info.is_dir():
                        with opened.open(info) as source, (target / Path(info.filename).name).open("wb") as sink:
                            shutil.copyfileobj(source, sink)
                        written.append(target / Path(info.filename).name)
        else:
            with tarfile.open(outside.checked(archive)) as packed:
                for member in packed:
                    stream = packed.extractfile(member) if member.isfile() and _wanted(member.name) else None
                    if stream is not None:
                        with stream, (target / Path(member.name).name).open("wb") as sink:
                            shutil.copyfileobj(stream, sink)
                        written.append(target / Path(member.name).name)
    except (zipfile.BadZipFile, tarfile.TarError, OSError, EOFError) as error:
        raise Unavailable(f"{archive} cannot be unpacked ({error})", do="Delete it and fetch it again.") from error
    return written


def _wanted(name: str) -> bool:
    path = Path(name)
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
