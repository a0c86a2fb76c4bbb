"""Find where things went when they moved further than a local network can see.

The first guess of the flow is tried out; where it fails, features are matched against the whole other
frame, and what they say is brought to the moment in between and merged into the guess.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from vitascope.flow.warping import backward_warp, pixel_grid, splat_mean, splat_sum
from vitascope.models.sgm_vfi.config import SGMVFIConfig
from vitascope.models.sgm_vfi.layers import attend, conv_prelu, resize, resize_flow

SPARSE_ABOVE_ROWS = 32
HOLE_METRIC, FILLED_METRIC = -20.0, 1.0


def _carry_over(image: Tensor, flow_there: Tensor, flow_here: Tensor) -> Tensor:
    """Bring an image of one frame to the middle by `flow_there` and on to the other frame by `flow_here`."""
    middle = backward_warp(image, flow_there)
    return splat_mean(middle, flow_here, torch.full_like(middle[:, :1], torch.e))


def importance_map(
    first: Float[Tensor, "B 3 H W"], second: Float[Tensor, "B 3 H W"], flow: Float[Tensor, "B 4 H W"]
) -> Float[Tensor, "B2 1 H W"]:
    """How badly the flow explains each pixel of the first frames (then of the second ones).

    Source: Liu et al., SGM-VFI, CVPR 2024, section 3.2 (difference maps); MCG-NJU/SGM-VFI @40b5e74,
    model/matching.py, Apache-2.0.
    """
    to_first, to_second = flow[:, :2], flow[:, 2:]

    def misfit(source: Tensor, target: Tensor, there: Tensor, here: Tensor) -> Tensor:
        difference = (_carry_over(source, there, here) - target).abs().sum(1, keepdim=True)
        reached = _carry_over(torch.ones_like(difference), there, here) != 0
        return difference * reached

    on_second = misfit(first, second, to_first, to_second)
    on_first = misfit(second, first, to_second, to_first)
    return torch.cat(
        (_carry_over(on_second, to_second, to_first), _carry_over(on_first, to_first, to_second))
    )


def key_points(
    importance: Float[Tensor, "B2 1 H W"], grid: tuple[int, int], count: int
) -> Int[Tensor, "B2 K"]:
    """Indices into the flattened `grid` of its `count` most important positions, best first."""
    coarse = F.interpolate(importance, size=grid, mode="bilinear", align_corners=False)
    return coarse.flatten(1).topk(count, dim=1).indices


def match(
    features: Float[Tensor, "B2 C h w"], points: Int[Tensor, "B2 K"] | None
) -> Float[Tensor, "B2 2 h w"]:
    """Displacement of each key point into the other frame, in cells; exactly 0 where there is none.

    `points` None matches every position.

    Source: Xu et al., GMFlow, CVPR 2022, equations 2 to 4: the expectation of the other frame's grid
    under the softmax of the feature products.
    """
    height, width = features.shape[-2:]
    every = features.float().flatten(2).transpose(1, 2)
    other = torch.cat(every.chunk(2)[::-1])
    place = pixel_grid(height, width, every).flatten(1).T.expand(len(every), -1, -1)
    queries, own = every, place
    if points is not None:
        queries = every.gather(1, points[..., None].expand(-1, -1, every.shape[2]))
        own = place.gather(1, points[..., None].expand(-1, -1, 2))
    moved = attend(queries, other, place) - own
    if points is not None:
        moved = torch.zeros_like(place).scatter(1, points[..., None].expand(-1, -1, 2), moved)
    return moved.transpose(1, 2).unflatten(2, (height, width))


def _keep_largest(values: Float[Tensor, "B 1 h w"], count: int) -> Float[Tensor, "B 1 h w"]:
    """1 at the `count` largest values of each map unless they are 0, 0 elsewhere."""
    flat = values.flatten(1)
    best = flat.topk(count, dim=1)
    kept = torch.zeros_like(flat).scatter(1, best.indices, (best.values != 0).to(flat.dtype))
    return kept.view_as(values)


def shift_to_time(
    matched: Float[Tensor, "B2 2 h w"], time: float | Tensor, count: int | None
) -> Float[Tensor, "B2 2 h w"]:
    """Turn frame-to-frame displacements into flow from the moment `time` to either frame.

    `count` limits how many positions keep a value (sparse matching), None keeps all.
    Range: time in (0, 1), one number or one a sample (B, 1, 1, 1).

    Source: MCG-NJU/SGM-VFI @40b5e74, model/matching.py (flow shift), Apache-2.0: linear motion, forward
    splatting with the holes of sparse matching all but weightless.
    """
    from_first, from_second = matched.chunk(2)
    shifted, hits = [], []
    for displacement, there, here in ((from_second, time, 1 - time), (from_first, 1 - time, time)):
        known = (displacement != 0).sum(1, keepdim=True) / 2
        weight = torch.where(known == 0, HOLE_METRIC, FILLED_METRIC).exp()
        shifted.append(splat_mean(displacement * there, displacement * here, weight))
        hits.append(splat_sum(known, displacement * here))
    flow = torch.cat(shifted)
    return flow if count is None else flow * _keep_largest(torch.cat(hits), count)


class FlowFusion(nn.Module):
    """Mix each position's flow from its 3x3 neighbourhood in two flow fields.

    Source: MCG-NJU/SGM-VFI @40b5e74, model/matching.py (merging block), Apache-2.0.
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.weights = nn.Sequential(
            nn.Conv2d(in_channels, channels, 3, 1, 1), nn.PReLU(channels), nn.Conv2d(channels, 36, 1)
        )

    def forward(
        self, local: Float[Tensor, "B 4 h w"], matched: Float[Tensor, "B 4 h w"], features: Tensor
    ) -> Float[Tensor, "B 4 h w"]:
        """The merged flow. Shape: `features` (B, C, h, w)."""
        batch, _, height, width = local.shape
        scores = self.weights(torch.cat((local, matched, features), dim=1))
        shares = scores.view(batch, 2, 1, 18, height, width).softmax(dim=3)
        taps = [F.unfold(flow, 3, padding=1).view(batch, 2, 2, 9, height, width) for flow in (local, matched)]
        return (shares * torch.cat(taps, dim=3)).sum(dim=3).flatten(1, 2)


