"""How many bytes a file says it has, by its own structure: less on the disk means that it was cut short.

Sources: ISO/IEC 14496-12 section 4.2 (boxes), RFC 8794 section 4 (EBML element sizes) with RFC 9559 (the
Segment of Matroska), Microsoft RIFF (chunk sizes), GIF89a specification (blocks, up to the trailer).
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

SEGMENT_ID = b"\x18\x53\x80\x67"
EBML_ID = b"\x1a\x45\xdf\xa3"
FIRST_BOXES = {b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot", b"styp"}
LATER_BOXES = {b"moof", b"mfra", b"sidx", b"ssix", b"uuid", b"meta", b"udta", b"emsg", b"prft"}
GIF_EXTENSION, GIF_PICTURE, GIF_TRAILER = b"\x21", b"\x2c", b"\x3b"


def is_cut_short(path: Path) -> bool:
    """Whether the file has fewer bytes than its container announces; False where a container does not say."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(12)
        if head[4:8] in FIRST_BOXES:
            return end_of_boxes(file, size) > size
        if head[:4] == EBML_ID:
            return (end_of_segment(file, size) or 0) > size
        if head[:4] == b"RIFF":
            return 8 + int.from_bytes(head[4:8], "little") > size
        if head[:6] in (b"GIF87a", b"GIF89a"):
            return not reaches_trailer(file)
    return False


def end_of_boxes(file: BinaryIO, size: int, *, whatever_follows: bool = True) -> int:
    """Where the last top-level box of an MP4 or MOV file ends; past `size` if it was cut.

    `whatever_follows`: what is no box any more counts as part of the file.
    """
    position = 0
    while position + 8 <= size:
        file.seek(position)
        head = file.read(16)
        if head[4:8] not in FIRST_BOXES | LATER_BOXES:
            return size if whatever_follows else position  # something else was appended
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        elif length == 0:
            return size
        if length < 8:
            return size if whatever_follows else position
        position += length
    return position


def end_of_segment(file: BinaryIO, size: int) -> int | None:
    """Where the segment of a Matroska or WebM file of `size` bytes ends; None for a live one of unknown size."""
    file.seek(4)
    header_length, _ = _variable_size(file)
    if file.tell() + header_length > size:  # it may say more than a file can be long
        return file.tell() + header_length
    file.seek(header_length, 1)
    if file.read(4) != SEGMENT_ID:
        return None
    length, is_unknown = _variable_size(file)
    return None if is_unknown else file.tell() + length


def _variable_size(file: BinaryIO) -> tuple[int, bool]:
    """An EBML size: its leading zero bits say how many bytes it has; all ones mean unknown."""
    first = int.from_bytes(file.read(1), "big")
    if first == 0:
        return 0, True
    length = 9 - first.bit_length()
    value = first & ((1 << (8 - length)) - 1)
    for byte in file.read(length - 1):
        value = value << 8 | byte
    return value, value == (1 << (7 * length)) - 1


def reaches_trailer(file: BinaryIO) -> bool:
    """Whether the blocks of a GIF lead to its trailer; what follows that does not matter."""
    file.seek(10)
    _skip_colours(file, 2)
    while True:
        kind = file.read(1)
        if kind == GIF_EXTENSION:
            file.seek(1, 1)
        elif kind == GIF_PICTURE:
            file.seek(8, 1)
            _skip_colours(file, 1)
        else:
            return kind == GIF_TRAILER
        while (length := file.read(1)) not in (b"", b"\0"):
            file.seek(length[0], 1)


def _skip_colours(file: BinaryIO, following: int) -> None:
    """Skip the colour table that the next byte announces, and the bytes that follow that one."""
    flags = file.read(1 + following)
    if flags and flags[0] & 0x80:
        file.seek(3 * 2 ** ((flags[0] & 0x07) + 1), 1)
