"""What a model or a GPU lacks for each fast way to run, as one line; None where nothing is lacking."""

from __future__ import annotations

from vitascope.engine import block_cache
from vitascope.engine.denoisers import BLOCKS
from vitascope.engine.placement import Placement
from vitascope.engine.subject import HOPPER, Gpu, Subject

# CUDA capabilities, from the one on that has it.
FP8_FROM = (8, 9)
BFLOAT16_FROM = (8, 0)
SAGE_FROM = (8, 0)
FA3_WIDEST = 256
INT8_HEAD_DIMS = (64, 128)
HALF = ("bfloat16", "float16")


def no_fa3(subject: Subject) -> str | None:
    """Why FlashAttention-3 cannot run this model; None where it can."""
    if subject.head_dim % 8 == 0 and subject.head_dim <= FA3_WIDEST:
        return None
    return f"FlashAttention-3 needs heads of a multiple of 8 channels, {FA3_WIDEST} at most, not {subject.head_dim}"


def no_sage(placement: Placement, gpu: Gpu) -> str | None:
    """Why SageAttention2 cannot run here; None where it can."""
    if gpu.sage is None and gpu.capability < SAGE_FROM:
        return f"SageAttention2 needs a CUDA GPU of capability 8.0 or newer, not {gpu.name}"
    takes = None if placement.dtype in HALF else f"it takes bfloat16 or float16, not {placement.dtype}"
    return gpu.sage or takes


def no_int8(subject: Subject, placement: Placement, gpu: Gpu) -> str | None:
    """Why our 8-bit attention cannot run here; None where it can."""
    if gpu.capability != HOPPER:
        return f"8-bit attention needs a Hopper GPU (H100, H200), not {gpu.name}"
    if placement.dtype != "bfloat16":
        return f"8-bit attention needs bfloat16, not {placement.dtype}"
    if subject.head_dim not in INT8_HEAD_DIMS:
        return f"8-bit attention needs heads of 64 or 128 channels, not {subject.head_dim}"
    return None if gpu.int8 else "8-bit attention needs Triton 3.6 or newer, which comes with torch 2.11"


def no_compiling(placement: Placement, gpu: Gpu) -> str | None:
    """Why blocks cannot be compiled here; None where they can."""
    if not gpu.triton:
        return "compiled blocks need the package triton"
    if not gpu.c_compiler:
        return "compiled blocks need a C compiler such as gcc"
    if placement.dtype == "bfloat16" and not gpu.amd and gpu.capability < BFLOAT16_FROM:
        return f"compiled blocks in bfloat16 need a GPU of capability 8.0 or newer, not {gpu.name}"
    return None


def no_fp8(subject: Subject, placement: Placement, gpu: Gpu | None) -> str | None:
    """Why this model cannot have fp8 linears here; None where it can."""
    if subject.transformer not in BLOCKS:
        return f"{block_cache.in_words(subject.transformer)} has no fp8 linears"
    if subject.quantized:
        return f"this {subject.transformer} came in fewer bits already"
    if gpu is None or gpu.capability < FP8_FROM:
        where = placement.device if gpu is None else gpu.name
        return f"fp8 linears need a CUDA GPU of capability 8.9 or newer (Ada, Hopper), not {where}"
    if placement.dtype != "bfloat16":
        return f"fp8 linears need bfloat16, not {placement.dtype}"
    if placement.offload == "sequential":
        return "fp8 linears do not go with offload='sequential'"
    return None
