"""Why a plan is as it is, in words."""

from __future__ import annotations

from vitascope.engine import memory
from vitascope.engine.levers import ACTIVATIONS_GIB
from vitascope.engine.parallel.layout import LEAST_BALANCE, Layout, balance
from vitascope.engine.planned_run import PlannedRun


def too_much(run: PlannedRun, gib: dict[str, float], peak_gib: float, room_gib: float) -> str:
    """What is said of a clip that does not fit, and what would help; the part that takes most decides."""
    largest = max(gib, key=lambda part: gib[part])
    by_groups = largest == "decode" and run.levers.vae == "stream"  # so that the length does not matter
    helps = ["a smaller size", *([] if by_groups else ["fewer frames"])]
    if run.placement.offload == "none" and run.levers.offload == "placement":
        in_turns = run.sizes.transformer in ACTIVATIONS_GIB
        helps.append(f"memory_gib={int(room_gib)} (parts take turns)" if in_turns else "offload='model'")
    said = f"does not fit: {peak_gib:.1f} GiB while it does {largest!r}, and {room_gib:.1f} may be used"
    return f"{said}; try {' or '.join(helps)}"


def reasons(run: PlannedRun, timed: bool) -> tuple[str, ...]:
    """Why it will run so, a line for each choice. `timed`: whether seconds are predicted."""
    levers, layout, gpu, placement = run.levers, run.layout, run.gpu, run.placement
    name = gpu.name if gpu else "a CPU"
    allowed = "as asked" if placement.attention != "auto" else f"which speed={placement.speed!r} allows"
    said = {
        "fa3": f"attention: FlashAttention-3, the fastest exact kernel on {name}",
        "int8": f"attention: 8-bit with smoothing, {allowed}; first and last steps exact",
        "sage": f"attention: SageAttention2 (8-bit), {allowed}; first and last steps exact",
        "cudnn": "attention: cuDNN, as asked"
        if placement.attention == "cudnn"
        else f"attention: cuDNN, the fastest exact kernel on {name} without fa3-fwd",
        "sdpa": "attention: torch's own choice",
        "model": "attention: as diffusers has it",
    }
    lines = [said[levers.attention]]
    if levers.compile:
        lines.append("blocks compiled: each new size takes up to a minute once, then it is kept on disk")
    if levers.linears == "fp8":
        why = "as asked" if placement.quantize == "fp8" else f"which speed={placement.speed!r} allows"
        lines.append(f"8-bit linears, {why}: faster, and half the memory")
    steps = run.wanted.num_inference_steps
    if levers.skip is not None and all(levers.skip.computed(steps)):
        lines.append(f"{steps} steps are too few to skip any: all are computed")
    elif levers.skip is not None:
        lines.append("after the first steps only some are computed, the others extrapolated")
    if levers.cache is not None and levers.cache.kind == "taylor":
        lines.append("after the first steps the last block's output is extrapolated on some")
    elif levers.cache is not None:
        lines.append(
            f"cache {levers.cache.kind}: how many steps it leaves out depends on the clip; the time is without"
        )
    if levers.guidance is not None:
        lines.append("the negative prompt is asked on some steps only: the others take half the time")
    if levers.vae == "stream":
        lines.append("VAE: group by group of frames with its causal past, no tile seams")
    else:
        lines.append("VAE: in tiles" if levers.vae_tiling else "VAE: as diffusers has it")
    if placement.offload != "none":
        part = "each part" if placement.offload == "model" else "each layer"
        lines.append(f"offload={placement.offload!r}: {part} is on the GPU only while it computes")
    lines += memory.unenforced(placement)
    if levers.offload != "placement":
        how = "parts take turns on the GPU" if levers.offload == "turns" else "blocks arrive one ahead"
        lines.append(f"memory_gib={placement.memory_gib:g}: {how}")
    if layout.world > 1:
        many = f"{layout.world} {'GPUs' if gpu else 'processes'}"
        lines.append(f"{many} as {layout.described()}: {_why(layout, run.sizes.num_heads)}")
    lines += [f"not here: {missed}" for missed in levers.fallbacks]
    if run.decode is None:
        lines.append("the memory of decoding so was not measured: it is not among the GiB")
    if (rate := run.rate()) is not None and rate.width != run.sizes.width:
        lines.append(
            f"seconds by rates of a model of {rate.width} channels, not {run.sizes.width}: none nearer was measured"
        )
    if not timed:
        lines.append("no time is predicted: this way of running was not measured on this device")
    return tuple(lines)


def _why(layout: Layout, num_heads: int) -> str:
    said = []
    if layout.cfg > 1:
        said.append("the prompt and the negative prompt apart, which sends least")
    if layout.ulysses > 1:
        said.append("tokens exchanged for heads")
    if layout.ring > 1:
        uneven = balance(num_heads, layout.sequence) < LEAST_BALANCE
        said.append(
            "keys and values in a ring" + (", since the heads do not share out evenly" if uneven else "")
        )
    return "; ".join(said)
