"""SGM-VFI: the frame between two frames, also where things move far."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vitascope.flow.warping import backward_warp
from vitascope.models.sgm_vfi.config import SGMVFIConfig
from vitascope.models.sgm_vfi.features import MotionFeatures
from vitascope.models.sgm_vfi.global_matching import GlobalMatching, shift_to_time
from vitascope.models.sgm_vfi.layers import conv_prelu, resize, resize_flow
from vitascope.models.sgm_vfi.matching_features import MatchingFeatures
from vitascope.models.sgm_vfi.synthesis import Synthesis


class FlowStage(nn.Module):
    """Estimate, or correct, the flow from the middle to both frames and the mask that blends them."""

    def __init__(self, in_channels: int, channels: int, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.head = nn.Sequential(conv_prelu(in_channels, channels), conv_prelu(channels, channels))
        self.body = nn.Sequential(conv_prelu(channels, channels), conv_prelu(channels, channels))
        self.tail = conv_prelu(channels, 5)

    def forward(
        self, images: Tensor, features: Float[Tensor, "B C h w"], flow: Float[Tensor, "B 4 H W"] | None
    ) -> tuple[Float[Tensor, "B 4 H W"], Float[Tensor, "B 1 H W"], Float[Tensor, "B 4 h w"]]:
        """Flow and mask at full size, then the same flow in cells of this stage's grid."""
        inputs = [resize(images, 1 / self.scale)]
        if flow is not None:
            inputs.append(resize_flow(flow, 1 / self.scale))
        x = self.head(torch.cat((*inputs, features), dim=1))
        estimate = self.tail(self.body(x) + x)
        full = resize(estimate, self.scale)
        return full[:, :4] * self.scale, full[:, 4:], estimate[:, :4]


@dataclass(frozen=True)
class Motion:
    """How both frames move to the moment in between.

    `flow` points from the middle to the first frame (2 channels) and to the second (2), in pixels;
    `mask`, before the sigmoid, is the first frame's share. `steps` are the (flow, mask) pairs after the
    local estimate, after global matching and at the end, for training; `matched` is the global branch's
    displacement between the frames, in cells of the 1/8 grid.
    """

    flow: Float[Tensor, "B 4 H W"]
    mask: Float[Tensor, "B 1 H W"]
    steps: tuple[tuple[Tensor, Tensor], ...]
    matched: Float[Tensor, "B2 2 h w"]


class SGMVFI(nn.Module):
    """Sparse global matching for video frame interpolation with large motion.

    Upstream trains and evaluates the middle (time 0.5) only; other times run but nobody vouches for them.

    Source: Liu et al., "Sparse Global Matching for Video Frame Interpolation with Large Motion", CVPR
    2024; MCG-NJU/SGM-VFI @40b5e74, model/flow_estimation_global.py, Apache-2.0.
    """

    def __init__(self, config: SGMVFIConfig | None = None) -> None:
        super().__init__()
        self.config = config or SGMVFIConfig()
        _, _, quarter, eighth = self.config.channels
        self.features = MotionFeatures(self.config)
        self.matching_features = MatchingFeatures(self.config)
        self.stages = nn.ModuleList(
            (
                FlowStage(2 * eighth + 7, self.config.stage_channels, scale=8),
                FlowStage(2 * quarter + 18, self.config.stage_channels, scale=4),
            )
        )
        self.matching = GlobalMatching(self.config)
        self.synthesis = Synthesis(self.config.width)

    def motion(
        self,
        first: Float[Tensor, "B 3 H W"],
        second: Float[Tensor, "B 3 H W"],
        time: float = 0.5,
        matching_time: float | None = None,
    ) -> Motion:
        """The flow from the moment `time` to both frames.

        `matching_time` is what the global branch is told, `time` unless given; upstream's plain forward
        pass fixes it to 0.5.
        Shape: height and width multiples of 8. Range: frames in [0, 1], time in (0, 1).
        """
        both = torch.cat((first, second))
        *_, at_quarter, at_eighth = self.features(both)
        global_features = self.matching_features(both)
        time_map = torch.full_like(first[:, :1], time)

        flow, mask, local = self.stages[0](
            torch.cat((first, second, time_map), dim=1), torch.cat(at_eighth.chunk(2), dim=1), None
        )
        guess = flow, mask
        warped = backward_warp(first, flow[:, :2]), backward_warp(second, flow[:, 2:])

        matched, count = self.matching.matched_flow(first, second, global_features, flow)
        shifted = shift_to_time(matched, time if matching_time is None else matching_time, count)
        merged = self.matching.fuse(shifted, local, (global_features, at_eighth))
        small = [
            backward_warp(resize(frame, 1 / 8), part)
            for frame, part in zip((first, second), merged.chunk(2, dim=1), strict=True)
        ]
        flow_change, mask_change = self.matching.refinement(
            torch.cat((first, second, *warped, mask), dim=1), flow, torch.cat((*small, merged), dim=1)
        )
        flow, mask = flow + flow_change, mask + mask_change
        helped = flow, mask

        warped = backward_warp(first, flow[:, :2]), backward_warp(second, flow[:, 2:])
        flow_change, mask_change, _ = self.stages[1](
            torch.cat((first, second, *warped, mask, time_map), dim=1),
            torch.cat(at_quarter.chunk(2), dim=1),
            flow,
        )
        flow, mask = flow + flow_change, mask + mask_change
        return Motion(flow, mask, (guess, helped, (flow, mask)), matched)

    def forward(
        self, first: Float[Tensor, "B 3 H W"], second: Float[Tensor, "B 3 H W"], flow_scale: float = 1.0
    ) -> Float[Tensor, "B 3 H W"]:
        """The frame halfway between two frames.

        `flow_scale` below 1 finds the motion on smaller pictures (large frames, very large motion) and
        paints at full size.
        Shape: height and width multiples of 16, and of 8 after scaling. Range: [0, 1].
        """
        if flow_scale == 1:
            motion = self.motion(first, second)
            flow, mask = motion.flow, motion.mask
        else:
            motion = self.motion(resize(first, flow_scale), resize(second, flow_scale))
            flow, mask = resize_flow(motion.flow, 1 / flow_scale), resize(motion.mask, 1 / flow_scale)
        return self.synthesis((first, second), flow, mask)
