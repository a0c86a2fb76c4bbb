"""A worker's slot: a name that one living process of a machine has, known by a lock on a file."""

from __future__ import annotations

import fcntl
import time
from pathlib import Path
from typing import IO

from vitascope.errors import ResourceError
from vitascope.jobs.ledger import Ledger

LOOK_S = 3.0  # three heartbeats


def hold_slot(path: Path) -> IO[str]:
    """Take a slot for as long as this process lives. Raises: ResourceError if another process has it."""
    file = path.open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise ResourceError(f"worker slot {path.stem!r} is taken; give this worker another --slot") from error
    return file


def check_elsewhere(ledger: Ledger, slot: str, here: str) -> None:
    """Check that no living worker of another machine has the slot: two of one name would take each other's jobs.

    Raises: ResourceError.
    """
    first = ledger.slots().get(slot)
    if first is None or first.host == here:
        return
    time.sleep(LOOK_S)
    now = ledger.slots().get(slot)
    if now is not None and now.beat != first.beat:
        where = now.host.partition(":")[0]
        raise ResourceError(f"worker slot {slot!r} is taken on {where!r}; give this worker another --slot")


def is_held(path: Path) -> bool:
    """Whether a living process of this machine holds a slot."""
    try:
        hold_slot(path).close()
    except ResourceError:
        return True
    return False
