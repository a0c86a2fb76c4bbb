"""Training triplets from real clips: what cameras, compression and things that bend really do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from vitascope.errors import InvalidMedia, NotFound

CLIP_SUFFIXES = {".avi", ".mkv", ".mov", ".mp4", ".mpg", ".webm"}
MOST_FRAMES = 1000
LARGEST_SIDE = 960
# Mean difference of neighbours, in shares of full scale: below, a frame shown twice; above, a cut.
REPEATED, CUT = 2e-4, 0.12
STEPS = (1, 1, 1, 1, 2, 2, 3, 4)
CANDIDATES = 3


@dataclass(frozen=True)
class Filmed:
    """Triplets of which only the middle frame is known, not the motion."""

    first: Float[Tensor, "B 3 H W"]
    middle: Float[Tensor, "B 3 H W"]
    second: Float[Tensor, "B 3 H W"]


def clips_in(folder: Path, device: torch.device) -> list[UInt8[Tensor, "T 3 H W"]]:
    """The clips of a folder, large ones scaled down. Raises: NotFound if there is none."""
    files = sorted(file for file in folder.glob("*") if file.suffix.lower() in CLIP_SUFFIXES)
    if not files:
        raise NotFound(f"no clips ({', '.join(sorted(CLIP_SUFFIXES))}) in {str(folder)!r}")
    return [_read(file, device) for file in files]


def _read(file: Path, device: torch.device) -> UInt8[Tensor, "T 3 H W"]:
    import av

    try:
        with av.open(str(file)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            scale = min(1.0, LARGEST_SIDE / max(stream.width, stream.height))
            size = {
                "width": round(stream.width * scale / 2) * 2,
                "height": round(stream.height * scale / 2) * 2,
            }
            frames = [
                frame.reformat(**size, format="rgb24", interpolation="AREA").to_ndarray()
                for frame in islice(container.decode(stream), MOST_FRAMES)
            ]
    except (av.FFmpegError, IndexError) as error:
        raise InvalidMedia(f"cannot read {str(file)!r} as a clip: {error}") from error
    if len(frames) < 3:
        raise InvalidMedia(f"{str(file)!r} has {len(frames)} frames; a triplet needs 3")
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).contiguous().to(device)


def steady_places(clip: UInt8[Tensor, "T 3 H W"], step: int) -> list[int]:
    """The middles of triplets `step` frames apart that hold no cut and no frame shown twice."""
    small = F.avg_pool2d(clip[:, :, ::2, ::2].float() / 255, 4)
    change = (small[1:] - small[:-1]).abs().mean((1, 2, 3))
    good = ((change > REPEATED) & (change < CUT)).tolist()
    return [place for place in range(step, len(clip) - step) if all(good[place - step : place + step])]


def textures_from(
    clips: Sequence[UInt8[Tensor, "T 3 H W"]], side: int, count: int, seed: int
) -> UInt8[Tensor, "n 3 S S"]:
    """`count` squares of each clip, at random places and moments, for synthetic motion to cut layers from."""
    rng = np.random.default_rng(seed)
    squares = []
    for clip in clips:
        for _ in range(count):
            edge = int(rng.uniform(0.6, 1) * min(clip.shape[2:]))
            top, left = (int(rng.integers(0, length - edge + 1)) for length in clip.shape[2:])
            square = clip[rng.integers(len(clip)), :, top : top + edge, left : left + edge].float()
            squares.append(F.interpolate(square[None], (side, side), mode="bicubic", antialias=True))
    return torch.cat(squares).round().clamp(0, 255).byte()


class FilmedMotion:
    """Batches of triplets cut from clips at random places, sizes and distances, flipped and turned.

    Of a few places the one where most happens is taken: most of most pictures stands still. Clips count
    by the square root of their length.
    """

    def __init__(self, clips: Sequence[UInt8[Tensor, "T 3 H W"]], size: int, batch_size: int) -> None:
        self.size, self.batch_size = size, batch_size
        pairs = ((clip, [steady_places(clip, step) for step in STEPS]) for clip in clips)
        self.clips = [(clip, places) for clip, places in pairs if places[0]]
        if not self.clips:
            raise InvalidMedia("no clip moves steadily over three frames; give other clips")
        weights = np.sqrt([len(places[0]) for _, places in self.clips])
        self.shares = weights / weights.sum()

    def batch(self, seed: int) -> Filmed:
        """One batch, the same for the same seed on the same kind of device. Range: [0, 1]."""
        rng = np.random.default_rng(seed)
        samples = torch.stack([self._sample(rng) for _ in range(self.batch_size)])
        return Filmed(*samples.unbind(1))

    def _sample(self, rng: np.random.Generator) -> Float[Tensor, "3 3 S S"]:
        clip, places_by_step = self.clips[rng.choice(len(self.clips), p=self.shares)]
        kind = int(rng.integers(len(STEPS)))
        if not places_by_step[kind]:
            kind = 0
        place, step = int(rng.choice(places_by_step[kind])), STEPS[kind]
        frames = clip[place - step : place + step + 1 : step]
        side = self._side(rng, min(frames.shape[2:]))
        crops = []
        for _ in range(CANDIDATES):
            top, left = (int(rng.integers(0, length - side + 1)) for length in frames.shape[2:])
            crops.append(frames[:, :, top : top + side, left : left + side])
        candidates = torch.stack(crops).float() / 255
        liveliest = (candidates[:, 2] - candidates[:, 0]).abs().mean((1, 2, 3)).argmax()
        chosen = candidates.index_select(0, liveliest[None])[0]
        if side != self.size:
            target = (self.size, self.size)
            chosen = F.interpolate(
                chosen, target, mode="bilinear", align_corners=False, antialias=side > self.size
            )
        turned = [axis for axis, chance in ((0, 0.5), (2, 0.2), (3, 0.5)) if rng.random() < chance]
        chosen = chosen.flip(turned)
        return chosen.mT if rng.random() < 0.2 else chosen

    def _side(self, rng: np.random.Generator, shortest: int) -> int:
        """How large a square to cut: the wanted size, up to twice that, or all there is."""
        largest = min(shortest, 2 * self.size)
        return largest if largest <= self.size else int(rng.triangular(self.size, self.size, largest + 1))
