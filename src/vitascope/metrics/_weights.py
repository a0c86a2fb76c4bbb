"""Where a metric's file is: given, or in the folder of metric weights."""

from __future__ import annotations

from pathlib import Path

from vitascope.errors import WeightsMissing
from vitascope.settings import Settings


def weights_file(name: str, given: Path | None, owner: str, knob: str) -> Path:
    """The file itself. Raises: WeightsMissing, which names it, whose it is and where to put it."""
    if given is not None:
        if given.is_file():
            return given
        raise WeightsMissing(f"needs {name} of {owner}; {str(given)!r} is not there")
    settings = Settings.from_environment()
    folder = settings.metric_weights or settings.home / "metrics"
    if (folder / name).is_file():
        return folder / name
    raise WeightsMissing(f"needs {name} of {owner}; put it into {str(folder)!r}, or give it with {knob}=...")
