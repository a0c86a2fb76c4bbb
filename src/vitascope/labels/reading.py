"""What a file says of itself: the labels that are found in it, whoever wrote them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vitascope.labels import credentials, metadata
from vitascope.labels.visible import SECONDS, is_marked
from vitascope.media import read
from vitascope.media._tags import AIGC_TAG, tags_of


def found_in(path: Path) -> dict[str, Any]:
    """The labels of a file: `aigc` as the standard names its fields, `visible_mark_s`, `c2pa`; empty without any.

    Units: seconds from the start during which our mark is seen. Raises: NotFound, InvalidMedia.
    """
    found: dict[str, Any] = {}
    label = metadata.parse(tags_of(path).get(AIGC_TAG, ""))
    if label is not None:
        found["aigc"] = label.model_dump(by_alias=True)
    if (seen := _visible_s(path)) > 0:
        found["visible_mark_s"] = round(seen, 3)
    if (signed := credentials.read(path)) is not None:
        found["c2pa"] = signed
    return found


def _visible_s(path: Path) -> float:
    clip = read(path)
    look_at = min(clip.num_frames, int(2 * SECONDS * clip.fps) + 1)
    count = 0
    for _, frames in clip.windows(16):
        for frame in frames:
            if count == look_at or not is_marked(frame):
                return float(count / clip.fps)
            count += 1
    return float(count / clip.fps)
