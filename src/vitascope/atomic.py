"""Writing files and folders so that a reader sees the whole of the new one or the whole of the old one."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vitascope.errors import DiskFull, NotFound, RequestError, ResourceError


def _as_vitascope_error(error: OSError, path: Path) -> Exception:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(f"no space left to write {str(path)!r}; free some room and try again")
    if error.errno == errno.ENAMETOOLONG:
        return RequestError(f"{str(path)[:80]!r}... is too long a name for a file; choose a shorter one")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return ResourceError(f"not allowed to write {str(path)!r}; choose a folder that you may write to")
    return ResourceError(f"cannot write {str(path)!r}: {error.strerror}")


def check_writable(path: str | Path) -> None:
    """Look, before a long run, whether its result could be written.

    Raises: NotFound if the folder is missing, RequestError if `path` is a device or a pipe, which a move into
    place would destroy, ResourceError if writing there is not allowed.
    """
    path = Path(path)
    try:
        is_there = path.exists()
    except OSError as error:
        raise _as_vitascope_error(error, path) from error
    if is_there and not (path.is_file() or path.is_dir()):
        raise RequestError(f"{str(path)!r} is a device or a pipe; give the name of a file")
    folder = path.parent
    if not folder.is_dir():
        raise NotFound(f"no folder {str(folder)!r} to write {path.name!r} into; make it first")
    if not os.access(folder, os.W_OK):
        raise ResourceError(f"not allowed to write into {str(folder)!r}; choose another folder")


def ready_folder(path: Path) -> Path:
    """Make the folder that a long run will write into, before it runs.

    Raises: RequestError for a file at `path`, DiskFull, ResourceError if it cannot be made or written into.
    """
    if path.exists() and not path.is_dir():
        raise RequestError(f"{str(path)!r} is a file; give the name of a folder")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _as_vitascope_error(error, path) from error
    if not os.access(path, os.W_OK):
        raise ResourceError(f"not allowed to write into {str(path)!r}; choose another folder")
    return path


@contextmanager
def appending(path: Path) -> Iterator[None]:
    """Say in our words what keeps a log from being written on. Raises: DiskFull, ResourceError."""
    try:
        yield
    except OSError as error:
        raise _as_vitascope_error(error, path) from error


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; move it into place when the block ends well, else remove it.

    The temporary file keeps the suffix of `path`, since writers choose their format by it.
    Raises: NotFound if the folder is missing, RequestError if `path` is a folder, DiskFull, ResourceError.
    """
    path = Path(path)
    check_writable(path)
    if path.is_dir():
        raise RequestError(f"{str(path)!r} is a folder; give the name of a file")
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.stem[:40]}-", suffix=path.suffix, dir=path.parent)
    except OSError as error:
        raise _as_vitascope_error(error, path) from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        raise _as_vitascope_error(error, path) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: str | Path, data: bytes) -> Path:
    """Write `data` to `path` in one move. Raises: as `replacing`."""
    path = Path(path)
    with replacing(path) as temporary:
        temporary.write_bytes(data)
    return path


def check_folder(path: Path, is_ours: bool) -> None:
    """Look, before a long run, whether `replacing_folder` could put its result there. Raises: as it does."""
    check_writable(path)
    if path.is_file():
        raise RequestError(f"{str(path)!r} is a file; give the name of a folder")
    if path.is_dir() and any(path.iterdir()) and not is_ours:
        raise RequestError(f"the folder {str(path)!r} holds other files; choose a new or empty one")


@contextmanager
def replacing_folder(path: Path, is_ours: bool) -> Iterator[Path]:
    """Give an empty folder beside `path`; move it into place when the block ends well, else remove it.

    A folder already at `path` is replaced if it is empty or `is_ours`, that is, holds only what we wrote.
    Raises: NotFound if the parent is missing, RequestError for a file or somebody else's folder at `path`,
    DiskFull, ResourceError.
    """
    check_folder(path, is_ours)
    temporary = path
    try:
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name[:40]}-", dir=path.parent))
        yield temporary
        temporary.chmod(0o777 & ~_umask())
        _exchange(temporary, path)
    except OSError as error:
        raise _as_vitascope_error(error, path) from error
    finally:
        if temporary != path:
            shutil.rmtree(temporary, ignore_errors=True)


def _exchange(new: Path, path: Path) -> None:
    """Put `new` where `path` is. Between its two renames a reader finds no folder, never half of one."""
    if not path.exists():
        new.rename(path)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{path.name[:40]}-old-", dir=path.parent))
    path.rename(old / "old")
    new.rename(path)
    shutil.rmtree(old, ignore_errors=True)


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask
