"""The toolkit's own errors: each says what was found, what was wanted, and what to do about it.

They live beside the operators because every other package builds on this one.
"""

from __future__ import annotations


class RestoreError(Exception):
    """Base of every error a user can mend; its text is one line and complete."""

    def __init__(self, found: str, *, wanted: str = "", do: str = "") -> None:
        self.found, self.wanted, self.do = found, wanted, do
        sentence = found + (f"; wanted {wanted}" if wanted else "")
        super().__init__(sentence + (f". {do}" if do else ""))


class BadInput(RestoreError, ValueError):
    """A value that cannot be used: shape, range, NaN, unknown name."""


class BadType(RestoreError, TypeError):
    """A value of the wrong kind: dtype, class, unexpected keyword."""


class MissingExtra(RestoreError, ImportError):
    """An optional package is absent; the text names the extra that brings it."""


class Unavailable(RestoreError, RuntimeError):
    """Something outside the program is needed and not there: weights, a data set, a device."""


class Diverged(RestoreError, ArithmeticError):
    """An iteration left the finite numbers; what was reached is kept where the text says."""
