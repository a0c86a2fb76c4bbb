"""A clip's flow as a film: the colour says where to, its strength how far."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# The wheel's colours from red through yellow, green, cyan, blue and magenta: where to go, and in how many cells.
_RED, _YELLOW, _GREEN, _CYAN, _BLUE, _MAGENTA = (
    (255, 0, 0),
    (255, 255, 0),
    (0, 255, 0),
    (0, 255, 255),
    (0, 0, 255),
    (255, 0, 255),
)
_ARCS = ((_RED, 15), (_YELLOW, 6), (_GREEN, 4), (_CYAN, 11), (_BLUE, 13), (_MAGENTA, 6))


@cache
def colour_wheel() -> Tensor:
    """The 55 colours of directions. Shape: (55, 3). Range: 0..255.

    Source: Baker et al., "A Database and Evaluation Methodology for Optical Flow", ICCV 2007.
    """
    cells = []
    for number, (colour, count) in enumerate(_ARCS):
        start = torch.tensor(colour, dtype=torch.float32)
        towards = torch.tensor(_ARCS[(number + 1) % len(_ARCS)][0], dtype=torch.float32) - start
        share = torch.floor(255 * torch.arange(count)[:, None] / count) / 255
        cells.append(start + torch.round(towards * share))
    return torch.cat(cells)


def film_of(flow: NDArray[np.float32]) -> Tensor:
    """A flow as pictures; the longest movement of the whole clip has the full colour, none at all is white.

    Shape: (T, H, W, 2) to (T, 3, H, W) uint8. Source: torchvision 0.28, `flow_to_image`, BSD-3-Clause.
    """
    wheel = colour_wheel()
    longest = max(_length(torch.from_numpy(frame)).max() for frame in flow)
    film = torch.empty((len(flow), 3, *flow.shape[1:3]), dtype=torch.uint8)
    for picture, frame in zip(film, flow, strict=True):  # one at a time: a whole clip would take gigabytes
        unit = torch.from_numpy(frame) / (longest + torch.finfo(torch.float32).eps)
        angle = torch.atan2(-unit[..., 1], -unit[..., 0]) / torch.pi
        place = (angle + 1) / 2 * (len(wheel) - 1)
        below = torch.floor(place)
        share, cell = (place - below)[..., None], below.long()
        full = (1 - share) * (wheel[cell] / 255) + share * (wheel[(cell + 1) % len(wheel)] / 255)
        picture[:] = torch.floor(255 * (1 - _length(unit)[..., None] * (1 - full))).permute(2, 0, 1)
    return film


def _length(flow: Tensor) -> Tensor:
    return (flow[..., 0] ** 2 + flow[..., 1] ** 2).sqrt()
