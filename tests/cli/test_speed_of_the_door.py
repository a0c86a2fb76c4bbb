"""The front door is light: what it must not import, checked instead of timed."""

import subprocess
import sys

HEAVY = ("torch", "diffusers", "transformers", "numpy", "pydantic", "av", "cv2", "rich.console")


def imported_by(code):
    listing = f"import sys; {code}; print(*[m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, check=True)
    return done.stdout.strip().splitlines()[-1:]


def test_importing_the_package_imports_nothing_heavy():
    assert imported_by("import vitascope") in ([""], [])


def test_help_imports_nothing_heavy():
    code = "import vitascope.cli.main as m\ntry: m.app(['--help'])\nexcept SystemExit: pass"
    assert imported_by(f"exec({code!r})")[-1:] in ([""], [])
