"""Frames between two frames by SGM-VFI, for frames of any size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from vitascope.models.sgm_vfi.graphed import GraphedNetwork
from vitascope.models.sgm_vfi.network import SGMVFI

Pixels = NDArray[np.uint8]

CELL = 32
FULL_FLOW_PIXELS = 1024 * 576
USUAL_DEPTH, GREATEST_DEPTH = 4, 8


class SGMVFIInterpolator:
    """Frames between two frames by SGM-VFI.

    The network knows the middle only, so other moments are found by halving: 1/4 is the middle of the first
    frame and the middle, and so on, usually down to sixteenths. A moment that halving does not reach is
    rounded to the nearest that it does: an error of at most 1/32 of the distance between the frames.

    Frames are padded to whole cells of 32 pixels by repeating their border. Above about 1024 x 576 pixels
    the motion is found on pictures scaled down by 2, 4 ... and the frame painted at full size, as upstream
    does it for its large benchmarks; so memory grows with the picture and not with its square.
    """

    def __init__(self, network: SGMVFI, full_flow_pixels: int = FULL_FLOW_PIXELS) -> None:
        self.network = network.eval()
        self.full_flow_pixels = full_flow_pixels
        self.device = next(network.parameters()).device
        self.run = GraphedNetwork(self.network) if self.device.type == "cuda" else self.network

    @torch.inference_mode()
    def between(self, first: Pixels, second: Pixels, times: Sequence[float]) -> list[Pixels]:
        """The frames at rising `times` after `first`, in units of the distance to `second`. Range: (0, 1)."""
        parts = _parts(times)
        places = [min(max(round(time * parts), 1), parts - 1) for time in times]
        found = {0: self._tensor(first), parts: self._tensor(second)}
        for halvings in _halvings(places, parts):
            befores, afters, middles = zip(*halvings, strict=True)
            made = self.middle(
                torch.cat([found[place] for place in befores]), torch.cat([found[place] for place in afters])
            )
            found.update(zip(middles, made.split(1), strict=True))
        return [_pixels(found[place]) for place in places]

    def middle(
        self, first: Float[Tensor, "B 3 H W"], second: Float[Tensor, "B 3 H W"]
    ) -> Float[Tensor, "B 3 H W"]:
        """The frames halfway between two batches of frames. Range: [0, 1]."""
        height, width = first.shape[-2:]
        scale = self.flow_scale(height, width)
        cell = CELL * round(1 / scale)
        pad_height, pad_width = -height % cell, -width % cell
        top, left = pad_height // 2, pad_width // 2
        padding = (left, pad_width - left, top, pad_height - top)
        first, second = (F.pad(frame, padding, mode="replicate") for frame in (first, second))
        return self.run(first, second, flow_scale=scale)[..., top : top + height, left : left + width]

    def flow_scale(self, height: int, width: int) -> float:
        """1, 1/2, 1/4 ...: how much the frames are scaled down to find their motion."""
        scale = 1.0
        while height * width * scale * scale > self.full_flow_pixels:
            scale /= 2
        return scale

    def _tensor(self, frame: Pixels) -> Float[Tensor, "1 3 H W"]:
        pixels = torch.from_numpy(np.array(frame))  # a copy: kept clips are mapped from files, read-only
        return pixels.to(self.device).permute(2, 0, 1)[None].float() / 255


def _parts(times: Sequence[float]) -> int:
    """Into how many parts, a power of two, to halve: 16, or more where `times` lie closer together."""
    closest = min((after - before for before, after in pairwise(times)), default=1.0)
    depth = math.ceil(math.log2(1 / closest) - 1e-6)
    return 2 ** min(max(depth, USUAL_DEPTH), GREATEST_DEPTH)


def _halvings(places: Sequence[int], parts: int) -> list[list[tuple[int, int, int]]]:
    """What must be halved, level by level, to reach `places`, as (before, after, middle) in `parts`."""
    levels: list[list[tuple[int, int, int]]] = []
    needed, step = set(places), parts
    while needed:
        half = step // 2
        starts = sorted({place // step * step for place in needed})
        levels.append([(start, start + step, start + half) for start in starts])
        needed = {place for place in needed if place % half}
        step = half
    return levels


def _pixels(frame: Float[Tensor, "1 3 H W"]) -> Pixels:
    return (frame[0] * 255).round().byte().permute(1, 2, 0).cpu().numpy()
