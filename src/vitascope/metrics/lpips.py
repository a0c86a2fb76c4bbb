"""Perceived distance to a reference."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from vitascope.clip import Clip, Pixels
from vitascope.engine.placement import Placement
from vitascope.errors import InvalidMedia, RequestError, WeightsMissing
from vitascope.metrics._natural_scenes import packaged_file
from vitascope.metrics._paired import paired_frames
from vitascope.metrics._weights import weights_file
from vitascope.metrics.base import Direction, Metric, Score, Tier

if TYPE_CHECKING:
    from torch import Tensor

# Place in AlexNet's state, stride, padding, and whether the features are pooled first.
_LAYERS = ((0, 4, 2, False), (3, 1, 2, True), (6, 1, 1, True), (8, 1, 1, False), (10, 1, 1, False))
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
MIN_SIDE = 31
BACKBONE = "alexnet-owt-7be5be79.pth"


class LpipsModules(NamedTuple):
    """AlexNet's convolutions and the weight of each of their channels. Shape: heads (C,) each."""

    convolutions: tuple[tuple[Tensor, Tensor], ...]
    heads: tuple[Tensor, ...]


class Lpips(Metric):
    """How different a clip and its reference look (LPIPS with AlexNet), 0 for equal clips."""

    unit: ClassVar[str] = "distance"
    range: ClassVar[tuple[float | None, float | None]] = (0.0, None)
    direction: ClassVar[Direction] = "lower"
    tier: ClassVar[Tier] = "needs weights"
    source: ClassVar[str] = (
        "Zhang et al., The Unreasonable Effectiveness of Deep Features as a Perceptual Metric, CVPR 2018, "
        "version 0.1; heads of the package lpips 0.1.4 (BSD-2-Clause), AlexNet of torchvision (BSD-3-Clause)"
    )
    needs_reference: ClassVar[bool] = True

    backbone: Path | None = None
    heads: Path | None = None

    def load(self, placement: Placement) -> LpipsModules:
        """The weights of AlexNet and of the heads. Raises: WeightsMissing."""
        from vitascope.models.checkpoints import read_tensors

        backbone = weights_file(BACKBONE, self.backbone, "torchvision's AlexNet", "backbone")
        heads = packaged_file("lpips", "weights/v0.1/alex.pth", self.heads, "lpips==0.1.4")
        device = placement.resolve().device
        try:
            state = {name: tensor.to(device).float() for name, tensor in read_tensors(backbone).items()}
            convolutions = tuple(
                (state[f"features.{n}.weight"], state[f"features.{n}.bias"]) for n, *_ in _LAYERS
            )
            state = {name: tensor.to(device).float() for name, tensor in read_tensors(heads).items()}
            per_channel = tuple(state[f"lin{n}.model.1.weight"].flatten() for n in range(len(_LAYERS)))
        except (InvalidMedia, KeyError) as error:
            raise WeightsMissing(
                f"{str(backbone)!r} or {str(heads)!r} does not hold LPIPS with AlexNet: {error}"
            ) from error
        return LpipsModules(convolutions, per_channel)

    def score(self, clip: Clip, reference: Clip | None = None, modules: Any = None) -> Score:
        """Raises: RequestError without a reference of the same size and length, or under 31 x 31 pixels."""
        if min(clip.height, clip.width) < MIN_SIDE:
            raise RequestError(
                f"LPIPS needs frames of {MIN_SIDE} x {MIN_SIDE} or more, not {clip.width} x {clip.height}"
            )
        weights = self.load(Placement()) if modules is None else modules
        values = [lpips_of(ours, theirs, weights) for ours, theirs in paired_frames(clip, reference)]
        return self.scored(float(np.mean(values)))


def lpips_of(first: Pixels, second: Pixels, modules: LpipsModules) -> float:
    """Distance of two pictures. Shape: (H, W, 3) uint8 RGB."""
    import torch
    from torch.nn.functional import normalize

    total = 0.0
    pairs = zip(_features(first, modules), _features(second, modules), modules.heads, strict=True)
    for ours, theirs, head in pairs:
        difference = (normalize(ours, dim=0, eps=1e-10) - normalize(theirs, dim=0, eps=1e-10)) ** 2
        total += float(torch.einsum("chw,c->hw", difference, head).mean())
    return total


def _features(frame: Pixels, modules: LpipsModules) -> list[Tensor]:
    import torch
    from torch.nn.functional import conv2d, max_pool2d

    device = modules.heads[0].device
    pixels = torch.from_numpy(np.ascontiguousarray(frame)).to(device).permute(2, 0, 1).float() / 127.5 - 1
    shift, scale = (torch.tensor(numbers, device=device).view(3, 1, 1) for numbers in (_SHIFT, _SCALE))
    features, found = (pixels - shift) / scale, []
    for (weight, bias), (_, stride, padding, pooled) in zip(modules.convolutions, _LAYERS, strict=True):
        if pooled:
            features = max_pool2d(features[None], 3, 2)[0]
        features = conv2d(features[None], weight, bias, stride, padding)[0].relu()
        found.append(features)
    return found
