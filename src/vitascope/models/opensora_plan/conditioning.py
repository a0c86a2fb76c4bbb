"""What an inpainting denoiser is shown besides the noise: the frames that are given, and which they are.

Source: github.com/PKU-YuanGroup/Open-Sora-Plan, MIT: at v1.3.1 opensora/utils/mask_utils.py, at 842435c0
opensora/sample/pipeline_inpaint.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from vitascope.errors import RequestError
from vitascope.models.opensora_plan.releases import MaskLayout, Release
from vitascope.models.wf_vae.causal_autoencoder import CausalVideoAutoencoder


def compress_mask(
    mask: Tensor,
    temporal_ratio: int = 4,
    spatial_ratio: int = 8,
    layout: MaskLayout = "frames of a latent frame",
) -> Tensor:
    """Bring a mask of frames to the size of latents: the masks of several frames become channels of one.

    An odd number of frames has its first repeated, as the autoencoder codes it by itself.
    Shape: B 1 T H W -> B temporal_ratio t h w.
    Source: `MaskCompressor` of mask_utils.py; the older layout `prepare_mask_masked_video` of 842435c0.
    """
    batch_size, _, num_frames, height, width = mask.shape
    size = (height // spatial_ratio, width // spatial_ratio)
    small = F.interpolate(mask.flatten(0, 2)[:, None], size=size, mode="bilinear")
    frames = small.view(batch_size, num_frames, *size)
    if num_frames % 2:
        frames = torch.cat([frames[:, :1].expand(-1, temporal_ratio, -1, -1), frames[:, 1:]], dim=1)
    if layout == "spread over the clip":
        return frames.unflatten(1, (temporal_ratio, -1))
    return frames.unflatten(1, (-1, temporal_ratio)).transpose(1, 2)


def mask_all_but(given: Sequence[int], num_frames: int, height: int, width: int) -> Tensor:
    """1 where frames are to be made, 0 in those that are given. Shape: 1 1 T H W.

    `given` counts from the clip's end where it is negative, so (0,) animates a picture, (0, -1) makes a
    transition, range(k) goes on from a clip and () leaves all to the model.
    Raises: RequestError for a frame that the clip does not have.
    """
    for index in given:
        if not -num_frames <= index < num_frames:
            raise RequestError(
                f"given frame {index}: the clip has {num_frames} frames", param="given_indices"
            )
    mask = torch.ones(1, 1, num_frames, height, width)
    mask[:, :, list(given)] = 0
    return mask


def condition_latents(
    vae: CausalVideoAutoencoder,
    given_frames: Tensor,
    mask: Tensor,
    release: Release,
    generator: torch.Generator | list[torch.Generator] | None = None,
) -> Tensor:
    """What follows the noisy latents on the channels: latents of the masked clip, and the mask.

    Shape: `given_frames` B 3 T H W, of which those where `mask` (1 1 T H W) is 1 are not looked at; gives
    B c+ratio t h w. Range: -1..1.
    """
    mask = mask.to(given_frames.device)
    hidden = torch.full_like(given_frames, release.hidden_pixel)
    shown = torch.where(mask < 0.5, given_frames, hidden).to(vae.dtype)
    latents = vae.scale_latents(vae.encode(shown, return_dict=False)[0].sample(generator))
    ratios = (vae.temporal_compression_ratio, vae.spatial_compression_ratio)
    small_mask = compress_mask(mask, *ratios, release.mask_layout)
    return torch.cat([latents.float(), small_mask.expand(len(latents), -1, -1, -1, -1)], dim=1)
