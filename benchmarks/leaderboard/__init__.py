"""Tables of a results folder: one page that opens offline, CSV, Markdown and JSON, all from the same lines."""

from __future__ import annotations

from pathlib import Path

from ..store import Store

__all__ = ["write"]

FILES = ("leaderboard.html", "leaderboard.csv", "leaderboard.md", "leaderboard.json")


def write(store: Store, *, intersect: bool = False) -> list[Path]:
    """Write all four files into the store's folder, each whole or not at all; their paths.

    Shown is the latest plan; rows of other versions stay in the store and out of the tables.
    intersect: rank over the pictures that all methods have, where some failed.
    """
    from restore.io.atomic import atomic_path

    from . import page, tables

    board = tables.gather(store, intersect=intersect)
    texts = (page.render(board, store), tables.csv_text(board), tables.markdown(board), tables.json_text(board))
    written = []
    for name, text in zip(FILES, texts, strict=True):
        with atomic_path(store.folder / name) as temporary:
            temporary.write_bytes(text.encode("utf-8", "backslashreplace"))
        written.append(store.folder / name)
    return written
