"""Encoded toy-world clips on the device, with what is known of them; old ones make room for new ones."""

from __future__ import annotations

import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLCogVideoX
from torch import Tensor

from vitascope.toyworld.renderer import SLOTS
from vitascope.training.embedded.architecture import LATENT_CHANNELS, MAX_TEXT
from vitascope.training.embedded.data import NUM_CAPTIONS, Batch, Source, as_input, clips_of
from vitascope.training.loop import Ranks

END, UNKNOWN = 1, 2
"""Token ids, see `tokenizer`."""

_AHEAD = 400
"""Chunks that a run can move on by; after that the pool stays as it is."""


class Sample(NamedTuple):
    """A training batch. Shape: `latents` (B, t, c, h, w), `tokens` (B, L), `cover` (B, S, t, h, w) in 0..1,
    `labels` (B, S, 2), `picture` (B, 1, c, h, w): the first frame encoded by itself."""

    latents: Tensor
    tokens: Tensor
    cover: Tensor
    labels: Tensor
    picture: Tensor | None = None


@torch.no_grad()
def encode_clips(vae: AutoencoderKLCogVideoX, clips: Tensor) -> Tensor:
    """Latents of byte clips. Shape: (B, T, H, W, 3) -> (B, t, c, h, w)."""
    parts = []
    for part in clips.split(64):
        with torch.autocast(part.device.type, torch.bfloat16, enabled=part.device.type == "cuda"):
            mean = vae.encode(as_input(part)).latent_dist.mode()
        parts.append(mean.transpose(1, 2) * vae.config.scaling_factor)
    return torch.cat(parts)


@torch.no_grad()
def encode_pictures(vae: AutoencoderKLCogVideoX, clips: Tensor) -> Tensor:
    """Latents of the clips' first frames as `CogVideoXImageToVideoPipeline` makes them: each frame by itself,
    drawn from the posterior. Shape: (B, T, H, W, 3) -> (B, 1, c, h, w)."""
    parts = [vae.encode(as_input(part[:, :1])).latent_dist.sample() for part in clips.split(256)]
    return torch.cat(parts).transpose(1, 2) * vae.config.scaling_factor


