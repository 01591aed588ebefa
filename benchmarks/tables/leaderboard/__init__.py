"""Tables of a results folder: one page that opens offline, CSV, Markdown and JSON, all from the same lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from operators import BadInput
from operators.common import outside

from ...records.store import Store

__all__ = ["read", "write"]

FILES = ("leaderboard.html", "leaderboard.csv", "leaderboard.md", "leaderboard.json")


def write(store: Store, *, intersect: bool = False) -> list[Path]:
    """Paths of all four files in the store's folder, each written whole or not at all.

    Shown is the latest plan; rows of other versions stay in the store and out of the tables.
    intersect: rank over the pictures that all methods have, where some failed.
    """
    from operators.common.atomic import atomic_path

    from . import page, tables

    board = tables.gather(store, intersect=intersect)
    texts = (page.render(board, store), tables.csv_text(board), tables.markdown(board), tables.json_text(board))
    written = []
    for name, text in zip(FILES, texts, strict=True):
        with atomic_path(store.folder / name) as temporary:
            temporary.write_bytes(text.encode("utf-8", "backslashreplace"))
        written.append(store.folder / name)
    return written


def read(folder: Path) -> dict[str, Any]:
    """What `write` left as JSON; BadInput where it is not there."""
    path = folder / "leaderboard.json"
    if not path.is_file():
        raise BadInput(f"no {path}", do="Name a folder that `restore bench` wrote.")
    return outside.json_value(outside.text(path), where=str(path))  # type: ignore[no-any-return]
