"""How the denoiser may be split over several devices: by tokens in their order, attention crossing devices.

Shown to give one device's numbers on 2 and 4 processes. Each device's tokens must be a multiple of the square
of the sparse stride (16 for the published 1.3), so that none is padding.

Source: github.com/PKU-YuanGroup/Open-Sora-Plan at v1.3.1, opensora/utils/communications.py, splits tokens too.
"""

from __future__ import annotations

from diffusers.models._modeling_parallel import ContextParallelInput, ContextParallelOutput

_PLACES = ContextParallelInput(split_dim=1, expected_dims=2, split_output=True)

# Hidden states are B N D, the places of tokens 1 N on each of three axes.
CONTEXT_PARALLEL_PLAN = {
    "token_places": dict.fromkeys(range(3), _PLACES),
    "transformer_blocks.0": {"hidden_states": ContextParallelInput(split_dim=1, expected_dims=3)},
    "proj_out": ContextParallelOutput(gather_dim=1, expected_dims=3),
}
