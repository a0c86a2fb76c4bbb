"""Downloading, against a small hub of our own on this machine."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlparse

import pytest

from tests.generators import tiny_cogvideox as tiny

COMMIT = "a" * 40
SCRIPT = """
import json, sys
from vitascope.engine import hub, weights
from vitascope.generators import for_model
from vitascope.settings import Settings

def said(work):
    try:
        return str(work())
    except Exception as error:
        return f"{type(error).__name__}: {error}"

offline = Settings.from_environment().offline
answers = {}
for model in sys.argv[1:]:
    answers[model] = {
        "family": said(lambda: for_model(model).name),
        "folder": said(lambda: weights.local_path(weights.find_source(model), offline=offline)),
        "here": hub.has_weights(model),
    }
print(json.dumps(answers))
"""


class Hub(BaseHTTPRequestHandler):
    """Serves one folder as acme/tiny, refuses acme/gated, knows no other."""

    folder: Path
    served: list[str]

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, body):
        path = urlparse(self.path).path
        if "acme/gated" in path:
            return self.reply(403, {"X-Error-Code": "GatedRepo"}, b"{}", body)
        if "acme/tiny" not in path:
            return self.reply(404, {"X-Error-Code": "RepoNotFound"}, b"{}", body)
        if path.startswith("/api/models/acme/tiny"):
            return self.reply(200, {"Content-Type": "application/json"}, self.listing("/tree/" in path), body)
        file = self.folder / path.split(f"/resolve/{COMMIT}/")[-1]
        if body:
            self.served.append(str(file.relative_to(self.folder)))
        data = file.read_bytes()
        etag = f'"{hashlib.sha1(data).hexdigest()}"'
        return self.reply(200, {"ETag": etag, "X-Repo-Commit": COMMIT}, data, body)

    def listing(self, tree):
        files = {
            str(file.relative_to(self.folder)): file for file in self.folder.rglob("*") if file.is_file()
        }
        sizes = {name: file.stat().st_size for name, file in files.items()}
        if tree:
            entries = [
                {"type": "file", "path": n, "size": size, "oid": "b" * 40} for n, size in sizes.items()
            ]
            return json.dumps(entries).encode()
        siblings = [{"rfilename": name, "size": size} for name, size in sizes.items()]
        return json.dumps({"id": "acme/tiny", "sha": COMMIT, "siblings": siblings}).encode()

    def reply(self, status, headers, data, body):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tiny.save(tmp_path_factory.mktemp("hub") / "tiny")
    (folder / "transformer" / "diffusion_pytorch_model.bin").write_bytes(b"a pickled twin")
    (folder / "transformer" / "diffusion_pytorch_model.fp16.safetensors").write_bytes(b"another variant")
    (folder / "all-in-one.safetensors").write_bytes(b"another layout")
    handler = type("Served", (Hub,), {"folder": folder, "served": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def ask(home, endpoint, *models, offline="0"):
    environment = {
        **os.environ,
        "HF_HOME": str(home),
        "HF_ENDPOINT": endpoint,
        "HF_HUB_OFFLINE": offline,
        "HF_HUB_DISABLE_XET": "1",
    }
    command = [sys.executable, "-c", SCRIPT, *models]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_model_is_downloaded_once_and_stays(server, tmp_path):
    endpoint = f"http://127.0.0.1:{server.server_port}"
    first = ask(tmp_path, endpoint, "acme/tiny", "acme/gated", "acme/none")
    tiny_model = first["acme/tiny"]
    assert tiny_model["family"] == "cogvideox"
    assert tiny_model["folder"].endswith(f"snapshots/{COMMIT}")
    assert tiny_model["here"]
    served = server.RequestHandlerClass.served
    assert "transformer/diffusion_pytorch_model.safetensors" in served
    assert not [name for name in served if name.endswith((".bin", ".fp16.safetensors")) or "all-in" in name]
    assert len(served) == len(set(served)), "no file is fetched twice"

    assert "gated: accept its licence" in first["acme/gated"]["folder"]
    assert first["acme/gated"]["family"].startswith("WeightsMissing")
    assert first["acme/none"]["folder"].startswith("UnknownName")

    before = len(served)
    for how in ({"offline": "1"}, {}):  # downloading off; and a hub that does not answer
        again = ask(tmp_path, "http://127.0.0.1:9", "acme/tiny", "acme/other", **how)
        assert again["acme/tiny"] == tiny_model
        assert again["acme/other"]["folder"].startswith("NoNetwork")
        assert again["acme/other"]["family"].startswith("NoNetwork")
    assert len(served) == before
