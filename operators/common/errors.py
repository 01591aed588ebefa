"""The toolkit's own errors: each says what was found, what was wanted, and what to do about it.

They live beside the operators because every other package builds on this one.
"""

from __future__ import annotations

import importlib
from types import ModuleType


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


def import_extra(name: str, *, do: str) -> ModuleType:
    """A package that one feature needs; MissingExtra where it is absent or fails at its import, in whatever way."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name == name:
            raise MissingExtra(f"{name} is not installed", do=do) from None
        raise MissingExtra(f"{name} cannot be imported ({error})", do=do) from error
    except Exception as error:
        # Packages built for another torch raise RuntimeError, OSError and others while they load.
        raise MissingExtra(f"{name} cannot be imported ({type(error).__name__}: {error})", do=do) from error
