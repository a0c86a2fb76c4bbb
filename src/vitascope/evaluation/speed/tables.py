"""Our speed measurements as tables of a page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vitascope.catalogue import load_cards
from vitascope.catalogue.runnable import measured_here
from vitascope.errors import InvalidMedia, NotFound
from vitascope.evaluation.speed.records import BenchResult
from vitascope.evaluation.speed.report import in_words
from vitascope.evaluation.speed.report import rows as timing_rows


def own_speeds() -> list[dict[str, Any]]:
    """Every family that was timed here, as cells of a table."""
    cards = load_cards()
    return [
        {
            "name": cards[card_id].name,
            "size": "{} × {} × {}".format(*own.size),
            "step": f"{own.step_s:.2f}" if own.step_s else "",
            "decode": f"{own.decode_s:.1f}" if own.decode_s else "",
            "gib": f"{own.peak_gib:.1f}",
        }
        for card_id, own in measured_here().items()
    ]


def bench_table(path: Path) -> dict[str, Any]:
    """A result file of ours as a table: one of `vitascope bench`, or `rows` with the same columns.

    Raises: NotFound, InvalidMedia.
    """
    if not path.is_file():
        raise NotFound(f"no measurement at {str(path)!r}")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if "timings" in content:
            return _timings(BenchResult.model_validate(content))
        rows = content["rows"]
        head = list(dict.fromkeys(name for row in rows for name in row))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidMedia(f"{str(path)!r} is no measurement with rows or timings") from error
    device, day = content.get("device", ""), str(content.get("date", ""))[:10]
    return {
        "title": content.get("title", path.stem),
        "conditions": " · ".join(str(part) for part in (device, day) if part),
        "head": head,
        "rows": [[in_words(row.get(name, "")) for name in head] for row in rows],
    }


def _timings(result: BenchResult) -> dict[str, Any]:
    head, rows = timing_rows(result)
    task, gpu = result.task, result.environment.get("gpu", result.environment.get("device", ""))
    size = f"{task.get('width')} × {task.get('height')}, {task.get('num_frames')} × {result.num_steps}"
    return {
        "title": f"{result.model} ({result.weights})",
        "conditions": " · ".join(str(part) for part in (gpu, size, result.date[:10]) if part),
        "head": head,
        "rows": rows,
    }
