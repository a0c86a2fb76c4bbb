"""An S3-compatible server of moto's for tests, in a virtual environment of its own."""

import os
import socket
import subprocess
from contextlib import contextmanager

from tests.jobs.crew import wait_for
from tests.own_venv import own_venv


@contextmanager
def s3_server(folder):
    """An S3-compatible server of moto's, with an empty bucket; its URL is in the environment meanwhile."""
    programs = own_venv(folder / "moto", "moto[server]")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [programs / "moto_server", "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    said = {
        "FSSPEC_S3_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "FSSPEC_S3_KEY": "key",
        "FSSPEC_S3_SECRET": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    os.environ.update(said)
    from fsspec.config import conf, set_conf_env

    set_conf_env(conf)
    try:
        wait_for(lambda: can_connect(port), 60)
        import s3fs

        s3fs.S3FileSystem().mkdir("clips")
        yield "s3://clips/house"
    finally:
        process.kill()
        process.wait()
        for name in said:
            del os.environ[name]


def can_connect(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
