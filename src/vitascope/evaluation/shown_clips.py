"""Clips as parts of a page: in a form that every browser plays, with a picture for where nothing plays."""

from __future__ import annotations

import base64
import io
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from vitascope.clip import Clip
from vitascope.evaluation.results import MadeClip
from vitascope.evaluation.suites import Item
from vitascope.media import probe, read, write

#: Items whose clips are shown, from the first on, and how much of them one page may hold.
MAX_ITEMS, MAX_CLIP_BYTES = 12, 60 * 2**20
#: A clip from elsewhere larger than this is encoded anew for the page.
MAX_BYTES_AS_IS = 8 * 2**20
POSTER_WIDTH = 480


class ShownClip(NamedTuple):
    """One clip, ready to stand in a page. `data` and `poster` are base64: MP4 in H.264, and JPEG."""

    name: str
    data: str
    poster: str
    width: int
    height: int


class ShownItem(NamedTuple):
    """The clips of one prompt, in the order of their algorithms' names."""

    prompt: str
    clips: tuple[ShownClip, ...]


def shown_items(
    folder: Path, items: Sequence[Item], made: Sequence[MadeClip]
) -> tuple[list[ShownItem], bool]:
    """The first items' clips, and whether items were left out for the page's size. Raises: InvalidMedia."""
    by_item: dict[str, list[tuple[str, Path]]] = {}
    for clip in made:
        if clip.path is not None:
            by_item.setdefault(clip.item, []).append((clip.algorithm, folder / clip.path))
    there = [item for item in items if item.id in by_item]
    shown, room = list[ShownItem](), MAX_CLIP_BYTES
    for item in there[:MAX_ITEMS]:
        clips = tuple(shown_clip(name, path) for name, path in sorted(by_item[item.id]))
        room -= sum(len(clip.data) for clip in clips)
        if room < 0:
            break
        shown.append(ShownItem(item.prompt, clips))
    return shown, len(shown) < len(there)


def shown_clip(name: str, path: Path) -> ShownClip:
    """One clip for a page; what browsers do not play is encoded anew. Raises: InvalidMedia."""
    clip = read(path)
    return ShownClip(name, _base64(_playable(path, clip)), _base64(_poster(clip)), clip.width, clip.height)


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _playable(path: Path, clip: Clip) -> bytes:
    info = probe(path)
    as_is = info.codec == "h264" and path.suffix == ".mp4" and not info.is_hdr
    if as_is and path.stat().st_size <= MAX_BYTES_AS_IS:
        return path.read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        return write(clip, Path(folder) / "clip.mp4").read_bytes()


def _poster(clip: Clip) -> bytes:
    """The frame in the middle, as a small JPEG."""
    from PIL import Image

    middle = clip.num_frames // 2
    picture = Image.fromarray(clip.frames[middle : middle + 1][0])
    picture.thumbnail((POSTER_WIDTH, POSTER_WIDTH))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()
