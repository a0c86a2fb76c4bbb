"""The kernel of `mochi_rows`, in Triton."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

BLOCK_ROWS, NUM_WARPS = 64, 8  # at these no thread needs another's numbers but for the sum


# fmt: off


@triton.jit
def _norm_and_rotate_rows(source, target, weight, cos, sin, valid, eps, BLOCK: tl.constexpr, D: tl.constexpr):
    states = tl.load(source, mask=valid, other=0.0).to(tl.float32)
    scale = tl.rsqrt(tl.sum(states * states, axis=1) / D + eps)
    pairs = (states * scale[:, None] * weight[None, :]).reshape(BLOCK, D // 2, 2)
    even, odd = tl.split(pairs)
    turned = tl.join(even * cos - odd * sin, even * sin + odd * cos).reshape(BLOCK, D)
    tl.store(target, turned.to(target.dtype.element_ty), mask=valid)


@triton.jit
def _norm_and_rotate(
    query, key, query_row, key_row, query_weight, key_weight, cos, sin, num_rows, num_rows_out, eps,
    BATCH: tl.constexpr, BLOCK: tl.constexpr, D: tl.constexpr,
):
    """A row is one head of one token. All samples at once, so that angles are read once."""
    row = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    valid = (row < num_rows)[:, None]
    pair = row[:, None] * (D // 2) + tl.arange(0, D // 2)[None, :]
    cosines = tl.load(cos + pair, mask=valid, other=0.0).to(tl.float32)
    sines = tl.load(sin + pair, mask=valid, other=0.0).to(tl.float32)
    channels = tl.arange(0, D)
    of_queries = tl.load(query_weight + channels).to(tl.float32)
    of_keys = tl.load(key_weight + channels).to(tl.float32)
    for sample in tl.static_range(BATCH):
        source = (sample * num_rows + row)[:, None] * D + channels[None, :]
        target = (sample * num_rows_out + row)[:, None] * D + channels[None, :]
        _norm_and_rotate_rows(query + source, query_row + target, of_queries, cosines, sines, valid, eps, BLOCK, D)
        _norm_and_rotate_rows(key + source, key_row + target, of_keys, cosines, sines, valid, eps, BLOCK, D)


# fmt: on


def norm_and_rotate(
    query: Tensor,
    key: Tensor,
    query_row: Tensor,
    key_row: Tensor,
    query_weight: Tensor,
    key_weight: Tensor,
    eps: float,
    cos: Tensor,
    sin: Tensor,
) -> None:
    """Write normed and rotated queries and keys (B, N, H, D) into the first N tokens of the rows (B, N + L, H, D)."""
    batch, num_tokens, num_heads, width = query.shape
    num_rows = num_tokens * num_heads
    _norm_and_rotate[(triton.cdiv(num_rows, BLOCK_ROWS),)](
        query.contiguous(), key.contiguous(), query_row, key_row, query_weight, key_weight,
        cos.contiguous(), sin.contiguous(), num_rows, query_row.shape[1] * num_heads, eps,
        BATCH=batch, BLOCK=BLOCK_ROWS, D=width, num_warps=NUM_WARPS,
    )  # fmt: skip
