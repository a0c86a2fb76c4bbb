"""Attention with 8-bit products: integers for queries and keys, fp8 for weights and values.

Plain 8-bit attention ruins video models whose keys have outlier channels. Here the mean key is taken away
before rounding (softmax does not see it), queries get one scale a token, keys one a block, values one a channel
after their mean is taken away; products are rescaled and summed in float32.

Source: the scheme of SageAttention2, arXiv 2411.10958, sections 3.1 to 3.3; kernel written for Triton here.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from vitascope.engine.int8_kernel import BLOCK_KEYS, BLOCK_QUERIES, attend

LOG2_E = 1.4426950408889634
STATS_TOKENS = 1024


@triton.jit
def _quantize_rows(
    states, mean, out, scales, num_tokens, num_padded, stride_b, stride_n, stride_h, num_heads, factor,
    BLOCK: tl.constexpr, D: tl.constexpr, PER_TOKEN: tl.constexpr,
):  # fmt: skip
    """int8 = (states - mean) * factor / scale, one scale a token or a block of BLOCK tokens; padding is 0."""
    block, head, batch = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    tokens = block * BLOCK + tl.arange(0, BLOCK)
    channels = tl.arange(0, D)
    valid = (tokens < num_tokens)[:, None]
    row = (batch * num_heads + head).to(tl.int64)
    source = (
        states + batch.to(tl.int64) * stride_b + tokens.to(tl.int64)[:, None] * stride_n + head * stride_h
    )
    values = tl.load(source + channels[None, :], mask=valid, other=0.0).to(tl.float32)
    values = tl.where(valid, values - tl.load(mean + row * D + channels)[None, :], 0.0) * factor
    largest = tl.max(tl.abs(values), axis=1)
    if PER_TOKEN:
        scale = tl.maximum(largest, 1e-12) / 127.0
        tl.store(scales + row * num_padded + tokens, scale)
        rounded = values * (1.0 / scale)[:, None]
    else:
        one = tl.maximum(tl.max(largest, axis=0), 1e-12) / 127.0
        tl.store(scales + row * (num_padded // BLOCK) + block, one)
        rounded = values * (1.0 / one)
    rounded = tl.floor(rounded + 0.5).to(tl.int8)
    tl.store(out + (row * num_padded + tokens)[:, None] * D + channels[None, :], rounded)


@triton.jit
def _column_stats(
    states, sums, lows, highs, num_tokens, stride_b, stride_n, stride_h, num_heads, num_chunks,
    CHUNK: tl.constexpr, BLOCK: tl.constexpr, D: tl.constexpr,
):  # fmt: skip
    """Sum, least and largest of each channel over CHUNK tokens."""
    chunk, head, batch = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    channels = tl.arange(0, D)
    total = tl.zeros([D], tl.float32)
    low, high = tl.full([D], float("inf"), tl.float32), tl.full([D], float("-inf"), tl.float32)
    source = states + batch.to(tl.int64) * stride_b + head * stride_h + channels[None, :]
    for start in range(0, CHUNK, BLOCK):
        tokens = chunk * CHUNK + start + tl.arange(0, BLOCK)
        valid = (tokens < num_tokens)[:, None]
        values = tl.load(source + tokens.to(tl.int64)[:, None] * stride_n, mask=valid, other=0.0).to(
            tl.float32
        )
        total += tl.sum(values, axis=0)
        low = tl.minimum(low, tl.min(tl.where(valid, values, float("inf")), axis=0))
        high = tl.maximum(high, tl.max(tl.where(valid, values, float("-inf")), axis=0))
    target = ((batch * num_heads + head) * num_chunks + chunk) * D + channels
    tl.store(sums + target, total)
    tl.store(lows + target, low)
    tl.store(highs + target, high)


@triton.jit
def _quantize_values(
    states, mean, scales, out, lost, num_tokens, num_padded, stride_b, stride_n, stride_h, num_heads,
    BLOCK: tl.constexpr, D: tl.constexpr,
):  # fmt: skip
    """fp8 = (values - mean) / scale, one scale a channel, laid out channel by channel for the tensor cores.

    Within sixteen tokens they lie as one thread holds the weights of `_in_thread_order`. `lost` is the sum of what
    rounding took away.
    """
    block, head, batch = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    tokens = block * BLOCK + tl.arange(0, BLOCK)
    channels = tl.arange(0, D)
    valid = (tokens < num_tokens)[:, None]
    row = (batch * num_heads + head).to(tl.int64)
    source = (
        states + batch.to(tl.int64) * stride_b + tokens.to(tl.int64)[:, None] * stride_n + head * stride_h
    )
    values = tl.load(source + channels[None, :], mask=valid, other=0.0).to(tl.float32)
    scale = tl.load(scales + row * D + channels)
    centred = (values - tl.load(mean + row * D + channels)[None, :]) * (1.0 / scale)[None, :]
    centred = tl.where(valid, centred, 0.0)
    rounded = centred.to(tl.float8e4nv)
    pairs = rounded.reshape(BLOCK // 16, 2, 4, 2, D)
    ordered = tl.permute(pairs, (0, 2, 1, 3, 4)).reshape(BLOCK, D)
    target = out + (row * D + channels)[:, None] * num_padded + tokens[None, :]
    tl.store(target, tl.trans(ordered))
    taken = tl.sum(centred - rounded.to(tl.float32), axis=0) * scale
    tl.store(lost + (row * tl.num_programs(0) + block) * D + channels, taken)


def _stats(states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, least and largest of each channel over all tokens. Shape: (B, L, H, D) -> each (B, H, D)."""
    batch, num_tokens, num_heads, width = states.shape
    num_chunks = triton.cdiv(num_tokens, STATS_TOKENS)
    shape = (3, batch, num_heads, num_chunks, width)
    sums, lows, highs = torch.empty(shape, dtype=torch.float32, device=states.device).unbind()
    _column_stats[(num_chunks, num_heads, batch)](
        states, sums, lows, highs, num_tokens, *states.stride()[:3], num_heads, num_chunks,
        CHUNK=STATS_TOKENS, BLOCK=32, D=width,
    )  # fmt: skip
    return sums.sum(2) / num_tokens, lows.amin(2), highs.amax(2)


