"""Files that are written whole or not at all: a temporary name in the same folder, fsync, rename."""

from __future__ import annotations

import errno
import hashlib
import os
import platform
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from types import ModuleType

from .outside import WriteError, one_line

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # systems without such locks
    fcntl = None

# What the place of writing is to blame for; any other OSError from the body is the body's own and passes unchanged.
_PLACE = {
    errno.ENOSPC: ("the disk is full", "Free some space or write elsewhere."),
    errno.EDQUOT: ("the disk quota is used up", "Free some space or write elsewhere."),
    errno.EROFS: ("the file system is read-only", "Write elsewhere."),
    errno.EACCES: ("no permission to write here", "Change the permissions or write elsewhere."),
    errno.EPERM: ("no permission to write here", "Change the permissions or write elsewhere."),
    errno.ENOENT: ("its folder does not exist", "Create the folder first."),
    errno.ENOTDIR: ("a part of its path is a file, not a folder", "Name another place."),
    errno.ELOOP: ("a symbolic link that leads to itself", "Name another place."),
    errno.EEXIST: ("a file, or a link that leads nowhere, lies in its path", "Name another place."),
    errno.ENAMETOOLONG: ("the name is too long for this file system", "Choose a shorter name."),
    errno.EFBIG: ("the file is too large for this file system", "Write elsewhere."),
}

_PART = re.compile(r"\.restore-(?P<machine>[0-9a-f]{12})-(?P<process>[1-9][0-9]{0,9})-[0-9a-f]{12}(\..*)?")
_cleared: set[tuple[int, str]] = set()


@contextmanager
def atomic_path(path: str | os.PathLike[str], *, overwrite: bool = True) -> Iterator[Path]:
    """A block's temporary path beside `path`: on success it takes that name, on any exception it is removed.

    The temporary name ends in the same suffix, since writers look at it. A file that was there before stays intact
    until the new one is complete and on disk; its permissions and a symbolic link that leads to it are kept. What a
    killed process left of such a write is removed by the first write of a later process into that folder.

    Raises
    ------
    WriteError
        The place cannot be written: missing folder, permission, full disk, a folder or device of that name,
        or an existing file with `overwrite=False`.
    """
    place = Path(path)
    if "\0" in os.fspath(place):
        raise WriteError(place, "the name holds a zero byte", do="Choose another name.")
    target = Path(os.path.realpath(place))
    _clear_parts(target.parent)
    temporary = target.with_name(f"{_part_of(os.getpid())}{secrets.token_hex(6)}{target.suffix[:20]}")
    try:
        mode = _existing_mode(place, target, overwrite=overwrite)
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except OSError as error:
        raise _place_error(place, error) from error
    try:
        yield temporary
        if mode is not None:
            temporary.chmod(mode)
        _sync(temporary)
        temporary.replace(target)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError) and error.errno in _PLACE and error.errno != errno.ENOENT:
            raise _place_error(place, error) from error
        raise
    with suppress(OSError):  # some network drives cannot sync a folder; the file itself is safe by now
        _sync(target.parent)


