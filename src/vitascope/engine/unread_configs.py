"""What a folder's configuration files say and nobody heeds, so that it can be said aloud."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from vitascope.engine import weights


def unread(pipeline: Any, folder: Path) -> tuple[str, ...]:
    """One line for each network whose config.json names another class, or settings that its class does not know.

    diffusers reads both without a word. A newer release of it may know such a setting, and make another network.
    """
    lines = []
    for name, kind in weights.read_json(folder / "model_index.json").items():
        part = getattr(pipeline, name, None)
        config = weights.read_json(folder / name / "config.json")
        if not isinstance(kind, list) or kind[0] != "diffusers" or not config or part is None:
            continue
        where, named = str(folder / name / "config.json"), config.get("_class_name", kind[1])
        if named != kind[1]:
            lines.append(f"{where!r} is of a {named} and was read as the {kind[1]} of model_index.json")
        known = inspect.signature(type(part).__init__).parameters
        strange = [key for key in config if key not in known and not key.startswith("_")]
        strange = [key for key in strange if key != "quantization_config"]
        if strange and type(part).__name__ == kind[1]:
            lines.append(f"{where!r}: a {kind[1]} has no {', '.join(map(repr, strange))}; left out")
    return tuple(lines)