def int8_attention(query: Tensor, key: Tensor, value: Tensor, out: Tensor) -> None:
    """Write the attention of all tokens over all tokens into `out`.

    Shape: each (B, L, H, D), last axis contiguous; D 64 or 128.
    """
    batch, num_queries, num_heads, width = query.shape
    num_keys = key.shape[1]
    padded_queries = triton.cdiv(num_queries, BLOCK_QUERIES) * BLOCK_QUERIES
    padded_keys = triton.cdiv(num_keys, BLOCK_KEYS) * BLOCK_KEYS
    rows, num_blocks = batch * num_heads, padded_keys // BLOCK_KEYS

    def empty(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.empty(shape, dtype=dtype, device=query.device)

    key_mean, _, _ = _stats(key)
    value_mean, low, high = _stats(value)
    value_scales = (torch.maximum(high - value_mean, value_mean - low).clamp(min=1e-12) / 448.0).contiguous()
    q8 = empty(rows * padded_queries, width, dtype=torch.int8)
    k8 = empty(rows * padded_keys, width, dtype=torch.int8)
    v8 = empty(rows * width, padded_keys, dtype=torch.float8_e4m3fn)
    q_scales, k_scales = empty(rows, padded_queries), empty(rows, num_blocks)
    lost = empty(rows, num_blocks, width)
    factor = LOG2_E / width**0.5
    _quantize_rows[(padded_queries // 64, num_heads, batch)](
        query, torch.zeros_like(key_mean), q8, q_scales, num_queries, padded_queries, *query.stride()[:3], num_heads,
        factor, BLOCK=64, D=width, PER_TOKEN=True,
    )  # fmt: skip
    _quantize_rows[(num_blocks, num_heads, batch)](
        key, key_mean, k8, k_scales, num_keys, padded_keys, *key.stride()[:3], num_heads,
        1.0, BLOCK=BLOCK_KEYS, D=width, PER_TOKEN=False,
    )  # fmt: skip
    _quantize_values[(num_blocks, num_heads, batch)](
        value, value_mean, value_scales, v8, lost, num_keys, padded_keys, *value.stride()[:3], num_heads,
        BLOCK=BLOCK_KEYS, D=width,
    )  # fmt: skip
    # What rounding took from the values' mean goes back to every output: flat attention shows nothing else.
    value_mean = value_mean + lost.sum(1).view_as(value_mean) / num_keys
    attend(q8, k8, v8, q_scales, k_scales, value_scales, value_mean, out, num_queries, num_keys)
