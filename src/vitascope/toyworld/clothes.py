"""What a person of a clip wears, read back: for characters that fine-tuning binds to a made-up name."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitascope.toyworld.checkers import hue_space, largest_part, named_hues, standard_reader
from vitascope.toyworld.scenes import COLOURS

_SHIRT, _TROUSERS = (0.42, 0.56), (0.70, 0.90)
"""Where on a person, as shares of its height from the top."""


class Clothes(NamedTuple):
    """Named colours; None where nothing was seen."""

    shirt: str | None
    trousers: str | None


def read_clothes(clip: Tensor | NDArray[np.uint8]) -> Clothes:
    """The colours that most of shirt and trousers have over a clip with one person. Shape: (T, H, W, 3)."""
    reader = standard_reader()
    frames = torch.as_tensor(clip)
    frames = frames.float() / 255 if frames.dtype == torch.uint8 else frames.float()
    mask = largest_part(reader.foreground(frames, reader.background(frames)))
    return Clothes(_most(frames, mask, _SHIRT), _most(frames, mask, _TROUSERS))


def _most(frames: Tensor, mask: Tensor, band: tuple[float, float]) -> str | None:
    picked = []
    for frame, seen in zip(frames, mask, strict=True):
        rows = (seen > 0.5).any(1).nonzero()
        if len(rows) < 20:
            continue
        top, height = int(rows[0]), int(rows[-1] - rows[0]) + 1
        start, stop = (top + round(share * height) for share in band)
        picked.append(frame[start:stop][seen[start:stop] > 0.5])
    pixels = torch.cat(picked) if picked else frames.new_zeros(0, 3)
    if len(pixels) < 30:
        return None
    nearest = (hue_space(pixels)[:, None] - named_hues()[None]).square().sum(-1).argmin(1)
    return tuple(COLOURS)[int(torch.bincount(nearest, minlength=len(COLOURS)).argmax())]
