"""Play a clip backwards."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from vitascope.clip import Clip
from vitascope.context import Context
from vitascope.steps.base import Extent, Note, Step


class Reverse(Step):
    """The clip backwards, or forth and back for a seamless loop; the sound is dropped."""

    and_forth: bool = False

    def extent(self, of: Extent) -> Extent:
        """Nearly twice as long if it goes forth and back."""
        return replace(of, num_frames=2 * of.num_frames - 2) if self.and_forth and of.num_frames > 1 else of

    def apply(self, clip: Clip, note: Note, modules: Any, context: Context) -> Clip:  # noqa: ARG002
        """Turn the frames round; with `and_forth`, put them after the clip without repeating its ends."""
        context.check_cancelled()
        forth, back = clip.array(), clip.array()[::-1]
        frames = np.concatenate([forth, back[1:-1]]) if self.and_forth else back.copy()
        return clip.with_frames(frames, audio=None, recipe=clip.recipe.then(self.stage()))
