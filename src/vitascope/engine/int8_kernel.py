"""The product of 8-bit attention as one kernel: two groups of warps compute, one warp fetches.

While one group weighs its scores, the other's products run. Both read the same keys and values, which halves what
comes from the L2 cache: groups on their own were held up by it.

Source: the shape of the pipeline is FlashAttention-3's, arXiv 2407.08608, section 3; kernel written here in Gluon.
"""

from __future__ import annotations

from torch import Tensor
from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import (
    fence_async_shared,
    mbarrier,
    tma,
    warpgroup_mma,
    warpgroup_mma_wait,
)
from triton.experimental.gluon.nvidia.hopper import TensorDescriptor

# Integer sums start here: the bits of 1.5 * 2**23 as float32. What is added to them reads as that number plus
# the sum, exactly, so that nothing has to be converted from integer.
MAGIC_BITS = gl.constexpr(0x4B400000)
MAGIC = gl.constexpr(12582912.0)
BELOW_ALL = gl.constexpr(4000000)  # no score of 128 products of 8-bit integers is that far below zero
GROUP_QUERIES, BLOCK_QUERIES, BLOCK_KEYS, STAGES = 64, 128, 128, 3
PROMOTED = 8  # blocks of keys summed by the tensor cores, whose few bits lose what is small
# Three groups of warps share 65,536 registers a multiprocessor; the two that compute take those of the third.
REGISTERS_AT_START, REGISTERS_COMPUTING, REGISTERS_FETCHING = 168, gl.constexpr(240), gl.constexpr(24)


# A sum is scaled only where the largest score grew: keys come in no order, so that it soon hardly does. Spares power,
# which holds these cards back.
SCALED = gl.constexpr(
    "{ .reg .pred grew; setp.neu.f32 grew, $2, 0f3F800000; mov.b32 $0, $1; @grew mul.f32 $0, $1, $2; }"
)


# fmt: off


