"""Frames on their way from the GPU: an encoder takes the first ones while the last are still being decoded."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from vitascope.clip import Pixels


class ArrivingFrames:
    """Looks like an array of shape (T, H, W, 3), uint8; slicing waits for those frames alone."""

    def __init__(self) -> None:
        self._groups: list[tuple[Tensor, Any]] = []

    def add(self, pixels: Tensor) -> None:
        """Send decoded pixels to main memory as bytes, without waiting. Shape: (1, 3, T, H, W), Range: -1..1.

        Rounded as diffusers' `postprocess_video` rounds.
        """
        unit = (pixels[0] * 0.5 + 0.5).clamp(0, 1).float()
        there = (unit * 255).round_().to(torch.uint8).permute(1, 2, 3, 0).contiguous()
        if not there.is_cuda:
            self._groups.append((there, None))
            return
        here = torch.empty(there.shape, dtype=torch.uint8, pin_memory=True)
        here.copy_(there, non_blocking=True)
        arrived = torch.cuda.Event()
        arrived.record()
        self._groups.append((here, arrived))

    def keep_last(self, num_frames: int) -> None:
        """Cut frames off the beginning, as a pipeline does whose first ones repeat the picture that was given."""
        beyond = self.shape[0] - num_frames
        while beyond > 0:
            group, arrived = self._groups.pop(0)
            if len(group) > beyond:
                self._groups.insert(0, (group[beyond:], arrived))
            beyond -= len(group)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape: (T, H, W, 3)."""
        height, width = self._groups[0][0].shape[1:3]
        return sum(len(group) for group, _ in self._groups), height, width, 3

    def __getitem__(self, index: slice) -> Pixels:
        start, stop, _ = index.indices(self.shape[0])
        pieces, begin = [], 0
        for group, arrived in self._groups:
            end = begin + len(group)
            if begin < stop and end > start:
                if arrived is not None:
                    arrived.synchronize()
                pieces.append(group[max(start - begin, 0) : stop - begin].numpy())
            begin = end
        if not pieces:
            return np.empty((0, *self.shape[1:]), np.uint8)
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def __reduce__(self) -> tuple[Any, ...]:
        return np.array, (self[0 : self.shape[0]],)  # another process gets them as they are
