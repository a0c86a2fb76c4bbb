"""Virtual environments for packages that cannot stand beside ours, made where a proof needs them."""

import subprocess
import sys


def own_venv(folder, *packages):
    """A new environment in `folder` with these packages; gives its folder of programs."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *packages], check=True)
    return folder / "bin"
