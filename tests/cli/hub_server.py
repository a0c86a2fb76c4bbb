"""A small hub on this machine that speaks the wire protocol of the Hugging Face Hub and of ModelScope."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlparse

COMMIT = "a" * 40
LARGE = 1024  # larger files are said to be in LFS


class HubServer(BaseHTTPRequestHandler):
    """Serves one folder under any owner "acme"; "acme/http-500" answers with that status alone.

    `cut_at`: large files break off there; `stall`: and then nothing comes any more. `damaged`: large files
    arrive with a wrong byte. `asked`: every GET of a file with its Range header.
    """

    protocol_version = "HTTP/1.1"
    folder: Path
    asked: list[tuple[str, str | None]]
    cut_at: int | None = None
    stall: threading.Event | None = None
    damaged = False

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        address = urlparse(self.path)
        path = address.path
        if "acme/gated" in path:
            return self._send(403, {"X-Error-Code": "GatedRepo"}, b"{}", body)
        if broken := re.search(r"acme/http-(\d+)", path):
            return self._send(int(broken[1]), {}, b"{}", body)
        if "acme/" not in path:
            return self._send(404, {"X-Error-Code": "RepoNotFound"}, b"{}", body)
        if path.startswith("/api/v1/models/"):
            return self._modelscope(path, parse_qs(address.query), body)
        if path.startswith("/api/models/"):
            return self._send(
                200, {"Content-Type": "application/json"}, self._listing("/tree/" in path), body
            )
        name = re.split(rf"/resolve/(?:{COMMIT}|main)/", path)[-1]
        return self._file(name, body)

    def _modelscope(self, path: str, query: dict[str, list[str]], body: bool) -> None:
        if path.endswith("/files"):
            files = [
                {"Path": name, "Size": len(data), "Sha256": hashlib.sha256(data).hexdigest(), "Type": "blob"}
                for name, data in self._contents().items()
            ]
            listing = json.dumps({"Code": 200, "Data": {"Files": files}}).encode()
            return self._send(200, {"Content-Type": "application/json"}, listing, body)
        return self._file(query["FilePath"][0], body)

    def _contents(self) -> dict[str, bytes]:
        files = sorted(file for file in self.folder.rglob("*") if file.is_file())
        return {str(file.relative_to(self.folder)): file.read_bytes() for file in files}

    def _listing(self, tree: bool) -> bytes:
        entries = []
        for name, data in self._contents().items():
            said = {
                "path" if tree else "rfilename": name,
                "size": len(data),
                "oid": "b" * 40,
                "blobId": "b" * 40,
            }
            if len(data) > LARGE:
                digest = hashlib.sha256(data).hexdigest()
                said["lfs"] = {"oid": digest, "sha256": digest, "size": len(data), "pointerSize": 134}
            entries.append({"type": "file", **said} if tree else said)
        return json.dumps(
            entries if tree else {"id": "acme/tiny", "sha": COMMIT, "siblings": entries}
        ).encode()

    def _file(self, name: str, body: bool) -> None:
        data = (self.folder / name).read_bytes()
        large = len(data) > LARGE
        digest = (hashlib.sha256 if large else hashlib.sha1)(data).hexdigest()
        headers = {"ETag": f'"{digest}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        if large:
            headers |= {"X-Linked-Etag": f'"{digest}"', "X-Linked-Size": str(len(data))}
        if not body:
            return self._send(200, headers, data, body)
        wanted = self.headers.get("Range")
        self.asked.append((name, wanted))
        start = int(wanted.removeprefix("bytes=").split("-")[0]) if wanted else 0
        if large and self.damaged:
            data = data[:-1] + bytes([data[-1] ^ 1])
        if wanted:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        if large and self.cut_at is not None and start < self.cut_at:
            return self._break_off(206 if wanted else 200, headers, data[start:], self.cut_at - start)
        return self._send(206 if wanted else 200, headers, data[start:], body)

    def _break_off(self, status: int, headers: dict[str, str], data: bytes, sent: int) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data[:sent])
        self.wfile.flush()
        if self.stall is not None:
            self.stall.wait(60)
        self.close_connection = True

    def _send(self, status: int, headers: dict[str, str], data: bytes, body: bool) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serving(folder: Path) -> Iterator[tuple[str, type[HubServer]]]:
    """The address of a hub that serves `folder`, and the handler whose attributes decide how it behaves."""
    handler = type("Served", (HubServer,), {"folder": folder, "asked": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", handler
        server.shutdown()
