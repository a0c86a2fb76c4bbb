"""Fetching large files so that an interruption costs nothing and damage is seen."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vitascope.errors import DiskFull, WeightsMissing

BLOCK = 2**20
PATIENCE = 5  # attempts without a single new byte before a download is given up
# The hub's client has changed its own client twice.
HTTP_LIBRARIES = {"httpx", "httpx2", "httpcore", "httpcore2", "requests", "urllib3"}

Listener = Callable[[int], None]  # is told how many more bytes there are


@dataclass(frozen=True)
class RemoteFile:
    """A file that a server offers. Units: size in bytes. `sha256` is None where the server does not say it."""

    name: str
    size: int
    url: str
    sha256: str | None = None


def unheard(_num_bytes: int) -> None:
    """The listener of a download that nobody watches."""


def as_text(num_bytes: float) -> str:
    """A size for people: 12.4 GiB, 3.0 MiB."""
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if num_bytes >= size:
            return f"{num_bytes / size:.1f} {unit}"
    return f"{num_bytes:.0f} bytes"


def check_disk(files: Sequence[RemoteFile], folder: Path, model: str) -> None:
    """Raises: DiskFull if `files` have no room where `folder` is or will be."""
    needed = sum(file.size for file in files)
    free = free_bytes(folder)
    if needed > free:
        raise DiskFull(
            f"{model!r} needs {as_text(needed)} in {str(folder)!r} and {as_text(free)} are free; "
            "free some room or set HF_HOME to another disk"
        )


def free_bytes(folder: Path) -> int:
    """What is free on the disk of a folder that may not be there yet."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    return shutil.disk_usage(there).free


def fetch_file(
    file: RemoteFile, target: Path, headers: Mapping[str, str], listen: Listener = unheard
) -> None:
    """Put a remote file at `target`; what an earlier, interrupted attempt left is not fetched again.

    The file is seen at `target` only when it is whole and its sha256 is right. A second process that wants
    the same file waits. Raises: WeightsMissing for a file that arrived damaged; the client's own errors for
    everything that the network does.
    """
    from filelock import FileLock

    partial = target.with_name(f"{target.name}.partial")
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{partial}.lock"):
        if target.exists():
            listen(file.size)
            return
        have = _size(partial)
        listen(have)
        patience = PATIENCE
        while have < file.size:
            try:
                _append(file, partial, headers, listen)
            except Exception as error:
                patience = PATIENCE if _size(partial) > have else patience - 1
                if not is_transient(error) or patience == 0:
                    raise
                time.sleep(0.5 * (PATIENCE - patience))
            have = _size(partial)
        _check(file, partial)
        partial.replace(target)
    Path(f"{partial}.lock").unlink(missing_ok=True)


def is_network(error: BaseException) -> bool:
    """Whether it is an error of the HTTP client, whichever the hub's client uses."""
    return any(cls.__module__.split(".")[0] in HTTP_LIBRARIES for cls in type(error).__mro__)


def is_transient(error: BaseException) -> bool:
    """Whether a download that ended so is worth another attempt: the connection broke, no answer was given."""
    return is_network(error) and not hasattr(error, "response")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _append(file: RemoteFile, partial: Path, headers: Mapping[str, str], listen: Listener) -> None:
    from huggingface_hub import get_session
    from huggingface_hub.utils import hf_raise_for_status

    have = _size(partial)
    asked = {**headers, "Accept-Encoding": "identity", **({"Range": f"bytes={have}-"} if have else {})}
    with get_session().stream("GET", file.url, headers=asked, follow_redirects=True) as response:
        hf_raise_for_status(response)
        whole = have > 0 and response.status_code == 200  # the server takes no ranges
        if whole:
            listen(-have)
        with partial.open("wb" if whole else "ab") as stream:
            for block in response.iter_bytes(BLOCK):
                stream.write(block)
                listen(len(block))


def _check(file: RemoteFile, partial: Path) -> None:
    size = _size(partial)
    digest = sha256_of(partial) if file.sha256 else None
    if size == file.size and digest == file.sha256:
        return
    partial.unlink()
    wrong = (
        f"{size:,} bytes, not {file.size:,}" if size != file.size else f"sha256 {digest}, not {file.sha256}"
    )
    raise WeightsMissing(f"{file.name} arrived damaged ({wrong}) and was thrown away; run the command again")


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()
