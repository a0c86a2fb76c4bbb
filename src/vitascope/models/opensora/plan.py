"""How the denoiser may be split over several devices: by sites, with all frames of a site on one device.

Only attention inside a frame then has to cross devices. Shown to give the same bits as one device on 2 and 4
processes; a frame's number of sites must be a multiple of the number of devices.

Source: github.com/hpcaitech/Open-Sora, tag v1.2.0 (17cce908), opensora/models/stdit/stdit3.py, splits the same axis.
"""

from __future__ import annotations

from collections.abc import Sequence

from diffusers.models._modeling_parallel import ContextParallelInput, ContextParallelOutput

# Hidden states are `B t N D`; the first block receives all sites, and proj_out gives all of them back.
CONTEXT_PARALLEL_PLAN = {
    "transformer_blocks.0": {"hidden_states": ContextParallelInput(split_dim=2, expected_dims=4)},
    "proj_out": ContextParallelOutput(gather_dim=2, expected_dims=4),
}


def num_sites(height: int, width: int, vae_scale: int = 8, patch_size: Sequence[int] = (1, 2, 2)) -> int:
    """How many sites (patches) a frame of this size has. Units: height and width in pixels."""
    rows, columns = (
        -(-(side // vae_scale) // patch) for side, patch in zip((height, width), patch_size[1:], strict=True)
    )
    return rows * columns
