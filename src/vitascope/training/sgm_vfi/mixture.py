"""One training batch from both worlds: synthetic triplets that know their motion, and filmed ones."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from vitascope.training.sgm_vfi.camera import degraded
from vitascope.training.sgm_vfi.filmed_motion import FilmedMotion
from vitascope.training.sgm_vfi.synthetic_motion import SyntheticMotion, Triplets


@dataclass(frozen=True)
class Mixture:
    """Batches of synthetic triplets, then filmed ones if there are any, seen through a cheap camera."""

    synthetic: SyntheticMotion
    filmed: FilmedMotion | None = None

    def batch(self, seed: int) -> Triplets:
        """One batch, the same for the same seed on the same kind of device."""
        triplets = self.synthetic.batch(seed)
        if self.filmed is not None:
            filmed = self.filmed.batch(seed)
            triplets = replace(
                triplets,
                first=torch.cat((triplets.first, filmed.first)),
                middle=torch.cat((triplets.middle, filmed.middle)),
                second=torch.cat((triplets.second, filmed.second)),
            )
        generator = torch.Generator(triplets.first.device).manual_seed(seed)
        first, second = degraded(triplets.first, triplets.second, generator)
        return replace(triplets, first=first, second=second)
