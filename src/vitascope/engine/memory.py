"""Check that a model fits in memory before it is loaded, and explain when memory runs out after all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from vitascope.engine import gguf_files
from vitascope.engine.placement import Placement
from vitascope.engine.tensor_files import WEIGHT_SUFFIXES, num_parameters
from vitascope.engine.weights import read_json
from vitascope.errors import OutOfMemory

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
GIB = 2**30
CONTEXT_GIB = 0.8  # CUDA's own, outside torch's allocator: 0.79 on an H200 with FlashAttention-3 and Triton


def free_gib(placement: Placement) -> float:
    """Memory that `placement` may use: what is free on its device, at most its `memory_gib`. Units: GiB."""
    free = free_ram_gib()
    if placement.device.startswith("cuda"):
        import torch

        free = torch.cuda.mem_get_info(placement.device)[0] / GIB
    return min(free, placement.memory_gib or free)


def free_ram_gib() -> float:
    """Free memory of the machine. Units: GiB."""
    import psutil

    return float(psutil.virtual_memory().available) / GIB


def cap(placement: Placement) -> None:
    """Hold this process to `memory_gib` on its GPU: beyond it, allocation fails as on a smaller card.

    Without `memory_gib` a limit that an earlier placement set is lifted.
    """
    import torch

    if placement.memory_gib is None:
        uncap(placement)
    elif placement.device.startswith("cuda"):
        total = torch.cuda.get_device_properties(placement.device).total_memory / GIB
        _allow(min(1.0, max(placement.memory_gib - CONTEXT_GIB, 0.1) / total), placement.device)


def unenforced(placement: Placement) -> tuple[str, ...]:
    """Warnings about a memory limit that nothing enforces on this device."""
    if placement.memory_gib is None or placement.device.startswith("cuda"):
        return ()
    return (
        f"memory_gib={placement.memory_gib:g} is held to on GPUs alone: on {placement.device} the weights are compared "
        "with it, what computing takes is not",
    )


def uncap(placement: Placement) -> None:
    """Let this process have all of its GPU again."""
    if placement.device.startswith("cuda"):
        _allow(1.0, placement.device)


def _allow(share: float, device: str) -> None:
    import torch

    index = torch.device(device).index
    index = torch.cuda.current_device() if index is None else index
    torch.cuda.set_per_process_memory_fraction(share, index)


def component_gib(folder: Path, dtype: str) -> dict[str, float]:
    """What each component of a model in diffusers layout will take once loaded; quantized ones stay packed.

    Units: GiB.
    """
    sizes = {}
    for part in sorted(path for path in folder.iterdir() if path.is_dir()):
        files = [file for file in part.iterdir() if file.suffix in WEIGHT_SUFFIXES]
        safe = [file for file in files if file.suffix == ".safetensors"]
        if files:
            packed = "quantization_config" in read_json(part / "config.json")
            sizes[part.name] = sum(
                file.stat().st_size / GIB if packed else file_gib(file, dtype) for file in safe or files
            )
    return sizes


def file_gib(file: Path, dtype: str) -> float:
    """What the tensors of one file will take once loaded; GGUF stays as it is packed. Units: GiB."""
    if file.suffix == gguf_files.SUFFIX:
        return file.stat().st_size / GIB
    return num_parameters(file) * BYTES[dtype] / GIB


def on_main_device(sizes: Mapping[str, float], placement: Placement) -> dict[str, float]:
    """The components that the main device has to hold: not text encoders that have a device of their own.

    Units: GiB; encoders in 8 bits count so.
    """
    precise = placement.text_encoder_precision == "full"
    kept = {}
    for name, gib in sizes.items():
        if not name.startswith("text_encoder"):
            kept[name] = gib
        elif placement.text_encoder_device is None:
            kept[name] = gib if precise else gib / BYTES[placement.dtype]
    return kept


def check_room(sizes: Mapping[str, float], placement: Placement) -> None:
    """Check that components of these sizes fit where `placement` puts them. Units: GiB.

    Counts weights alone, so it refuses only what cannot be. Raises: OutOfMemory with needed, free and a
    placement that fits.
    """
    total, largest = sum(sizes.values()), max(sizes.values(), default=0.0)
    if placement.memory_gib and placement.offload == "none" and placement.device.startswith("cuda"):
        return  # `levers.decide` finds how they fit, block by block if need be
    on_device = {"none": total, "model": largest, "sequential": 0.0}[placement.offload]
    free = free_gib(placement)
    if on_device > free:
        raise OutOfMemory(
            f"the weights need {on_device:.1f} GiB on {placement.device} in {placement.dtype} and "
            f"{free:.1f} GiB may be used; {_advice(placement, largest, free)}"
        )
    ram = free_ram_gib()
    if placement.offload != "none" and total > ram:
        raise OutOfMemory(
            f"offloading keeps {total:.1f} GiB of weights in main memory and {ram:.1f} GiB are free"
        )


def _advice(placement: Placement, largest: float, free: float) -> str:
    if not placement.device.startswith("cuda"):
        return "use a smaller model, dtype bfloat16, or a machine with more memory"
    if placement.offload == "none" and largest < 0.8 * free:
        return f"use memory_gib={int(free)} (Mochi and CogVideoX; faster), or offload='model'"
    return "use offload='sequential' (slow) or a smaller model"


@contextmanager
def exhaustion_explained(placement: Placement, doing: str) -> Iterator[None]:
    """Torch's ways of saying that memory ran out, as OutOfMemory with what would help."""
    import torch

    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise _ran_out(placement, doing) from error
    except RuntimeError as error:
        if "can't allocate memory" in str(error) or "not enough memory" in str(error):
            raise _ran_out(placement, doing) from error
        raise


def _ran_out(placement: Placement, doing: str) -> OutOfMemory:
    options = ["a smaller size or fewer frames"]
    if not placement.vae_tiling:
        options.append("vae_tiling")
    if placement.device.startswith("cuda") and placement.offload == "none":
        options.append("offload='model'")
    elif placement.device.startswith("cuda") and placement.offload == "model":
        options.append("offload='sequential'")
    return OutOfMemory(f"{placement.device} ran out of memory while {doing}; try {', '.join(options)}")
