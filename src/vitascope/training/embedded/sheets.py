"""Pictures of clips side by side, to look at what a model makes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor


def contact_sheet(
    clips: Sequence[Tensor], path: Path, frames: Sequence[int] = (0, 4, 8, 12, 16), columns: int = 2
) -> None:
    """Save some frames of each clip in a row. Shape: byte clips (T, H, W, 3)."""
    strips = [np.concatenate([c[i].cpu().numpy() for i in frames], axis=1) for c in clips]
    strips += [np.zeros_like(strips[0])] * (-len(strips) % columns)
    rows = len(strips) // columns
    sheet = np.concatenate(
        [np.concatenate(strips[c * rows : (c + 1) * rows]) for c in range(columns)], axis=1
    )
    Image.fromarray(sheet).save(path)
