"""Where the time of some GPU work goes, by kinds of kernels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch

# The first kind one of whose words is in a kernel's name; what has none is "the rest": norms, rotations, gates, copies.
KINDS = {
    "exchanges": ("nccl",),
    "attention": ("flash", "fmha", "sdpa", "sage", "attn", "attend", "_compute"),
    "linears": ("nvjet", "gemm", "cutlass", "matmul", "_mm"),
}


def kind_of(kernel: str) -> str:
    """The kind of a kernel, by its name. Inductor names what it fuses after the operators, so its own come first."""
    name = kernel.lower()
    if name.startswith("triton_"):
        return "the rest"
    return next((kind for kind, words in KINDS.items() if any(word in name for word in words)), "the rest")


def profiled(work: Callable[[], Any], num_steps: int) -> dict[str, Any]:
    """Seconds of one step by kind, of gaps between kernels, and the largest kernels. Units: seconds."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        work()
        torch.cuda.synchronize()
    kinds: dict[str, float] = defaultdict(float)
    kernels: dict[str, list[float]] = defaultdict(list)
    spans = []
    for event in profile.events() or []:
        on_gpu = event.device_type == torch.autograd.DeviceType.CUDA and not event.is_user_annotation
        if not on_gpu or event.time_range.elapsed_us() <= 0:
            continue
        took = event.time_range.elapsed_us() / 1e6
        kinds[kind_of(event.name)] += took
        kernels[event.name].append(took)
        spans.append((event.time_range.start, event.time_range.end))
    if not spans:
        return {}
    whole = (max(end for _, end in spans) - min(start for start, _ in spans)) / 1e6
    kinds["gaps"] = whole - sum(kinds.values())
    largest = sorted(kernels.items(), key=lambda item: -sum(item[1]))[:16]
    return {
        "of_one_step_s": {kind: round(took / num_steps, 4) for kind, took in sorted(kinds.items())},
        "largest": [
            {
                "kernel": name[:120],
                "ms": round(1e3 * sum(took) / num_steps, 2),
                "calls": len(took) / num_steps,
            }
            for name, took in largest
        ],
    }
