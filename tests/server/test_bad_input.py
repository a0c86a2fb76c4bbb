"""What strangers send: 200 malformed uploads, and whatever Schemathesis thinks of."""

import io
import json
import os
import random
import subprocess
import zipfile
import zlib

import numpy as np
import psutil
import pytest
from PIL import Image

from tests.own_venv import own_venv
from tests.recording import recorded
from vitascope.clip import Clip
from vitascope.media import write

NUM_MALFORMED = 200
BOUND_MIB = 300
SCHEMATHESIS = "schemathesis==4.32.5"


def picture(kind, size=(64, 48)):
    data = io.BytesIO()
    Image.effect_noise(size, 80).convert("RGB").save(data, kind)
    return data.getvalue()


def chunk(name, data):
    return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")


def png_bomb(side):
    """A few kilobytes that say they are a picture of side x side."""
    head = side.to_bytes(4, "big") * 2 + b"\x08\x02\0\0\0"
    body = zlib.compress(b"\0" * min(side * (3 * side + 1), 50_000_000), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def archive():
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("x", b"\0" * 10_000_000)
    return data.getvalue()


def malformed(folder):
    """200 files by name, none of which is a plain picture or clip."""
    chance = random.Random(3)
    whole = {kind: picture(kind) for kind in ("PNG", "JPEG", "WEBP", "GIF")}
    for name in ("x.mp4", "x.webm"):
        path = folder / name
        write(Clip(np.random.default_rng(0).integers(0, 255, (9, 48, 64, 3), np.uint8), 8), path)
        whole[name] = path.read_bytes()
    files = {"empty": b"", "one byte": b"\x89", "zip": archive(), "page": b"<html><script>x</script></html>"}
    files["elf"] = b"\x7fELF" + os.urandom(400)
    files["pickle"] = b"\x80\x04\x95" + os.urandom(60)
    files["text called png"] = b"this is no picture" * 20
    files["svg"] = b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>'
    files["playlist"] = b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n"
    files["concat"] = b"ffconcat version 1.0\nfile '/etc/passwd'\n"
    files["safetensors"] = (2).to_bytes(8, "little") + b"{}"
    for side in (9_000, 20_000, 60_000, 2**31 - 1):
        files[f"bomb {side}"] = png_bomb(side)
    for kind, data in whole.items():
        for tail in (archive(), b"<script>alert(1)</script>" * 20, whole["PNG"], b"%PDF-1.4\n" * 9):
            files[f"polyglot {kind} {len(tail)} {tail[:3]!r}"] = data + tail
    while len(files) < NUM_MALFORMED:
        kind, data = chance.choice(list(whole.items()))
        cut = chance.randrange(1, len(data) - 4)
        files[f"{kind} cut at {cut}"] = data[:cut]
    return files


def memory_mib(url):
    """What the service and all of its children use."""
    port = int(url.rpartition(":")[2])
    for process in psutil.process_iter():
        listening = any(c.laddr and c.laddr.port == port for c in connections(process))
        if listening:
            family = [process, *process.children(recursive=True)]
            return sum(member.memory_info().rss for member in family) / 2**20
    raise AssertionError("nobody listens")


def connections(process):
    try:
        return [c for c in process.net_connections("tcp") if c.status == psutil.CONN_LISTEN]
    except (psutil.AccessDenied, psutil.NoSuchProcess):
        return []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_malformed_uploads_are_refused_and_memory_stays(http, service, tmp_path):
    files = malformed(tmp_path)
    http.post("/v1/files", data={"purpose": "vision"}, files={"file": ("x.png", picture("PNG"))})
    before, most, seen = memory_mib(service), 0.0, {}
    for number, (name, data) in enumerate(files.items()):
        if number % 2:
            reply = http.post("/v1/files", data={"purpose": "vision"}, files={"file": ("x.png", data)})
        else:
            fields = {"prompt": "x", "model": "colour-bars"}
            reply = http.post("/v1/videos", data=fields, files={"input_reference": ("x.png", data)})
        assert 400 <= reply.status_code < 500, (name, reply.text)
        assert reply.json()["error"]["message"], name
        assert "/tmp" not in reply.text and "Traceback" not in reply.text, (name, reply.text)
        seen[reply.status_code] = seen.get(reply.status_code, 0) + 1
        most = max(most, memory_mib(service))
    assert most - before < BOUND_MIB, f"{before:.0f} MiB grew to {most:.0f}"
    assert http.get("/v1/videos").json()["data"] == [] or http.get("/ready").status_code == 200
    recorded("malformed-uploads", files=len(files), statuses=seen, memory_grew_mib=round(most - before, 1))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_schemathesis_finds_no_server_error(service, tmp_path):
    report = tmp_path / "report.xml"
    command = [
        str(own_venv(tmp_path / "venv", SCHEMATHESIS) / "schemathesis"), "run", f"{service}/openapi.json",
        "--checks", "not_a_server_error", "--max-examples", "25", "--seed", "11",
        "--exclude-path-regex", "/events$", "--request-timeout", "30",
        "--report", "junit", "--report-junit-path", str(report),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-4000:]
    text = done.stdout
    counted = [line.strip() for line in text.splitlines() if "generated" in line or "passed" in line]
    recorded("schemathesis", said=counted[-6:], operations=len(json.loads(paths(service))))


def paths(service):
    """The paths of the OpenAPI document as JSON."""
    import urllib.request

    with urllib.request.urlopen(f"{service}/openapi.json") as reply:
        return json.dumps(list(json.load(reply)["paths"]))