@gluon.jit
def _fetch(q_desc, k_desc, v_desc, q_buf, k_buf, v_buf, q_ready, k_ready, k_free, v_ready, v_free, row_q, row_k, row_v,
           num_blocks, BLOCK_M: gl.constexpr, BLOCK_N: gl.constexpr, STAGES: gl.constexpr):
    mbarrier.expect(q_ready, 2 * q_desc.block_type.nbytes)
    tma.async_copy_global_to_shared(q_desc, [row_q, 0], q_ready, q_buf.index(0))
    tma.async_copy_global_to_shared(q_desc, [row_q + BLOCK_M, 0], q_ready, q_buf.index(1))
    for j in range(num_blocks):
        stage = j % STAGES
        turn = (j // STAGES) & 1
        mbarrier.wait(k_free.index(stage), turn ^ 1)
        mbarrier.expect(k_ready.index(stage), k_desc.block_type.nbytes)
        tma.async_copy_global_to_shared(k_desc, [row_k + j * BLOCK_N, 0], k_ready.index(stage), k_buf.index(stage))
        mbarrier.wait(v_free.index(stage), turn ^ 1)
        mbarrier.expect(v_ready.index(stage), v_desc.block_type.nbytes)
        tma.async_copy_global_to_shared(v_desc, [row_v, j * BLOCK_N], v_ready.index(stage), v_buf.index(stage))


@gluon.jit
def _in_thread_order(weights, M: gl.constexpr, N: gl.constexpr, layout: gl.constexpr):
    pairs = weights.reshape([M, N // 16, 2, 4, 2])
    return gl.convert_layout(pairs.permute([0, 1, 3, 2, 4]).reshape([M, N]), layout, assert_trivial=True)


@gluon.jit
def _weigh(bits, valid, scale, largest, total, MASKED: gl.constexpr):
    if MASKED:
        bits = gl.where(valid, bits, MAGIC_BITS - BELOW_ALL)
    best = gl.max(bits, axis=1).to(gl.float32, bitcast=True) - MAGIC
    new_largest = gl.maximum(largest, best * scale)
    shift = scale * MAGIC + new_largest - 8.0
    weights = gl.exp2(bits.to(gl.float32, bitcast=True) * scale[:, None] - shift[:, None])
    if MASKED:
        weights = gl.where(valid, weights, 0.0)
    kept = gl.exp2(largest - new_largest)
    return weights, kept, new_largest, total * kept + gl.sum(weights, axis=1)


@gluon.jit
def _scaled(sums, kept):
    factors = gl.expand_dims(kept, 1).broadcast_to(sums.shape)
    return gl.inline_asm_elementwise(SCALED, "=f,f,f", [sums, factors], dtype=gl.float32, is_pure=True, pack=1)


@gluon.jit
def _compute(q_buf, k_buf, v_buf, sums, q_ready, k_ready, k_free, v_ready, v_free, q_scales, k_scales, v_scales,
             v_mean, out, row, batch, head, first, num_queries, num_keys, padded_queries, num_blocks, stride_b,
             stride_n, stride_h, D: gl.constexpr, BLOCK_M: gl.constexpr, BLOCK_N: gl.constexpr, STAGES: gl.constexpr,
             PROMOTED: gl.constexpr):
    scores_layout: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [4, 1], [16, BLOCK_N, 32])
    acc_layout: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [4, 1], [16, D, 32])
    operand: gl.constexpr = gl.DotOperandLayout(0, acc_layout, 4)
    rows: gl.constexpr = gl.SliceLayout(1, scores_layout)
    acc_rows: gl.constexpr = gl.SliceLayout(1, acc_layout)
    q_scale = gl.load(q_scales + row.to(gl.int64) * padded_queries + first + gl.arange(0, BLOCK_M, layout=rows))
    largest = gl.full([BLOCK_M], float("-inf"), gl.float32, layout=rows)
    total = gl.full([BLOCK_M], 0.0, gl.float32, layout=rows)
    magic = gl.full([BLOCK_M, BLOCK_N], MAGIC_BITS, gl.int32, layout=scores_layout)
    k_scales += row * num_blocks
    columns = gl.arange(0, BLOCK_N, layout=gl.SliceLayout(0, scores_layout))
    last = num_blocks - 1
    k_scale = gl.load(k_scales)
    mbarrier.wait(q_ready, 0)
    queries = q_buf.load(gl.DotOperandLayout(0, scores_layout, 4))  # once, not for each block of keys
    mbarrier.wait(k_ready.index(0), 0)
    token = warpgroup_mma(queries, k_buf.index(0).permute((1, 0)), magic, is_async=True)
    next_scale = gl.load(k_scales + gl.minimum(1, last))
    bits = warpgroup_mma_wait(0, deps=[token])
    mbarrier.arrive(k_free.index(0), count=1)
    weights, kept, largest, total = _weigh(bits, (columns < num_keys)[None, :], q_scale * k_scale, largest, total, True)
    acc = gl.full([BLOCK_M, D], 0.0, gl.float32, layout=acc_layout)
    sums.store(acc)
    since = gl.full([BLOCK_M], 1.0, gl.float32, layout=acc_rows)
    for start in range(0, num_blocks - 2, PROMOTED):
        for j in range(start, gl.minimum(start + PROMOTED, num_blocks - 2)):
            ahead = (j + 1) % STAGES
            now = j % STAGES
            mbarrier.wait(k_ready.index(ahead), ((j + 1) // STAGES) & 1)
            packed = _in_thread_order(weights.to(gl.float8e4nv), BLOCK_M, BLOCK_N, operand)
            token = warpgroup_mma(queries, k_buf.index(ahead).permute((1, 0)), magic, is_async=True)
            k_scale = next_scale
            next_scale = gl.load(k_scales + j + 2)
            mbarrier.wait(v_ready.index(now), (j // STAGES) & 1)
            summed = warpgroup_mma(packed, v_buf.index(now).permute((1, 0)), acc, is_async=True)
            bits = warpgroup_mma_wait(1, deps=[token])
            mbarrier.arrive(k_free.index(ahead), count=1)
            weights, kept, largest, total = _weigh(bits, True, q_scale * k_scale, largest, total, False)
            # The total is among what is waited with, so that the weighing stays before the wait.
            acc, total = warpgroup_mma_wait(0, deps=[summed, total])
            mbarrier.arrive(v_free.index(now), count=1)
            kept_here = gl.convert_layout(kept, acc_rows)
            acc = _scaled(acc, kept_here)
            since = since * kept_here
        sums.store(sums.load(acc_layout) * since[:, None] + acc)
        acc = gl.full([BLOCK_M, D], 0.0, gl.float32, layout=acc_layout)
        since = gl.full([BLOCK_M], 1.0, gl.float32, layout=acc_rows)
    for j in range(gl.maximum(num_blocks - 2, 0), last):
        ahead = (j + 1) % STAGES
        now = j % STAGES
        mbarrier.wait(k_ready.index(ahead), ((j + 1) // STAGES) & 1)
        packed = _in_thread_order(weights.to(gl.float8e4nv), BLOCK_M, BLOCK_N, operand)
        token = warpgroup_mma(queries, k_buf.index(ahead).permute((1, 0)), magic, is_async=True)
        mbarrier.wait(v_ready.index(now), (j // STAGES) & 1)
        summed = warpgroup_mma(packed, v_buf.index(now).permute((1, 0)), acc, is_async=True)
        bits = warpgroup_mma_wait(1, deps=[token])
        valid = (last * BLOCK_N + columns < num_keys)[None, :]
        weights, kept, largest, total = _weigh(bits, valid, q_scale * next_scale, largest, total, True)
        acc, total = warpgroup_mma_wait(0, deps=[summed, total])
        kept_here = gl.convert_layout(kept, acc_rows)
        acc = acc * kept_here[:, None]
        since = since * kept_here
    mbarrier.wait(v_ready.index(last % STAGES), (last // STAGES) & 1)
    packed = _in_thread_order(weights.to(gl.float8e4nv), BLOCK_M, BLOCK_N, operand)
    done = warpgroup_mma(packed, v_buf.index(last % STAGES).permute((1, 0)), acc)
    done = sums.load(acc_layout) * since[:, None] + done
    channels = gl.arange(0, D, layout=gl.SliceLayout(0, acc_layout))
    v_scale = gl.load(v_scales + row * D + channels)
    mean = gl.load(v_mean + row * D + channels)
    done = done * (1.0 / gl.convert_layout(total, acc_rows))[:, None] * v_scale[None, :] + mean[None, :]
    places = first + gl.arange(0, BLOCK_M, layout=acc_rows)
    target = out + batch.to(gl.int64) * stride_b + places.to(gl.int64)[:, None] * stride_n + head * stride_h
    gl.store(target + channels[None, :], done.to(out.dtype.element_ty), mask=(places < num_queries)[:, None])


@gluon.jit
def _attend(q_desc, k_desc, v_desc, q_scales, k_scales, v_scales, v_mean, out,
            num_queries, num_keys, padded_queries, padded_keys, stride_b, stride_n, stride_h, num_heads,
            D: gl.constexpr, BLOCK_M: gl.constexpr, BLOCK_N: gl.constexpr, STAGES: gl.constexpr,
            PROMOTED: gl.constexpr, SUMS: gl.constexpr):
    row = gl.program_id(1)
    first = gl.program_id(0) * (2 * BLOCK_M)
    q_buf = gl.allocate_shared_memory(gl.int8, [2, BLOCK_M, D], q_desc.layout)
    k_buf = gl.allocate_shared_memory(gl.int8, [STAGES, BLOCK_N, D], k_desc.layout)
    v_buf = gl.allocate_shared_memory(gl.float8e4nv, [STAGES, D, BLOCK_N], v_desc.layout)
    first_sums = gl.allocate_shared_memory(gl.float32, [BLOCK_M, D], SUMS)
    second_sums = gl.allocate_shared_memory(gl.float32, [BLOCK_M, D], SUMS)
    q_ready = gl.allocate_shared_memory(gl.int64, [1], mbarrier.MBarrierLayout())
    k_ready = gl.allocate_shared_memory(gl.int64, [STAGES, 1], mbarrier.MBarrierLayout())
    k_free = gl.allocate_shared_memory(gl.int64, [STAGES, 1], mbarrier.MBarrierLayout())
    v_ready = gl.allocate_shared_memory(gl.int64, [STAGES, 1], mbarrier.MBarrierLayout())
    v_free = gl.allocate_shared_memory(gl.int64, [STAGES, 1], mbarrier.MBarrierLayout())
    mbarrier.init(q_ready, count=1)
    for stage in gl.static_range(STAGES):
        mbarrier.init(k_ready.index(stage), count=1)
        mbarrier.init(k_free.index(stage), count=2)
        mbarrier.init(v_ready.index(stage), count=1)
        mbarrier.init(v_free.index(stage), count=2)
    fence_async_shared()
    num_blocks = padded_keys // BLOCK_N
    batch = row // num_heads
    head = row % num_heads
    gl.warp_specialize(
        [
            (_compute, (q_buf.index(0), k_buf, v_buf, first_sums, q_ready, k_ready, k_free, v_ready, v_free, q_scales,
                        k_scales, v_scales, v_mean, out, row, batch, head, first, num_queries, num_keys, padded_queries,
                        num_blocks, stride_b, stride_n, stride_h, D, BLOCK_M, BLOCK_N, STAGES, PROMOTED)),
            (_compute, (q_buf.index(1), k_buf, v_buf, second_sums, q_ready, k_ready, k_free, v_ready, v_free, q_scales,
                        k_scales, v_scales, v_mean, out, row, batch, head, first + BLOCK_M, num_queries, num_keys,
                        padded_queries, num_blocks, stride_b, stride_n, stride_h, D, BLOCK_M, BLOCK_N, STAGES,
                        PROMOTED)),
            (_fetch, (q_desc, k_desc, v_desc, q_buf, k_buf, v_buf, q_ready, k_ready, k_free, v_ready, v_free,
                      row * padded_queries + first, row * padded_keys, row * D, num_blocks, BLOCK_M, BLOCK_N, STAGES)),
        ],
        [4, 1],
        [REGISTERS_COMPUTING, REGISTERS_FETCHING],
    )
# fmt: on


def _sums_layout(width: int) -> gl.SharedLinearLayout:
    """As threads hold a sum: two channels, the lanes of a warp side by side, then what one thread has besides."""
    lanes = [[0, 1], [0, 2], [0, 4], [1, 0], [2, 0], [4, 0]]
    own = [[8, 0], [0, 8], [0, 16], *([0, channel] for channel in (32, 64) if channel < width)]
    return gl.SharedLinearLayout([*lanes, *own, [16, 0], [32, 0]])


def attend(
    q8: Tensor, k8: Tensor, v8: Tensor, q_scales: Tensor, k_scales: Tensor, v_scales: Tensor, v_mean: Tensor,
    out: Tensor, num_queries: int, num_keys: int,
) -> None:  # fmt: skip
    """Write into `out` the attention of int8 queries over int8 keys and fp8 values.

    Rows are all heads of all samples; tokens are padded to whole blocks, keys with zeros.
    Shape: q8, k8 (rows * tokens, D), v8 (rows * D, tokens), q_scales (rows, tokens), k_scales (rows, blocks),
    v_scales and v_mean (B, H, D), out (B, L, H, D).
    """
    width, num_heads = q8.shape[1], out.shape[2]
    rows = q_scales.shape[0]

    def tiles(tensor: Tensor, block: list[int]) -> TensorDescriptor:
        layout = gl.NVMMASharedLayout(swizzle_byte_width=block[1], element_bitwidth=8, rank=2)
        return TensorDescriptor.from_tensor(tensor, block, layout)

    _attend[(q_scales.shape[1] // BLOCK_QUERIES, rows)](
        tiles(q8, [GROUP_QUERIES, width]), tiles(k8, [BLOCK_KEYS, width]), tiles(v8, [width, BLOCK_KEYS]),
        q_scales, k_scales, v_scales, v_mean, out, num_queries, num_keys, q_scales.shape[1],
        k_scales.shape[1] * BLOCK_KEYS, *out.stride()[:3], num_heads, width, GROUP_QUERIES, BLOCK_KEYS, STAGES,
        PROMOTED, _sums_layout(width), num_warps=4, maxnreg=REGISTERS_AT_START,
    )  # fmt: skip