@contextmanager
def atomic_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A block's empty folder beside `path`: on success it takes that name, on any exception it is removed.

    A folder that was there before stays intact until the new one is complete, and is gone after that. WriteError where
    the place cannot be written.
    """
    target = Path(path)
    try:
        stage = Path(tempfile.mkdtemp(prefix=_prefix(target, "new"), dir=target.parent))
        stage.chmod(0o755)  # mkdtemp makes it private; results are ordinary files
    except OSError as error:
        raise _place_error(target, error) from error
    try:
        yield stage
        _swap(stage, target)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


@contextmanager
def claimed(path: str | os.PathLike[str]) -> Iterator[None]:
    """A block during which no other run writes to `path`; WriteError where one does so now.

    The claim is a lock on a file beside it, which the system lifts when a run is killed. What a killed run left beside
    `path` is cleared away then, and a folder that it was about to replace is put back.
    """
    target = Path(path)
    lock = target.with_name(f".{target.name}.lock")
    made = _make_parents(target)
    try:
        handle = _locked(target, lock)
        try:
            _clear(target)
            yield
        finally:
            with suppress(OSError):
                lock.unlink()
            os.close(handle)
    finally:
        for folder in made:  # that nothing was put into after all
            with suppress(OSError):
                folder.rmdir()


def _make_parents(target: Path) -> list[Path]:
    """Make the folders that `target` lies in; those that were not there, the innermost first."""
    made = []
    for folder in target.absolute().parents:
        if os.path.lexists(folder):
            break
        made.append(folder)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _place_error(target, error) from error
    return made


def _locked(target: Path, lock: Path) -> int:
    """The handle of the lock file, held; WriteError where another process holds it."""
    while True:
        try:
            handle = os.open(lock, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0), 0o666)
        except OSError as error:
            raise _place_error(target, error) from error
        try:
            if fcntl is not None:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if lock.stat().st_ino == os.fstat(handle).st_ino:
                return handle
        except FileNotFoundError:  # its holder was done between the two calls
            pass
        except OSError as error:
            os.close(handle)
            if error.errno in (errno.EAGAIN, errno.EACCES):
                raise WriteError(target, "another run is writing it now", do="Choose another --out.") from error
            if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
                raise _place_error(target, error) from error
            return os.open(lock, os.O_RDONLY | os.O_CLOEXEC)  # a drive without locks
        os.close(handle)


def _prefix(target: Path, what: str) -> str:
    return f".{target.name}.restore-{what}-"


def _clear(target: Path) -> None:
    """Remove the stages that killed runs left, and put back what one of them had moved aside."""
    with suppress(OSError):
        entries = list(target.parent.iterdir())
        for old in (entry for entry in entries if entry.name.startswith(_prefix(target, "old"))):
            if (old / "kept").is_dir() and not os.path.lexists(target):
                (old / "kept").rename(target)
            shutil.rmtree(old, ignore_errors=True)
        for stage in (entry for entry in entries if entry.name.startswith(_prefix(target, "new"))):
            shutil.rmtree(stage, ignore_errors=True)


@cache
def _machine() -> str:
    """What tells processes whose numbers mean the same: this start of this machine, and this space of numbers."""
    facts = [platform.node()]
    with suppress(OSError, ValueError):  # no Linux: the name of the machine has to do
        facts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii"))
        facts.append(str(Path("/proc/self/ns/pid").readlink()))
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:12]


def _part_of(process: int) -> str:
    """How the name of an unfinished file of a process begins."""
    return f".restore-{_machine()}-{process}-"


def _clear_parts(folder: Path) -> None:
    """Remove the unfinished files of processes of this machine that have ended; once per process and folder."""
    seen = (os.getpid(), str(folder))
    if seen in _cleared:
        return
    _cleared.add(seen)
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            part = _PART.fullmatch(entry.name)
            if part and part["machine"] == _machine() and not _lives(int(part["process"])):
                with suppress(OSError):
                    Path(entry.path).unlink()


def _lives(process: int) -> bool:
    """Whether a process of that number runs; where the system cannot tell, it does."""
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)  # asks only
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def _swap(stage: Path, target: Path) -> None:
    if not target.exists():
        stage.rename(target)
        return
    old = Path(tempfile.mkdtemp(prefix=_prefix(target, "old"), dir=target.parent))
    target.rename(old / "kept")
    try:
        stage.rename(target)
    except BaseException:
        (old / "kept").rename(target)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def _existing_mode(place: Path, target: Path, *, overwrite: bool) -> int | None:
    """Permissions of the file that will be replaced, None where there is none."""
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a device or pipe"
        raise WriteError(place, f"this is {kind}", wanted="a file name", do="Name a file.")
    if not overwrite:
        raise WriteError(place, "it exists already", do="Choose another name or allow overwriting.")
    return stat.S_IMODE(mode)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _place_error(path: Path, error: OSError) -> WriteError:
    message, do = _PLACE.get(
        error.errno or 0, (f"cannot write ({one_line(error.strerror or error)})", "Write elsewhere.")
    )
    return WriteError(path, message, do=do)
