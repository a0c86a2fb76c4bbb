"""Toy-world clips of any length: motions that come back to where they began go on for ever."""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch
from diffusers import AutoencoderKLTemporalDecoder
from torch import Tensor

from vitascope.toyworld.renderer import render
from vitascope.toyworld.scenes import Mixture, Scene, Split, sample_scene

SIZE = 64
PLAIN = ("white", "grey", "blue", "pink")
KINDS = ("ball", "square", "triangle", "star", "heart", "ring", "diamond", "moon")
TURN = 24
"""Frames of one pass through a motion; a rendered clip has one more, which closes the round."""

ROUND_TRIPS = ("right", "left", "up", "down")
MOTIONS = (*ROUND_TRIPS, "circle")
_SINGLE = Mixture(people=0.0, pairs=0.0, moving_camera=0.0)


def moving_scenes(seed: int, count: int, split: Split = "train") -> list[Scene]:
    """Scenes of one simple shape on a plain ground, whose motion can go on for ever, drawn by lot."""
    rng = random.Random(seed)
    found: list[Scene] = []
    while len(found) < count:
        scene = sample_scene(rng, split, _SINGLE)
        shape = scene.actors[0]
        simple = shape.kind in KINDS and shape.size != "big" and scene.background in PLAIN
        if simple and shape.motion in MOTIONS:
            found.append(scene)
    return found


def frame_order(scene: Scene, start: int, num_frames: int) -> list[int]:
    """Which of the rendered frames a clip of `num_frames` shows, from `start` on.

    A straight motion turns round at its ends, a circle goes on.
    """
    there_and_back = [*range(TURN + 1), *range(TURN - 1, 0, -1)]
    order = there_and_back if scene.actors[0].motion in ROUND_TRIPS else list(range(TURN))
    return [order[(start + index) % len(order)] for index in range(num_frames)]


def drawn_once(scenes: list[Scene], device: torch.device | str) -> Tensor:
    """One pass of each scene's motion. Shape: (B, TURN + 1, 3, H, W) in -1..1."""
    return render(scenes, TURN + 1, SIZE, device).permute(0, 1, 4, 2, 3) * 2 - 1


@dataclass
class LatentWorld:
    """Encoded passes of many scenes, from which clips of any length are put together.

    Shape: `latents` (N, TURN + 1, c, h, w), as the autoencoder's encoder gives them.
    """

    scenes: list[Scene]
    latents: Tensor

    @classmethod
    @torch.no_grad()
    def encoded(
        cls, vae: AutoencoderKLTemporalDecoder, scenes: list[Scene], device: torch.device
    ) -> LatentWorld:
        """Draw and encode the scenes."""
        parts = []
        for first in range(0, len(scenes), 32):
            pixels = drawn_once(scenes[first : first + 32], device)
            mode = vae.encode(pixels.flatten(0, 1)).latent_dist.mode()
            parts.append(mode.unflatten(0, pixels.shape[:2]).half())
        return cls(scenes, torch.cat(parts))

    def clips(self, count: int, num_frames: int, rng: random.Random) -> Tensor:
        """Clips of random scenes from random moments on. Shape: (count, num_frames, c, h, w)."""
        rows = [rng.randrange(len(self.scenes)) for _ in range(count)]
        orders = [frame_order(self.scenes[row], rng.randrange(2 * TURN), num_frames) for row in rows]
        index = torch.tensor(orders, device=self.latents.device)
        return self.latents[torch.tensor(rows, device=index.device)[:, None], index].float()
