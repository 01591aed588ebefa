"""One published file, fetched atomically: checked by its hash, continued where it was interrupted, given up at once."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from operators.common import outside
from operators.common.errors import Unavailable

CONNECT_SECONDS, READ_SECONDS = 3.0, 10.0


def download(url: str, target: Path, *, sha256_prefix: str) -> Path:
    """Fetch `url` beside `target`, check it, rename it; with a progress bar on a terminal.

    Unavailable where the server does not answer within CONNECT_SECONDS, the transfer fails (what came is kept and
    continued next time), the file is another one (nothing is kept), or the folder cannot be written.
    """
    import pooch
    import requests

    _reach(url)
    partial = target.with_suffix(".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        done = partial.stat().st_size if partial.is_file() else 0
        downloader = pooch.HTTPDownloader(
            progressbar=sys.stderr.isatty(),
            timeout=(CONNECT_SECONDS, READ_SECONDS),
            headers={"Range": f"bytes={done}-"} if done else {},
        )
        with partial.open("ab") as sink:
            downloader(url, sink, None)
        digest = file_sha256(partial)
        if not digest.startswith(sha256_prefix):
            partial.unlink()
            raise Unavailable(f"{url} gave another file (sha256 begins with {digest[:8]}, not {sha256_prefix})")
        partial.replace(target)
    except requests.exceptions.RequestException as error:
        raise Unavailable(f"the download of {url} failed ({type(error).__name__})") from error
    except OSError as error:
        raise Unavailable(f"{target.parent} cannot be written ({error.strerror or error})") from error
    return target


def file_sha256(path: Path) -> str:
    """The sha256 of a file's bytes; Unavailable where it cannot be read."""
    try:
        return outside.sha256(path)
    except outside.ReadError as error:
        raise Unavailable(str(error)) from error


def _reach(url: str) -> None:
    """Raise Unavailable within CONNECT_SECONDS unless the server answers.

    In a thread of its own, because look-ups of names and lists of addresses have time-outs that nobody can shorten.
    """
    import requests

    outcome: list[str] = []

    def ask() -> None:
        try:
            answer = requests.head(url, timeout=CONNECT_SECONDS, allow_redirects=True)
            outcome.append("" if answer.ok else f"it answered {answer.status_code}")
        except (requests.exceptions.RequestException, OSError) as error:
            outcome.append(type(error).__name__)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(CONNECT_SECONDS)
    problem = outcome[0] if outcome else f"no answer in {CONNECT_SECONDS:.0f} s"
    if problem:
        raise Unavailable(f"{url} cannot be reached ({problem})")
