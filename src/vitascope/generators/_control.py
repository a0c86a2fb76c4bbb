"""Clips that are followed: from footage to control maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from vitascope.media.control_maps import ControlMap, control_map


def control_frames(frames: Sequence[Any], kind: ControlMap) -> list[Any]:
    """PIL frames as maps of this kind; "given" frames stay as they are."""
    from PIL import Image

    return [Image.fromarray(control_map(np.asarray(frame.convert("RGB")), kind)) for frame in frames]
