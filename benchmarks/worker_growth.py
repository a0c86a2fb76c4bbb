"""How many workers one database carries: heartbeats and ring watches of simulated workers, as fast as they go.

    python benchmarks/worker_growth.py                                    # SQLite
    python -m tests.jobs.postgres python benchmarks/worker_growth.py      # PostgreSQL

A real worker does one such round a second and polls the queue five times a second beside it (DBOS's statement,
not part of this measurement).
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

from vitascope.jobs.house import House
from vitascope.jobs.ledger import Ledger
from vitascope.jobs.tables import SLOTS
from vitascope.jobs.watch import NUM_NEIGHBOURS

NUM_THREADS = 8


def rounds(ledger: Ledger, number: int, slots: int, until: float, taken: list[float]) -> None:
    """Beat and look at the neighbours, for one slot after another."""
    at = number
    while time.monotonic() < until:
        started = time.monotonic()
        slot = f"slot-{at % slots:06d}"
        ledger.beat(slot, "host", "cpu", 1.0)
        ledger.slots_after(slot, NUM_NEIGHBOURS)
        taken.append(time.monotonic() - started)
        at += NUM_THREADS


def measure(ledger: Ledger, slots: int, seconds: float) -> dict[str, float]:
    """Rounds a second and their times with so many slots in the table."""
    rows = [
        {"slot": f"slot-{n:06d}", "host": "host", "beat": 1, "seen_at": time.time()} for n in range(slots)
    ]
    with ledger.engine.begin() as connection:
        connection.execute(SLOTS.delete())
        connection.execute(SLOTS.insert(), rows)
    taken: list[float] = []
    until = time.monotonic() + seconds
    threads = [
        threading.Thread(target=rounds, args=(ledger, n, slots, until, taken)) for n in range(NUM_THREADS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taken.sort()
    return {
        "slots": slots,
        "rounds_a_second": round(len(taken) / seconds, 1),
        "p50_ms": round(1000 * taken[len(taken) // 2], 2),
        "p99_ms": round(1000 * taken[int(0.99 * len(taken))], 2),
    }


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slots", type=int, nargs="+", default=[10, 100, 1000, 10_000])
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    url = os.environ.get("VITASCOPE_DATABASE", "")
    database = "postgresql" if url else "sqlite"
    with tempfile.TemporaryDirectory() as folder:
        house = House(Path(folder), url)
        house.open()
        ledger = Ledger(house.ledger_url)
        rows = [measure(ledger, slots, given.seconds) for slots in given.slots]
        ledger.close()
    for row in rows:
        print(json.dumps(row))
    now = datetime.now(UTC)
    result = {
        "conditions": {
            "date": now.isoformat(timespec="seconds"),
            "cores_for_this_process": len(os.sched_getaffinity(0)),
            "database": database,
            "threads": NUM_THREADS,
        },
        "rounds": rows,
    }
    out = given.out or Path(f"benchmarks/results/{now.date()}-worker-growth-{database}.json")
    out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
