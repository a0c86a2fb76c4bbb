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


@contextmanager
def server():
    """The URL of a new database on a new server. PostgreSQL refuses to run as root: then as its own user."""
    folder = Path(tempfile.mkdtemp(prefix="vitascope-pg-", dir="/tmp"))
    user = "postgres" if os.getuid() == 0 else None
    folder.chmod(0o755)
    if user:
        os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
    bin_folder, data = tools(), folder / "data"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    def run(name, *words):
        command = [str(bin_folder / name), *map(str, words)]
        subprocess.run(command, user=user, cwd=folder, check=True, stdout=subprocess.DEVNULL)

    run("initdb", "-D", data, "-U", "vitascope", "--auth=trust", "-E", "UTF8", "--locale=C")
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c max_connections=200"
    run("pg_ctl", "-D", data, "-w", "-l", folder / "log", "-o", options, "start")
    try:
        run("createdb", "-h", "127.0.0.1", "-p", port, "-U", "vitascope", "vitascope")
        yield f"postgresql://vitascope@127.0.0.1:{port}/vitascope"
    finally:
        run("pg_ctl", "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    with server() as url:
        environment = {**os.environ, "VITASCOPE_DATABASE": url}
        sys.exit(subprocess.run(sys.argv[1:], env=environment, check=False).returncode)
