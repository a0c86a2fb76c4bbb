"""Attention with 8-bit products: integers for queries and keys, fp8 for weights and values.

Plain 8-bit attention ruins video models whose keys have outlier channels. Here the mean key is taken away
before rounding (softmax does not see it), queries get one scale a token, keys one a block, values one a channel
after their mean is taken away; products are rescaled and summed in float32. Keys and values are dealt out among the
blocks, and what rounding does to values as a whole is made good: with few bits in the tensor cores' sums that halves
the error of attention that looks at a few places alone.

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
def _dealt(block, num_tokens, BLOCK: tl.constexpr):
    """The tokens of a block of keys: dealt out like cards to all full blocks, what is left over to the last.

    Keys that one query weighs heavily lie side by side. In one sum of the tensor cores, which round each product to
    few bits of the sum so far, the later ones would lose to the earlier.
    """
    num_full = num_tokens // BLOCK
    order = tl.arange(0, BLOCK)
    return tl.where(block < num_full, order * num_full + block, num_full * BLOCK + order)


@triton.jit
def _quantize_rows(
    states, mean, out, scales, num_tokens, num_padded, stride_b, stride_n, stride_h, num_heads, factor,
    BLOCK: tl.constexpr, D: tl.constexpr, KEYS: tl.constexpr,
):  # fmt: skip
    """int8 = (states - mean) * factor / scale; padding is 0.

    One scale a token of queries; of keys, which are dealt out, one a block.
    """
    block, head, batch = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    places = block * BLOCK + tl.arange(0, BLOCK)
    tokens = _dealt(block, num_tokens, BLOCK) if KEYS else places
    channels = tl.arange(0, D)
    valid = (tokens < num_tokens)[:, None]
    row = (batch * num_heads + head).to(tl.int64)
    source = (
        states + batch.to(tl.int64) * stride_b + tokens.to(tl.int64)[:, None] * stride_n + head * stride_h
    )
    values = tl.load(source + channels[None, :], mask=valid, other=0.0).to(tl.float32)
    values = tl.where(valid, values - tl.load(mean + row * D + channels)[None, :], 0.0) * factor
    largest = tl.max(tl.abs(values), axis=1)
    if KEYS:
        one = tl.maximum(tl.max(largest, axis=0), 1e-12) / 127.0
        tl.store(scales + row * (num_padded // BLOCK) + block, one)
        rounded = values * (1.0 / one)
    else:
        scale = tl.maximum(largest, 1e-12) / 127.0
        tl.store(scales + row * num_padded + places, scale)
        rounded = values * (1.0 / scale)[:, None]
    rounded = tl.floor(rounded + 0.5).to(tl.int8)
    tl.store(out + (row * num_padded + places)[:, None] * D + channels[None, :], rounded)


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
    states, mean, scales, out, sums, num_tokens, num_padded, stride_b, stride_n, stride_h, num_heads,
    BLOCK: tl.constexpr, D: tl.constexpr,
):  # fmt: skip
    """fp8 = (values - mean) / scale, one scale a channel, laid out channel by channel for the tensor cores.

    Tokens are dealt out as the keys are; within sixteen they lie as one thread holds the weights of
    `_in_thread_order`. `sums` says what rounding did: of what it gave, of that times what it was given, and of the
    squares of what it was given.
    """
    block, head, batch = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    places = block * BLOCK + tl.arange(0, BLOCK)
    tokens = _dealt(block, num_tokens, BLOCK)
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
    target = out + (row * D + channels)[:, None] * num_padded + places[None, :]
    tl.store(target, tl.trans(ordered))
    given = rounded.to(tl.float32)
    target = sums + (row * tl.num_programs(0) + block) * (3 * D) + channels
    tl.store(target, tl.sum(given, axis=0))
    tl.store(target + D, tl.sum(given * centred, axis=0))
    tl.store(target + 2 * D, tl.sum(centred * centred, axis=0))


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
    sums = empty(rows, num_blocks, 3, width)
    factor = LOG2_E / width**0.5
    _quantize_rows[(padded_queries // 64, num_heads, batch)](
        query, torch.zeros_like(key_mean), q8, q_scales, num_queries, padded_queries, *query.stride()[:3], num_heads,
        factor, BLOCK=64, D=width, KEYS=False,
    )  # fmt: skip
    _quantize_rows[(num_blocks, num_heads, batch)](
        key, key_mean, k8, k_scales, num_keys, padded_keys, *key.stride()[:3], num_heads,
        1.0, BLOCK=BLOCK_KEYS, D=width, KEYS=True,
    )  # fmt: skip
    _quantize_values[(num_blocks, num_heads, batch)](
        value, value_mean, value_scales, v8, sums, num_keys, padded_keys, *value.stride()[:3], num_heads,
        BLOCK=BLOCK_KEYS, D=width,
    )  # fmt: skip
    given, product, square = sums.sum(1).view(batch, num_heads, 3, width).unbind(2)
    # Rounding to few bits makes values smaller on the whole, near a thousandth of theirs.
    value_scales = value_scales * torch.where(product > 0, square / product, 1.0)
    # What it took from their mean goes back to every output: flat attention shows nothing else.
    value_mean = value_mean - value_scales * given / num_keys
    attend(q8, k8, v8, q_scales, k_scales, value_scales, value_mean, out, num_queries, num_keys)
