"""Running a causal network over a clip chunk by chunk, with the result of one run over the whole clip."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable

import torch
from torch import Tensor, nn


class TemporalStream:
    """What the layers of a causal network remember of a clip's earlier chunks.

    One stream serves one pass over one clip; layers find their own memory in it, so that the network itself
    stays without state. The caller sets `is_first` and `is_last` before each chunk.
    """

    def __init__(self) -> None:
        self.is_first = True
        self.is_last = False
        self._memory: dict[Hashable, Tensor] = {}

    def recall(self, owner: Hashable) -> Tensor | None:
        """What `owner` kept from the last chunk, once."""
        return self._memory.pop(owner, None)

    def keep(self, owner: Hashable, frames: Tensor) -> None:
        """Remember `frames` for `owner` until the next chunk; nothing is kept after the last."""
        if not self.is_last and frames.shape[2]:
            # A copy: a view would keep the whole chunk alive.
            self._memory[owner] = frames.clone()

    def draw(self, owner: Hashable, frames: Tensor, count: int) -> Tensor:
        """Queue `frames` and take the first `count` of the queue, for branches of unequal delay."""
        queued = self.recall(owner)
        if queued is not None:
            frames = torch.cat([queued, frames], dim=2)
        self.keep(owner, frames[:, :, count:])
        return frames[:, :, :count]


class TemporalModule(nn.Module):
    """A layer that looks beyond one frame, and so takes the stream that it is run in."""

    @abstractmethod
    def forward(self, x: Tensor, stream: TemporalStream | None = None) -> Tensor:
        """Run on one chunk of `stream`, or on a whole clip."""


class StreamSequential(nn.Sequential):
    """Layers one after the other; those that look beyond one frame are given the stream."""

    def forward(self, x: Tensor, stream: TemporalStream | None = None) -> Tensor:
        """Run on one chunk of `stream`, or on a whole clip."""
        for layer in self:
            x = layer(x, stream) if isinstance(layer, TemporalModule) else layer(x)
        return x


def whole_clip() -> TemporalStream:
    """A stream of a single chunk."""
    stream = TemporalStream()
    stream.is_last = True
    return stream
