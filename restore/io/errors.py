"""What reading and writing say when they cannot: one line that names the file, what was found and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from operators.common.errors import BadInput, MissingExtra
from operators.common.outside import ReadError, WriteError, one_line, shown

__all__ = ["ReadError", "WriteError", "as_read_error", "one_line", "shown"]


@contextmanager
def as_read_error(path: Path, kind: str) -> Iterator[None]:
    """A block whose ReadError stands for whatever a decoder raises on damaged bytes; our own errors pass unchanged."""
    try:
        yield
    except (BadInput, MissingExtra):
        raise
    except MemoryError as error:
        raise ReadError(
            path, f"this {kind} needs more memory than there is", do="Read a part of it (index)."
        ) from error
    except Exception as error:
        # Decoders fed with damaged bytes raise nearly anything: SyntaxError, KeyError, struct.error, their own classes.
        reason = one_line(error, limit=160) or type(error).__name__
        damage = "truncated or damaged" if not isinstance(error, NotImplementedError) else "unsupported"
        raise ReadError(path, f"{damage} {kind} ({reason})", do="Get or export the file again.") from error
