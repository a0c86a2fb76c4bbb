"""Mochi's queries and keys on their way from the projections to attention, in one pass over memory.

Norm, rotation and a place in one row with the text's: inductor makes of them, for queries and keys apart, kernels
that read the table of angles anew for each and each sample, and load both channels of a pair for either. On an
H200 they took 2.4 ms a block, where reading and writing everything once is 0.6.

Source: what is computed is diffusers 0.42.1, models/attention_processor.py, MochiAttnProcessor2_0, and
models/normalization.py, MochiRMSNorm, Apache-2.0; nothing is rounded between norm and rotation.
"""

from __future__ import annotations

import importlib.util

import torch
from torch import Tensor

HAS_TRITON = importlib.util.find_spec("triton") is not None


def can_join(states: Tensor) -> bool:
    """Whether `normed_rotated_joined` takes states like these: on a GPU with Triton, in 16 bits."""
    width = states.shape[-1]
    small = states.dtype in (torch.bfloat16, torch.float16)
    return states.is_cuda and small and width & (width - 1) == 0 and HAS_TRITON


@torch.library.custom_op("vitascope::mochi_rows", mutates_args=())
def _rows(
    query: Tensor,
    key: Tensor,
    text_query: Tensor,
    text_key: Tensor,
    query_weight: Tensor,
    key_weight: Tensor,
    eps: float,
    cos: Tensor,
    sin: Tensor,
) -> tuple[Tensor, Tensor]:
    from vitascope.engine.mochi_rows_kernel import norm_and_rotate  # triton is on GPU machines only

    num_video = query.shape[1]
    rows = []
    for video, text in ((query, text_query), (key, text_key)):
        row = video.new_empty(video.shape[0], num_video + text.shape[1], *video.shape[2:])
        row[:, num_video:] = text
        rows.append(row)
    norm_and_rotate(query, key, rows[0], rows[1], query_weight, key_weight, eps, cos, sin)
    return rows[0], rows[1]


@_rows.register_fake
def _(query: Tensor, _key: Tensor, text_query: Tensor, *_rest: object) -> tuple[Tensor, Tensor]:
    batch, num_video, *width = query.shape
    shape = (batch, num_video + text_query.shape[1], *width)
    return query.new_empty(shape), query.new_empty(shape)


def normed_rotated_joined(
    video: tuple[Tensor, Tensor],
    text: tuple[Tensor, Tensor],
    weights: tuple[Tensor, Tensor],
    eps: float,
    freqs: tuple[Tensor, Tensor],
) -> tuple[Tensor, Tensor]:
    """Queries and keys of video and text in one row: those of the video normed and turned, those of the text as given.

    Shape: video (B, N, H, D), text (B, L, H, D), weights (D,), freqs (N, H, D/2) -> (B, N + L, H, D).
    """
    query, key = torch.ops.vitascope.mochi_rows(*video, *text, *weights, eps, *freqs)
    return query, key