class FlowRefinement(nn.Module):
    """Correct flow and mask once the merged flow is known."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.head = nn.Sequential(conv_prelu(27, channels), conv_prelu(channels, channels))
        self.body = nn.Sequential(conv_prelu(channels, channels))
        self.tail = conv_prelu(channels, 5)

    def forward(self, images: Tensor, flow: Tensor, merged: Tensor) -> tuple[Tensor, Tensor]:
        """Shape: `images` and `flow` full size, `merged` at 1/8; the corrections come back full size."""
        x = self.head(torch.cat((resize(images, 1 / 8), resize_flow(flow, 1 / 8), merged), dim=1))
        correction = resize(self.tail(self.body(x) + x), 8)
        return correction[:, :4] * 8, correction[:, 4:]


class GlobalMatching(nn.Module):
    """The global branch at 1/8 size: match, bring to the middle, fuse, refine.

    Source: Liu et al., SGM-VFI, CVPR 2024, sections 3.2 and 3.3; MCG-NJU/SGM-VFI @40b5e74,
    model/matching.py, Apache-2.0.
    """

    def __init__(self, config: SGMVFIConfig) -> None:
        super().__init__()
        feature_channels = 2 * (config.channels[3] + config.matching_channels)
        self.key_point_ratio = config.key_point_ratio
        self.fusion = FlowFusion(8 + feature_channels, config.fusion_channels)
        self.refinement = FlowRefinement(4 * config.width)

    def num_key_points(self, height: int, width: int) -> int | None:
        """How many positions of a 1/8 grid are matched; None for all (small grids, as upstream trains)."""
        if self.key_point_ratio is None or height <= SPARSE_ABOVE_ROWS:
            return None
        return int(self.key_point_ratio * height * width)

    def matched_flow(
        self, first: Tensor, second: Tensor, features: Float[Tensor, "B2 C h w"], flow: Tensor
    ) -> tuple[Float[Tensor, "B2 2 h w"], int | None]:
        """Frame-to-frame displacement, in cells, where the local flow needs help; and of how many points."""
        height, width = features.shape[-2:]
        count = self.num_key_points(height, width)
        if count is None:
            return match(features, None), None
        points = key_points(importance_map(first, second, flow), (height, width), count)
        return match(features, points), count

    def fuse(
        self,
        matched: Float[Tensor, "B2 2 h w"],
        local_flow: Float[Tensor, "B 4 h w"],
        features: tuple[Tensor, Tensor],
    ) -> Float[Tensor, "B 4 h w"]:
        """Merge matched flow (already at the wanted time) into the local flow at 1/8 size.

        `features`: matching features and motion features, each first frames then second frames.
        """
        beside = torch.cat(matched.chunk(2), dim=1)
        filled = torch.where(beside == 0, local_flow, beside)
        halves = [half for part in features for half in part.chunk(2)]
        return self.fusion(local_flow, filled, torch.cat(halves, dim=1))
