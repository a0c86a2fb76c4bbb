"""A clip that goes on: from its last frame, and joined with what was made from it."""

from __future__ import annotations

import numpy as np

from vitascope.clip import Clip, Image
from vitascope.errors import RunError
from vitascope.recipe import Stage


def last_frame(clip: Clip) -> Image:
    """Where a continuation starts."""
    pixels = np.ascontiguousarray(clip.frames[clip.num_frames - 1 : clip.num_frames][0])
    return Image(pixels, aigc=clip.recipe.labels.aigc)


def joined(before: Clip, after: Clip) -> Clip:
    """Both clips as one; the first frame of `after` shows the last of `before` once more and is left out.

    The sound is that of `before`, and ends with it.
    Raises: RunError if their sizes or rates differ.
    """
    here, there = ((clip.width, clip.height, clip.fps) for clip in (before, after))
    if here != there:
        raise RunError(f"the continuation came out as {there}, and the clip is {here}")
    frames = np.concatenate([before.array(), after.frames[1 : after.num_frames]])
    note = Stage(kind="file", name="extension", notes={"first_new_frame": before.num_frames})
    return before.with_frames(frames, recipe=after.recipe.then(note))
