"""Folders written so that a reader sees the whole of the new one, or the whole of the old one."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vitascope.atomic import check_writable
from vitascope.errors import DiskFull, RequestError, ResourceError


@contextmanager
def replacing_folder(path: Path, is_ours: bool) -> Iterator[Path]:
    """Give an empty folder beside `path`; move it into place when the block ends well, else remove it.

    A folder already at `path` is replaced if it is empty or `is_ours`, that is, holds only what we wrote.
    Raises: NotFound if the parent is missing, RequestError for a file or somebody else's folder at `path`,
    DiskFull, ResourceError.
    """
    check_writable(path)
    if path.is_file():
        raise RequestError(f"{str(path)!r} is a file; give the name of a folder")
    if path.is_dir() and any(path.iterdir()) and not is_ours:
        raise RequestError(f"the folder {str(path)!r} holds other files; choose a new or empty one")
    temporary = path
    try:
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name[:40]}-", dir=path.parent))
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o777 & ~umask)
        _exchange(temporary, path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(f"no space left to write {str(path)!r}; free some room and try again") from error
        raise ResourceError(f"cannot write {str(path)!r}: {error.strerror}") from error
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