def with_bars(
    clips: Tensor, cover: Tensor, share: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Black bars, as a letterbox makes them, above and below or left and right on a share of the clips.

    Bars are drawn over the clip, up to a third of it each. Shape: bytes (B, T, H, W, 3), cover (B, S, T, H, W).
    """
    count, height = clips.shape[0], clips.shape[2]
    lot = torch.rand(3, count, 1, generator=generator, device=clips.device)
    bar = (lot[1] / 3 * height).round() * (lot[0] < share)
    place = torch.arange(height, device=clips.device)
    seen = (place >= bar) & (place < height - bar)
    upright = (lot[2] < 0.5)[..., None]
    window = torch.where(upright, seen[:, :, None], seen[:, None, :])
    return clips * window[:, None, :, :, None], cover * window[:, None, None]


def pooled_cover(cover: Tensor) -> Tensor:
    """How much of each latent cell an actor fills. Shape: (B, S, T, H, W) -> (B, S, t, H / 8, W / 8)."""
    small = F.avg_pool2d(cover.flatten(0, 2)[:, None], 8).view(*cover.shape[:3], cover.shape[3] // 8, -1)
    return torch.cat([small[:, :, :1], small[:, :, 1:].unflatten(2, (-1, 4)).mean(3)], dim=2)


@dataclass(frozen=True)
class Window:
    """Which part of a stream a pool holds: `chunks` of it, moving on by one every `every` steps (0: never).

    Units: `patience` is in seconds; a pool that fills more slowly stays smaller.
    """

    chunks: int
    every: int = 0
    step: int = 0
    patience: float = 75.0

    @property
    def first(self) -> int:
        """The number of the first chunk at the step where the pool is filled."""
        return self.step // self.every if self.every else 0


class LatentPool:
    """The window of a stream of clips that training draws from.

    What it holds depends on the step alone, so a resumed run sees what an uninterrupted one would have seen.
    """

    def __init__(
        self,
        vae: AutoencoderKLCogVideoX,
        source: Source,
        window: Window,
        workers: ProcessPoolExecutor | None,
        ranks: Ranks,
        barred: float | None = None,
    ) -> None:
        """With `barred`, pictures are kept too, and that share of the clips is given a letterbox's bars."""
        size = vae.config.sample_height
        self.vae, self.size, self.device, self.chunk = vae, size, ranks.device, source.size
        self.every = window.every
        n, h = window.chunks * source.size, size // 8
        self.latents = torch.empty(n, 5, LATENT_CHANNELS, h, h, dtype=torch.bfloat16, device=ranks.device)
        self.tokens = torch.empty(n, NUM_CAPTIONS, MAX_TEXT, dtype=torch.int16, device=ranks.device)
        self.cover = torch.empty(n, SLOTS, 5, h, h, dtype=torch.uint8, device=ranks.device)
        self.labels = torch.empty(n, SLOTS, 2, dtype=torch.int16, device=ranks.device)
        self.barred = barred
        pictures = n if barred is not None else 0
        self.pictures = torch.empty(
            pictures, 1, *self.latents.shape[2:], dtype=torch.bfloat16, device=ranks.device
        )
        self.stream = source.batches(window.chunks + (_AHEAD if window.every else 0), workers, window.first)
        begun = time.monotonic()
        self.filled = 0
        while self.filled < window.chunks and (
            self.filled == 0 or time.monotonic() - begun < window.patience
        ):
            chunk = next(self.stream)
            self._store(chunk, (window.first + self.filled) % window.chunks)
            self.filled += 1
        self.moved = window.first

    def _store(self, batch: Batch, slot: int) -> None:
        rows = slice(slot * self.chunk, (slot + 1) * self.chunk)
        clips, cover = clips_of(batch, self.device, self.size, slice(None))
        if self.barred is not None:
            generator = torch.Generator(self.device).manual_seed(int(batch.tokens.sum()))
            clips, cover = with_bars(clips, cover, self.barred, generator)
            self.pictures[rows] = encode_pictures(self.vae, clips).to(torch.bfloat16)
        self.latents[rows] = encode_clips(self.vae, clips).to(torch.bfloat16)
        self.cover[rows] = (pooled_cover(cover) * 255).round().to(torch.uint8)
        self.tokens[rows] = torch.from_numpy(batch.tokens).to(self.device)
        self.labels[rows] = torch.from_numpy(batch.labels).to(self.device)

    def advance(self, step: int) -> None:
        """Move the window on to where it belongs at a step."""
        while self.every and self.moved < step // self.every:
            batch = next(self.stream, None)
            if batch is None:
                return
            self._store(batch, self.moved % self.filled)
            self.moved += 1

    def sample(self, count: int, generator: torch.Generator, empty: float, unknown: float) -> Sample:
        """Clips with one of their captions; a share `empty` without any, a share `unknown` with a strange word."""
        device = self.device
        rows = torch.randint(self.filled * self.chunk, (count,), generator=generator, device=device)
        which = torch.randint(NUM_CAPTIONS, (count,), generator=generator, device=device)
        tokens = self.tokens[rows, which].long()
        lot = torch.rand(3, count, 1, generator=generator, device=device)
        place = torch.arange(MAX_TEXT, device=device)
        at = (lot[2] * (tokens != 0).sum(1, keepdim=True)).long()
        stretched = torch.where(place < at, tokens, tokens.roll(1, dims=1)).masked_fill(place == at, UNKNOWN)
        tokens = torch.where(lot[1] < unknown, stretched, tokens)
        nothing = F.pad(torch.full((1, 1), END, device=device), (0, MAX_TEXT - 1))
        tokens = torch.where(lot[0] < empty, nothing, tokens)
        return Sample(
            self.latents[rows].float(),
            tokens,
            self.cover[rows].float() / 255,
            self.labels[rows].long(),
            self.pictures[rows].float() if self.barred is not None else None,
        )
