"""Frames of a clip beside those of its reference."""

from __future__ import annotations

from collections.abc import Iterator

from vitascope.clip import Clip, Pixels
from vitascope.errors import RequestError

_WINDOW = 16


def paired_frames(clip: Clip, reference: Clip | None) -> Iterator[tuple[Pixels, Pixels]]:
    """Each frame with the reference's frame at the same place. Shape: (H, W, 3) uint8 each.

    Raises: RequestError if there is no reference, or it differs in size or length.
    """
    if reference is None:
        raise RequestError(
            "this metric compares with a reference clip, and none was given", param="reference"
        )
    ours, theirs = tuple(clip.frames.shape), tuple(reference.frames.shape)
    if ours != theirs:
        raise RequestError(
            f"clip and reference differ in frames, height or width: {ours[:3]} and {theirs[:3]}",
            param="reference",
        )
    for (_, first), (_, second) in zip(clip.windows(_WINDOW), reference.windows(_WINDOW), strict=True):
        yield from zip(first, second, strict=True)
