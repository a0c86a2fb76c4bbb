"""Attention with 8-bit products: integers for queries and keys, fp8 for weights and values.

Plain 8-bit attention ruins video models whose keys have outlier channels. Here the mean key is taken away
before rounding (softmax does not see it), queries get one scale a token, keys one a block, values one a channel
after their mean is taken away; products are rescaled and summed in float32.

Source: the scheme of SageAttention2, arXiv 2411.10958, sections 3.1 to 3.3; kernel written for Triton here.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.tools.tensor_descriptor import TensorDescriptor

LOG2_E = 1.4426950408889634
# Integer sums start here: the bits of 1.5 * 2**23 as float32. What is added to them reads as that number plus
# the sum, exactly, so that no conversion from integer is needed: those share a pipe with the exponential.
MAGIC_BITS = tl.constexpr(0x4B400000)
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
        rounded = values / scale[:, None]
    else:
        one = tl.maximum(tl.max(largest, axis=0), 1e-12) / 127.0
        tl.store(scales + row * (num_padded // BLOCK) + block, one)
        rounded = values / one
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
    states, mean, scales, out, num_tokens, num_padded, stride_b, stride_n, stride_h, num_heads,
    BLOCK: tl.constexpr, D: tl.constexpr,
):  # fmt: skip
    """fp8 = (values - mean) / scale, one scale a channel, laid out channel by channel for the tensor cores."""
    block, head, batch = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    tokens = block * BLOCK + tl.arange(0, BLOCK)
    channels = tl.arange(0, D)
    valid = (tokens < num_tokens)[:, None]
    row = (batch * num_heads + head).to(tl.int64)
    source = (
        states + batch.to(tl.int64) * stride_b + tokens.to(tl.int64)[:, None] * stride_n + head * stride_h
    )
    values = tl.load(source + channels[None, :], mask=valid, other=0.0).to(tl.float32)
    centred = (values - tl.load(mean + row * D + channels)[None, :]) / tl.load(scales + row * D + channels)[
        None, :
    ]
    centred = tl.where(valid, centred, 0.0)
    target = out + (row * D + channels)[None, :] * num_padded + tokens[:, None]
    tl.store(target, centred.to(tl.float8e4nv))


@triton.jit
def _attend(
    q_desc, k_desc, v_desc, q_scales, k_scales, v_scales, v_mean, out,
    num_queries, num_keys, padded_queries, padded_keys, stride_b, stride_n, stride_h, num_heads,
    D: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, IMPRECISE: tl.constexpr,
):  # fmt: skip
    block, row = tl.program_id(0), tl.program_id(1)
    batch, head = row // num_heads, row % num_heads
    queries = block * BLOCK_M + tl.arange(0, BLOCK_M)
    channels = tl.arange(0, D)
    q = q_desc.load([row * padded_queries + block * BLOCK_M, 0])
    q_scale = tl.load(q_scales + row.to(tl.int64) * padded_queries + queries)
    largest = tl.full([BLOCK_M], float("-inf"), tl.float32)
    total = tl.zeros([BLOCK_M], tl.float32)
    acc = tl.zeros([BLOCK_M, D], tl.float32)
    num_blocks = padded_keys // BLOCK_N
    num_full = num_keys // BLOCK_N
    for j in tl.range(0, num_full):
        k = k_desc.load([row * padded_keys + j * BLOCK_N, 0])
        start = tl.full([BLOCK_M, BLOCK_N], MAGIC_BITS, tl.int32)
        scores = tl.dot(q, k.T, acc=start, out_dtype=tl.int32).to(tl.float32, bitcast=True)
        scale = q_scale * tl.load(k_scales + row * num_blocks + j)
        new_largest = tl.maximum(largest, (tl.max(scores, axis=1) - 12582912.0) * scale)
        # Weights reach 2**8, so that small ones keep fp8's three bits too.
        weights = tl.math.exp2(scores * scale[:, None] - (scale * 12582912.0 + new_largest - 8.0)[:, None])
        kept = tl.math.exp2(largest - new_largest)
        total = total * kept + tl.sum(weights, axis=1)
        acc = acc * kept[:, None]
        v = v_desc.load([row * D, j * BLOCK_N])
        acc = tl.dot(weights.to(tl.float8e4nv), v.T, acc, max_num_imprecise_acc=IMPRECISE)
        largest = new_largest
    if num_full < num_blocks:
        k = k_desc.load([row * padded_keys + num_full * BLOCK_N, 0])
        scores = tl.dot(q, k.T).to(tl.float32)
        scale = q_scale * tl.load(k_scales + row * num_blocks + num_full)
        keys = num_full * BLOCK_N + tl.arange(0, BLOCK_N)
        scores = tl.where((keys < num_keys)[None, :], scores * scale[:, None], float("-inf"))
        new_largest = tl.maximum(largest, tl.max(scores, axis=1))
        weights = tl.math.exp2(scores - (new_largest - 8.0)[:, None])
        kept = tl.math.exp2(largest - new_largest)
        total = total * kept + tl.sum(weights, axis=1)
        acc = acc * kept[:, None]
        v = v_desc.load([row * D, num_full * BLOCK_N])
        acc = tl.dot(weights.to(tl.float8e4nv), v.T, acc, max_num_imprecise_acc=IMPRECISE)
    v_scale = tl.load(v_scales + row * D + channels)
    acc = acc / total[:, None] * v_scale[None, :] + tl.load(v_mean + row * D + channels)[None, :]
    target = out + batch.to(tl.int64) * stride_b + queries.to(tl.int64)[:, None] * stride_n + head * stride_h
    tl.store(target + channels[None, :], acc.to(out.dtype.element_ty), mask=(queries < num_queries)[:, None])


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


# By the width of a head; measured on one H200, the fastest of eight.
CONFIGS: dict[int, dict[str, int]] = {
    64: {"BLOCK_M": 64, "BLOCK_N": 128, "num_warps": 4, "num_stages": 3, "IMPRECISE": 128},
    128: {"BLOCK_M": 64, "BLOCK_N": 128, "num_warps": 4, "num_stages": 3, "IMPRECISE": 128},
}


def int8_attention(query: Tensor, key: Tensor, value: Tensor, out: Tensor, **config: Any) -> None:
    """Write the attention of all tokens over all tokens into `out`.

    Shape: each (B, L, H, D), last axis contiguous; D 64 or 128.
    """
    config = config or dict(CONFIGS[query.shape[-1]])
    block_m, block_n = config["BLOCK_M"], config["BLOCK_N"]
    batch, num_queries, num_heads, width = query.shape
    num_keys = key.shape[1]
    padded_queries = triton.cdiv(num_queries, block_m) * block_m
    padded_keys = triton.cdiv(num_keys, block_n) * block_n
    rows = batch * num_heads

    def empty(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.empty(shape, dtype=dtype, device=query.device)

    key_mean, _, _ = _stats(key)
    value_mean, low, high = _stats(value)
    value_scales = (torch.maximum(high - value_mean, value_mean - low).clamp(min=1e-12) / 448.0).contiguous()
    q8, k8 = (
        empty(rows * padded_queries, width, dtype=torch.int8),
        empty(rows * padded_keys, width, dtype=torch.int8),
    )
    v8 = empty(rows * width, padded_keys, dtype=torch.float8_e4m3fn)
    q_scales, k_scales = empty(rows, padded_queries), empty(rows, padded_keys // block_n)
    factor = LOG2_E / width**0.5
    _quantize_rows[(padded_queries // block_m, num_heads, batch)](
        query, torch.zeros_like(key_mean), q8, q_scales, num_queries, padded_queries, *query.stride()[:3], num_heads,
        factor, BLOCK=block_m, D=width, PER_TOKEN=True,
    )  # fmt: skip
    _quantize_rows[(padded_keys // block_n, num_heads, batch)](
        key, key_mean, k8, k_scales, num_keys, padded_keys, *key.stride()[:3], num_heads,
        1.0, BLOCK=block_n, D=width, PER_TOKEN=False,
    )  # fmt: skip
    _quantize_values[(padded_keys // block_n, num_heads, batch)](
        value, value_mean, value_scales, v8, num_keys, padded_keys, *value.stride()[:3], num_heads,
        BLOCK=block_n, D=width,
    )  # fmt: skip
    _attend[(padded_queries // block_m, rows)](
        TensorDescriptor.from_tensor(q8, [block_m, width]),
        TensorDescriptor.from_tensor(k8, [block_n, width]),
        TensorDescriptor.from_tensor(v8, [width, block_n]),
        q_scales, k_scales, value_scales, value_mean, out, num_queries, num_keys, padded_queries, padded_keys,
        *out.stride()[:3], num_heads, D=width, **config,
    )  # fmt: skip
