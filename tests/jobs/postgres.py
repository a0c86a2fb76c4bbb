"""A PostgreSQL server for tests, in a temporary folder, gone at the end.

`python -m tests.jobs.postgres COMMAND...` runs a command with VITASCOPE_DATABASE set to a fresh database.
"""

import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

PLACES = ("/usr/lib/postgresql", "/usr/local/pgsql", "/opt/homebrew/opt/postgresql")


def tools():
    """The folder of initdb and postgres, or None if PostgreSQL is not installed."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    files = [path for place in PLACES for path in Path(place).glob("**/bin/initdb")]
    return max(files).parent if files else None


class Server:
    """A new database on a new server. PostgreSQL refuses to run as root: then it runs as its own user."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="vitascope-pg-", dir="/tmp"))
        self.user = "postgres" if os.getuid() == 0 else None
        self.folder.chmod(0o755)
        if self.user:
            os.chown(self.folder, pwd.getpwnam(self.user).pw_uid, -1)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"postgresql://vitascope@127.0.0.1:{self.port}/vitascope"
        self.run("initdb", "-D", self.data, "-U", "vitascope", "--auth=trust", "-E", "UTF8", "--locale=C")
        self.start()
        self.run("createdb", "-h", "127.0.0.1", "-p", self.port, "-U", "vitascope", "vitascope")

    @property
    def data(self):
        return self.folder / "data"

    def run(self, name, *words):
        command = [str(tools() / name), *map(str, words)]
        subprocess.run(command, user=self.user, cwd=self.folder, check=True, stdout=subprocess.DEVNULL)

    def start(self):
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c max_connections=200"
        self.run("pg_ctl", "-D", self.data, "-w", "-l", self.folder / "log", "-o", options, "start")

    def stop(self):
        """As a crash would."""
        self.run("pg_ctl", "-D", self.data, "-m", "immediate", "stop")


@contextmanager
def running():
    """A server that can be stopped and started."""
    here = Server()
    try:
        yield here
    finally:
        here.stop()
        shutil.rmtree(here.folder, ignore_errors=True)


@contextmanager
def server():
    """The URL of a new database on a new server."""
    with running() as here:
        yield here.url


if __name__ == "__main__":
    with server() as url:
        environment = {**os.environ, "VITASCOPE_DATABASE": url}
        sys.exit(subprocess.run(sys.argv[1:], env=environment, check=False).returncode)
