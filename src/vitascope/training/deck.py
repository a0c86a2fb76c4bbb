"""Deal clips into batches: shuffled, weighted, of one size each, and reproducible from seed and batch number."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from vitascope.training.cache import Item


@dataclass
class Deck:
    """All batches of a training, in order, dealt to `world` processes in turn.

    An epoch draws as many clips as there are. Each folder has its share, and each clip of a folder comes up as
    often as the others, give or take one. A batch is of one bucket; one that would be short is filled up with
    clips of the same bucket. The n-th batch depends on the fields alone, so that a resumed run goes on with it.
    """

    items: Sequence[Item]
    shares: Sequence[float]
    batch_size: int
    seed: int
    rank: int = 0
    world: int = 1
    _dealt: list[list[int]] = field(default_factory=list)
    _epochs: int = 0

    def batch(self, number: int) -> list[Item]:
        """The clips of this process's n-th batch."""
        place = number * self.world + self.rank
        while place >= len(self._dealt):
            self._dealt += self._epoch(self._epochs)
            self._epochs += 1
        return [self.items[index] for index in self._dealt[place]]

    def _epoch(self, epoch: int) -> list[list[int]]:
        rng = np.random.default_rng([self.seed, epoch])
        order = rng.permutation(len(self.items))
        sizes = np.bincount([item.source for item in self.items], minlength=len(self.shares))
        weights = np.array([self.shares[self.items[i].source] / sizes[self.items[i].source] for i in order])
        # Systematic sampling: evenly spaced points on the line of weights laid end to end.
        points = (np.arange(len(order)) + rng.random()) / len(order) * weights.sum()
        drawn = order[np.searchsorted(np.cumsum(weights), points, side="right").clip(max=len(order) - 1)]
        by_bucket: dict[tuple[int, int, int], list[int]] = defaultdict(list)
        for index in rng.permutation(drawn):
            by_bucket[self.items[index].bucket].append(int(index))
        batches = []
        for bucket in sorted(by_bucket):
            alike = by_bucket[bucket]
            alike += [alike[i % len(alike)] for i in range(-len(alike) % self.batch_size)]
            batches += [alike[i : i + self.batch_size] for i in range(0, len(alike), self.batch_size)]
        return [batches[i] for i in rng.permutation(len(batches))]
