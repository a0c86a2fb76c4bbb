"""Endless toy-world clips for training: scenes are worked out by worker processes, drawn on the device."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitascope.toyworld.captions import caption
from vitascope.toyworld.renderer import SLOTS, Plan, draw, plan
from vitascope.toyworld.scenes import COLOURS, Mixture, Split, scenes
from vitascope.training.embedded.architecture import MAX_TEXT
from vitascope.training.embedded.tokenizer import new_tokenizer

NUM_CAPTIONS = 4
"""Captions of a clip: half English, half Chinese."""

_COLOUR_NAMES = tuple(COLOURS)


class Batch(NamedTuple):
    """Planned scenes with what is said of them.

    Shape: `tokens` (B, NUM_CAPTIONS, MAX_TEXT); `labels` (B, S, 2) as kind and colour, -1 for no actor.
    """

    plan: Plan
    tokens: NDArray[np.int16]
    labels: NDArray[np.int16]


def make_batch(seed: int, count: int, split: Split, mixture: Mixture) -> Batch:
    """Draw scenes by lot and describe them; the same seed gives the same batch."""
    chosen = list(scenes(seed, count, split, mixture))
    rng = random.Random(seed ^ 0x5EED)
    said = [caption(s, "en" if i % 2 == 0 else "zh", rng) for s in chosen for i in range(NUM_CAPTIONS)]
    encoded = new_tokenizer()(said, padding="max_length", max_length=MAX_TEXT, truncation=True)["input_ids"]
    made = plan(chosen)
    labels = np.full((count, SLOTS, 2), -1, dtype=np.int16)
    for i, scene in enumerate(chosen):
        for slot, actor in enumerate(scene.actors):
            labels[i, slot] = made.kind[i, slot], _COLOUR_NAMES.index(actor.colour)
    return Batch(made, np.array(encoded, dtype=np.int16).reshape(count, NUM_CAPTIONS, MAX_TEXT), labels)


@dataclass(frozen=True)
class Source:
    """A stream of batches that depends only on its fields."""

    seed: int
    size: int = 256
    split: Split = "train"
    mixture: Mixture = field(default_factory=Mixture)

    def batches(
        self, count: int, workers: ProcessPoolExecutor | None = None, first: int = 0
    ) -> Iterator[Batch]:
        """`count` batches of the stream, worked out ahead by the workers."""
        numbers = range(first, first + count)
        jobs = [(self.seed * 1_000_003 + i, self.size, self.split, self.mixture) for i in numbers]
        if workers is None:
            yield from (make_batch(*job) for job in jobs)
        else:
            for future in [workers.submit(make_batch, *job) for job in jobs]:
                yield future.result()


def new_workers() -> ProcessPoolExecutor:
    """Worker processes; start them before the first use of CUDA."""
    count = max(1, (os.cpu_count() or 2) // 2 - 2)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    pool = ProcessPoolExecutor(
        count, mp_context=get_context("fork"), initializer=torch.set_num_threads, initargs=(1,)
    )
    list(pool.map(abs, range(count)))
    return pool


def clips_of(batch: Batch, device: torch.device, size: int, rows: slice) -> tuple[Tensor, Tensor]:
    """Draw some rows of a batch. Shape: clips uint8 (B, T, H, W, 3); cover (B, S, T, H, W)."""
    part = Plan(*(getattr(batch.plan, name)[rows] for name in Plan.__dataclass_fields__))
    drawn = draw(part, size, device)
    return (drawn.frames * 255).round().to(torch.uint8), drawn.cover


def as_input(clips: Tensor) -> Tensor:
    """Byte clips as the autoencoder wants them. Shape: (B, T, H, W, 3) -> (B, 3, T, H, W) in -1..1, channels last."""
    return clips.permute(0, 4, 1, 2, 3).float() / 127.5 - 1
