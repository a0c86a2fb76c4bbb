"""Captions from an endpoint: asked with pictures, written beside the clips, failures told."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest

from vitascope.clip import Clip
from vitascope.context import Context
from vitascope.errors import ResourceError
from vitascope.language.chat import Endpoint
from vitascope.training.captioning import caption_folder


@pytest.fixture
def endpoint():
    asked = []

    class Vision(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append(body["messages"][0]["content"])
            status = 500 if len(asked) == 2 else 200
            text = json.dumps(
                {"choices": [{"message": {"content": f" A ball\n rolls {len(asked)}. "}}]}
            ).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Vision)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Endpoint(f"http://127.0.0.1:{server.server_port}/v1", "vision"), asked
    server.shutdown()
    server.server_close()


def test_clips_without_caption_get_one(tmp_path, endpoint):
    place, asked = endpoint
    for i in range(3):
        Clip(np.full((9, 32, 32, 3), 50 * i, np.uint8), 8).save(tmp_path / f"{i}.mp4")
    (tmp_path / "0.txt").write_text("written by hand")
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    context = Context()
    made = caption_folder(tmp_path, place, context, trigger="inkwash", timeout_s=20)
    assert made == {"1.mp4": "inkwash, A ball rolls 1."}
    assert (tmp_path / "1.txt").read_text() == "inkwash, A ball rolls 1."
    assert (tmp_path / "0.txt").read_text() == "written by hand"
    assert [part["type"] for part in asked[0]] == ["text", *["image_url"] * 4]
    assert asked[0][1]["image_url"]["url"].startswith("data:image/jpeg;base64,")
    assert any("'2.mp4'" in line and "500" in line for line in context.warnings)
    assert any("'bad.mp4'" in line for line in context.warnings)
    again = caption_folder(tmp_path, place, Context(), timeout_s=20)
    assert set(again) == {"2.mp4"}, "what has a caption is not asked again"


def test_an_endpoint_that_is_down_ends_it_at_once(tmp_path):
    Clip(np.zeros((9, 32, 32, 3), np.uint8), 8).save(tmp_path / "a.mp4")
    with pytest.raises(ResourceError, match=r"no captions from http://127.0.0.1:9/v1"):
        caption_folder(tmp_path, Endpoint("http://127.0.0.1:9/v1", "m"), Context(), timeout_s=5)
