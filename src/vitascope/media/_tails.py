"""What stands behind the end that a media file has by its own structure: where a second file can hide.

Sources: PNG specification 5.2 (chunks up to IEND), ITU-T T.81 B.1 (EOI), and those of `_wholeness`.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from vitascope.media._wholeness import EBML_ID, FIRST_BOXES, end_of_boxes, end_of_segment, reaches_trailer

PNG_START = b"\x89PNG\r\n\x1a\n"
JPEG_START, JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"


def check_end(path: Path) -> str:
    """What is wrong with the end of a file: "" if it ends where its structure says.

    Formats without such an end (BMP, TIFF, PPM, transport streams) are taken as they are.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        end = _end(file, size)
    if end is None or end == size:
        return ""
    return "it is cut short" if end > size else f"{size - end} bytes of something else follow it"


def _end(file: BinaryIO, size: int) -> int | None:
    head = file.read(12)
    if head.startswith(PNG_START):
        return _end_of_png(file, size)
    if head.startswith(JPEG_START):
        return _end_of_jpeg(file, size)
    if head[:4] == b"RIFF":
        length = int.from_bytes(head[4:8], "little")
        return 8 + length + length % 2 if size % 2 == 0 else 8 + length
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return file.tell() if reaches_trailer(file) else size + 1
    if head[4:8] in FIRST_BOXES:
        return end_of_boxes(file, size, whatever_follows=False)
    return end_of_segment(file, size) if head[:4] == EBML_ID else None


def _end_of_png(file: BinaryIO, size: int) -> int:
    position = len(PNG_START)
    while position + 12 <= size:
        file.seek(position)
        head = file.read(8)
        position += 12 + int.from_bytes(head[:4], "big")
        if head[4:] == b"IEND":
            return position
    return size + 1


def _end_of_jpeg(file: BinaryIO, size: int) -> int:
    """The last end mark; zeros behind it are padding that cameras write."""
    file.seek(0)
    data = file.read().rstrip(b"\0")
    at = data.rfind(JPEG_END)
    return size if at + 2 == len(data) else size + 1 if at < 0 else at + 2
