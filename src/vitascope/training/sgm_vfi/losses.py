"""What SGM-VFI is trained to make small."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from vitascope.flow.warping import backward_warp
from vitascope.models.sgm_vfi.network import SGMVFI
from vitascope.training.sgm_vfi.synthetic_motion import Triplets

PYRAMID_LEVELS = 5
STEP_WEIGHT = 0.5
FLOW_WEIGHT = 0.01
MATCHING_WEIGHT = 0.02
PSNR_WEIGHT = 0.03
LEAST_ERROR = 1e-5  # 50 dB: nearer than that is not worth learning


def laplacian_loss(made: Float[Tensor, "B C H W"], truth: Float[Tensor, "B C H W"]) -> Float[Tensor, ""]:
    """Differences at five scales, the coarse ones counting more: sharp edges matter as much as flat areas.

    Source: Niklaus and Liu, "Context-aware Synthesis for Video Frame Interpolation", CVPR 2018, equation 2.
    """
    difference = made - truth
    kernel = torch.tensor((1.0, 4.0, 6.0, 4.0, 1.0), device=made.device) / 16
    kernel = (kernel[:, None] * kernel).expand(difference.shape[1], 1, 5, 5).to(made.dtype)
    loss = difference.new_zeros(())
    for level in range(PYRAMID_LEVELS):
        last = level == PYRAMID_LEVELS - 1
        padded = F.pad(difference, (2, 2, 2, 2), mode="replicate")
        coarse = F.conv2d(padded, kernel, stride=2, groups=difference.shape[1])
        if last:
            band = difference
        else:
            smooth = F.interpolate(coarse, difference.shape[2:], mode="bilinear", align_corners=False)
            band = difference - smooth
        loss = loss + 2**level * band.abs().mean()
        difference = coarse
    return loss


def negative_psnr(made: Float[Tensor, "B C H W"], truth: Float[Tensor, "B C H W"]) -> Float[Tensor, ""]:
    """Mean over samples of minus the PSNR: quiet pictures count as much as wild ones. Units: dB."""
    error = (made - truth).square().mean((1, 2, 3))
    return 10 * (error + LEAST_ERROR).log10().mean()


def training_loss(network: SGMVFI, triplets: Triplets) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
    """The loss of one batch, and what to write in the log.

    The picture counts as upstream has it (final frame, plus half for each blended step), and by its PSNR;
    where triplets know their motion, the flow of every step and the global matching are told the truth as
    well, which lets the whole network start from nothing where upstream starts from a trained GMFlow.

    Source: Liu et al., SGM-VFI, CVPR 2024, section 4.1; MCG-NJU/SGM-VFI @40b5e74, Trainer_x4k.py.
    """
    first, second = triplets.first, triplets.second
    motion = network.motion(first, second)
    frame = network.synthesis((first, second), motion.flow, motion.mask)
    picture = laplacian_loss(frame, triplets.middle)
    steps = frame.new_zeros(())
    wrong = frame.new_zeros(())
    known = len(triplets.flow)
    for flow, mask in motion.steps:
        share = mask.sigmoid()
        blended = share * backward_warp(first, flow[:, :2])
        blended = blended + (1 - share) * backward_warp(second, flow[:, 2:])
        steps = steps + laplacian_loss(blended, triplets.middle)
        wrong = wrong + (flow[:known] - triplets.flow).abs().mean()
    truth = F.avg_pool2d(triplets.displacement, 8) / 8
    matched = torch.cat([half[:known] for half in motion.matched.chunk(2)])
    unmatched = F.smooth_l1_loss(matched, truth)
    unlike = negative_psnr(frame, triplets.middle)
    loss = picture + STEP_WEIGHT * steps + FLOW_WEIGHT * wrong + MATCHING_WEIGHT * unmatched
    loss = loss + PSNR_WEIGHT * unlike
    told = {
        "loss": loss,
        "picture": picture,
        "psnr": -unlike,
        "flow_px": wrong / len(motion.steps),
        "matching": unmatched,
    }
    return loss, {name: value.detach() for name, value in told.items()}
