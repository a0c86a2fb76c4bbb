"""Where a long proof writes what it saw: a dated JSON that is committed with the code."""

import json
import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"


def recorded(name, **figures):
    """Write the figures of a proof under its name and today's date; gives the file."""
    now = datetime.now(UTC)
    conditions = {
        "date": now.isoformat(timespec="seconds"),
        "machine": f"{os.cpu_count()} CPU cores, {platform.machine()}",
        "python": sys.version.split()[0],
    }
    path = RESULTS / f"{now.date().isoformat()}-{name}.json"
    path.write_text(json.dumps({"conditions": conditions, **figures}, indent=2) + "\n")
    return path
