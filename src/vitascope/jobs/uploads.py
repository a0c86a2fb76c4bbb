"""Files that a client sends ahead of its requests: pictures, clips, LoRA files. Each belongs to one tenant."""

from __future__ import annotations

import re
import secrets
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import sqlalchemy as sa

from vitascope.atomic import replacing
from vitascope.errors import InvalidMedia, NotFound, RequestError
from vitascope.jobs.examiner import Examiner
from vitascope.jobs.house import House
from vitascope.jobs.tables import UPLOADS

DAY_S = 86_400.0
MAX_TENANT_BYTES = 4 * 2**30
TRAINED = "fine-tune-results"
TRAINING_FILE = "fine-tune"
_ID = re.compile(r"file-[0-9a-f]{24}")


@dataclass(frozen=True)
class Upload:
    """One uploaded file. `kind`: picture, clip or lora, found by reading it. Units: times in Unix seconds."""

    id: str
    tenant: str
    filename: str
    purpose: str
    kind: str
    num_bytes: int
    created_at: float
    expires_at: float

    @property
    def name(self) -> str:
        """Its name among the artifacts; the name that the client gave it never reaches a disk."""
        return f"uploads/{self.id}{'.safetensors' if self.kind == 'lora' else ''}"


class Uploads:
    """The uploaded files of a service."""

    def __init__(
        self, house: House, engine: sa.Engine, examiner: Examiner, lifetime_s: float = 7 * DAY_S
    ) -> None:
        self._house, self._engine, self._examiner, self.lifetime_s = house, engine, examiner, lifetime_s

    def add(
        self,
        tenant: str,
        filename: str,
        purpose: str,
        save: Callable[[Path], None],
        judge: Callable[[Path], str] | None = None,
    ) -> Upload:
        """Take a file that `save` writes, if it can really be read; `judge` tells its kind where it is no media.

        Raises: InvalidMedia, RequestError if the tenant keeps too much already, what `save` raises.
        """
        if self._num_bytes(tenant) > MAX_TENANT_BYTES:
            raise RequestError(f"your files take {MAX_TENANT_BYTES} bytes already; delete some", param="file")
        now = time.time()
        upload_id = f"file-{secrets.token_hex(12)}"
        shown = "".join(c for c in filename if c.isprintable())[-255:]
        upload = Upload(upload_id, tenant, shown, purpose, "", 0, now, now + self.lifetime_s)
        path = self._house.root / "uploads" / f"{upload_id}.part"
        try:
            save(path)
            kind = judge(path) if judge is not None else self._examiner.kind(path, "file")
            upload = replace(upload, kind=kind, num_bytes=path.stat().st_size)
            path.replace(self._house.root / upload.name)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        self._house.artifacts.put(upload.name)
        with self._engine.begin() as connection:
            connection.execute(UPLOADS.insert().values(**vars(upload)))
        return upload

    def _num_bytes(self, tenant: str) -> int:
        query = sa.select(sa.func.coalesce(sa.func.sum(UPLOADS.c.num_bytes), 0))
        with self._engine.connect() as connection:
            return int(connection.execute(query.where(UPLOADS.c.tenant == tenant)).scalar_one())

    def find(self, upload_id: str, tenant: str) -> Upload:
        """A tenant's file. Raises: NotFound, the same for one that is not there and for another's."""
        query = sa.select(UPLOADS).where(
            UPLOADS.c.id == upload_id, UPLOADS.c.tenant == tenant, UPLOADS.c.expires_at > time.time()
        )
        with self._engine.connect() as connection:
            row = connection.execute(query).first()
        if row is None or not _ID.fullmatch(upload_id):
            raise NotFound(f"no file {upload_id[:80]!r}", param="file_id")
        return _upload(row)

    def path(self, upload_id: str, tenant: str, kind: str = "") -> Path:
        """Where a tenant's file is on this machine. Raises: as `find`, InvalidMedia if it is of another kind."""
        upload = self.find(upload_id, tenant)
        if kind and upload.kind != kind:
            raise InvalidMedia(f"file {upload_id!r} is a {upload.kind}, not a {kind}", param="file_id")
        return self._house.artifacts.fetch(upload.name)

    def lora_named(self, name: str, tenant: str) -> Upload | None:
        """The tenant's newest LoRA of this name, which its training gave it; None if there is none."""
        query = sa.select(UPLOADS).where(
            UPLOADS.c.filename == f"{name}.safetensors",
            UPLOADS.c.tenant == tenant,
            UPLOADS.c.purpose == TRAINED,
            UPLOADS.c.expires_at > time.time(),
        )
        with self._engine.connect() as connection:
            row = connection.execute(query.order_by(UPLOADS.c.number.desc()).limit(1)).first()
        return None if row is None else _upload(row)

    def loras(self, tenant: str) -> list[Upload]:
        """The tenant's LoRA files, trained here or uploaded, newest first."""
        query = sa.select(UPLOADS).where(
            UPLOADS.c.tenant == tenant, UPLOADS.c.kind == "lora", UPLOADS.c.expires_at > time.time()
        )
        with self._engine.connect() as connection:
            return [_upload(row) for row in connection.execute(query.order_by(UPLOADS.c.number.desc()))]

    def page(self, tenant: str, after: str | None, limit: int, newest_first: bool) -> list[Upload]:
        """Up to `limit` files of a tenant, those after the file `after`."""
        number = UPLOADS.c.number
        query = sa.select(UPLOADS).where(UPLOADS.c.tenant == tenant, UPLOADS.c.expires_at > time.time())
        if after is not None:
            mark = sa.select(number).where(UPLOADS.c.id == after).scalar_subquery()
            query = query.where(number < mark if newest_first else number > mark)
        query = query.order_by(number.desc() if newest_first else number).limit(limit)
        with self._engine.connect() as connection:
            return [_upload(row) for row in connection.execute(query)]

    def delete(self, upload: Upload) -> None:
        """Remove a file and its record; jobs that were made from it keep their own copy."""
        self._house.artifacts.remove(upload.name)
        with self._engine.begin() as connection:
            connection.execute(UPLOADS.delete().where(UPLOADS.c.id == upload.id))


def keep_lora(
    house: House, engine: sa.Engine, job_id: str, tenant: str, name: str, path: Path, lifetime_s: float
) -> str:
    """Put what a training has made among its tenant's files, once; gives the file's id."""
    now, upload_id = time.time(), f"file-{job_id[-24:]}"
    upload = Upload(
        upload_id, tenant, f"{name}.safetensors", TRAINED, "lora", path.stat().st_size, now, now + lifetime_s
    )
    with replacing(house.root / upload.name) as part:
        shutil.copyfile(path, part)
    house.artifacts.put(upload.name)
    with engine.begin() as connection:
        connection.execute(UPLOADS.delete().where(UPLOADS.c.id == upload_id))
        connection.execute(UPLOADS.insert().values(**vars(upload)))
    return upload_id


def sweep(house: House, engine: sa.Engine) -> None:
    """Remove the uploaded files that have expired."""
    with engine.connect() as connection:
        rows = connection.execute(sa.select(UPLOADS).where(UPLOADS.c.expires_at < time.time()).limit(500))
        old = [_upload(row) for row in rows]
    for upload in old:
        house.artifacts.remove(upload.name)
    with engine.begin() as connection:
        connection.execute(UPLOADS.delete().where(UPLOADS.c.id.in_([upload.id for upload in old])))


def _upload(row: sa.Row) -> Upload:
    return Upload(**{name: value for name, value in row._mapping.items() if name != "number"})
