"""Files of jobs and uploads, in a folder or in an object store; a file is there whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from vitascope.atomic import replacing
from vitascope.clip import Clip
from vitascope.errors import DependencyMissing, NotFound, RequestError, ResourceError
from vitascope.workflows import ClipStore

PIECE = 2**20


@dataclass(frozen=True)
class Artifacts:
    """Files under names such as `jobs/video_1/video.mp4`.

    `folder`: where they are made, and stay if there is no `url`. `url`: any of fsspec's, such as
    `s3://bucket/prefix` or `file:///mnt/shared`; then a file counts once it has been `put` there, and any machine
    can `fetch` it.
    """

    folder: Path
    url: str = ""

    @cached_property
    def _store(self) -> tuple[Any, str]:
        try:
            from fsspec.core import url_to_fs

            # A folder that all machines see makes its subfolders only if asked to; object stores have none.
            folders = {"auto_mkdir": True} if self.url.startswith("file:") else {}
            filesystem, root = url_to_fs(self.url, use_listings_cache=False, **folders)
        except ImportError as error:
            raise DependencyMissing("s3fs", "s3", f"keeping files in {self.url.partition(':')[0]}") from error
        except ValueError as error:
            raise RequestError(
                f"--artifacts {self.url.partition(':')[0]}:...: {error}; name a folder's URL or s3://bucket/prefix"
            ) from error
        return filesystem, root

    def check(self) -> None:
        """Check that the store's protocol is supported here. Raises: RequestError, DependencyMissing."""
        if self.url:
            self._store  # noqa: B018

    def _far(self, name: str) -> str:
        return f"{self._store[1]}/{name}"

    def put(self, *names: str) -> None:
        """Send files or whole folders, made under `folder`, to the store. Raises: ResourceError."""
        if not self.url:
            return
        for name in names:
            near = self.folder / name
            files = [path for path in near.rglob("*") if path.is_file()] if near.is_dir() else [near]
            with _explained(self.url):
                for path in files:
                    self._store[0].put_file(str(path), self._far(path.relative_to(self.folder).as_posix()))

    def fetch(self, name: str) -> Path:
        """A file or folder on this machine. Raises: NotFound, ResourceError."""
        near = self.folder / name
        if near.exists():
            return near
        if not self.url:
            raise NotFound(f"no file {near.name!r}")
        near.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _explained(self.url):
            is_folder = self._store[0].isdir(self._far(name))
        if is_folder:
            self._fetch_folder(name, near)
        else:
            with replacing(near) as part, _explained(self.url):
                self._store[0].get_file(self._far(name), str(part))
        return near

    def _fetch_folder(self, name: str, near: Path) -> None:
        part = near.with_name(f".{near.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        with _explained(self.url):
            root = self._store[0]._strip_protocol(self._far(name))
            for far in self._store[0].find(root):
                path = part / far.removeprefix(f"{root}/")
                path.parent.mkdir(parents=True, exist_ok=True)
                self._store[0].get_file(far, str(path))
            part.replace(near)

    def size(self, name: str) -> int:
        """Bytes of a file, wherever it is. Raises: NotFound, ResourceError."""
        near = self.folder / name
        if near.is_file():
            return near.stat().st_size
        if not self.url:
            raise NotFound(f"no file {near.name!r}")
        with _explained(self.url):
            return int(self._store[0].size(self._far(name)))

    def read(self, name: str) -> bytes:
        """A small file that may be replaced or removed at any moment. Raises: NotFound, ResourceError."""
        try:
            return (self.folder / name).read_bytes()
        except FileNotFoundError as error:
            if not self.url:
                raise NotFound(f"no file {name.rpartition('/')[2]!r}") from error
        with _explained(self.url):
            return bytes(self._store[0].cat_file(self._far(name)))

    def pieces(self, name: str, start: int, end: int) -> Iterator[bytes]:
        """The bytes `start` to `end` of a stored file, piece by piece. Raises: ResourceError."""
        with _explained(self.url):
            for at in range(start, end, PIECE):
                yield self._store[0].cat_file(self._far(name), start=at, end=min(at + PIECE, end))

    def remove(self, name: str) -> None:
        """Forget a file or folder, here and in the store; no error if it is not there."""
        self.leave(name)
        if self.url:
            with suppress(NotFound), _explained(self.url):
                self._store[0].rm(self._far(name), recursive=True)

    def leave(self, name: str) -> None:
        """Remove what only this machine has of a file or folder."""
        near = self.folder / name
        if near.is_dir():
            shutil.rmtree(near, ignore_errors=True)
        else:
            near.unlink(missing_ok=True)


class _explained:
    """Turns errors of a store's library (file missing, connection lost) into ours."""

    def __init__(self, url: str) -> None:
        self.url = url

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, FileNotFoundError):
            raise NotFound("no such file in the store") from error
        if isinstance(error, OSError):
            scheme = self.url.partition(":")[0]
            raise ResourceError(f"the {scheme} store cannot be used: {type(error).__name__}") from error


@dataclass(frozen=True)
class StoredCheckpoints:
    """Denoising states of a job that any worker of any machine can take up."""

    artifacts: Artifacts
    prefix: str

    def save(self, name: str, data: bytes) -> None:
        """Keep `data` under `name`. Raises: DiskFull, ResourceError."""
        near = self.artifacts.folder / self.prefix / name
        near.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with replacing(near) as part:
            part.write_bytes(data)
        self.artifacts.put(f"{self.prefix}/{name}")

    def load(self, name: str) -> bytes | None:
        """What was kept under `name`, or None."""
        if self.artifacts.url:  # another machine may have gone further than what is left here
            self.artifacts.leave(f"{self.prefix}/{name}")
        try:
            return self.artifacts.fetch(f"{self.prefix}/{name}").read_bytes()
        except NotFound:
            return None

    def delete(self, name: str) -> None:
        """Remove what was kept under `name`."""
        self.artifacts.remove(f"{self.prefix}/{name}")


@dataclass(frozen=True)
class StoredClips(ClipStore):
    """Intermediate clips of a job that any machine can go on from."""

    artifacts: Artifacts | None = None

    def get(self, key: str) -> Clip | None:
        """The clip kept under `key`, or None; a damaged one counts as none."""
        if self.artifacts is not None:
            with suppress(NotFound):
                self.artifacts.fetch(self._name(key))
        return super().get(key)

    def put(self, key: str, clip: Clip) -> Clip:
        """Keep `clip` under `key`. Raises: DiskFull, ResourceError."""
        kept = super().put(key, clip)
        if self.artifacts is not None:
            self.artifacts.put(self._name(key))
        return kept

    def _name(self, key: str) -> str:
        assert self.artifacts is not None, "asked only where there are artifacts"
        return str((self.folder / key).relative_to(self.artifacts.folder))
