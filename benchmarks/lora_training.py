"""Step time and peak memory of LoRA training on CogVideoX-5B: diffusers' way, and ours, in one run.

`python benchmarks/lora_training.py --out DIR` on one GPU. For several:
`torchrun --nproc-per-node 2 benchmarks/lora_training.py --out DIR --ways "ours, each GPU by itself;ours"`.
Random weights of the published shape, 49 frames of 480x720, rank 64, batch 1.

"script" is a loop of our own that does in each step what diffusers 0.42.1 `examples/cogvideo/train_cogvideox_lora.py`
does with --mixed_precision bf16 --gradient_checkpointing --allow_tf32: text encoder and VAE on the GPU, the caption
encoded anew, latents drawn from the encoded distribution, accelerate's autocast, AdamW as torch makes it.
"ours" is `vitascope.training.run` itself, with random latents and captions in its cache.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import os
import shutil
import statistics
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from diffusers import CogVideoXDPMScheduler, CogVideoXPipeline, CogVideoXTransformer3DModel
from diffusers.models.embeddings import get_3d_rotary_pos_embed
from peft import LoraConfig
from torch import Tensor

from vitascope.clip import Clip
from vitascope.context import Context
from vitascope.generators import for_model
from vitascope.settings import Settings
from vitascope.training import Recipe, run
from vitascope.training.base_model import BaseModel
from vitascope.training.cache import Encoders
from vitascope.training.families.cogvideox import CogVideoXFamily
from vitascope.training.loop import Ranks

SHAPE = {
    "num_attention_heads": 48,
    "num_layers": 42,
    "time_embed_dim": 512,
    "use_rotary_positional_embeddings": True,
}
TINY = {**SHAPE, "num_attention_heads": 2, "num_layers": 2, "time_embed_dim": 32, "text_embed_dim": 64}
SCHEDULE = {
    "prediction_type": "v_prediction",
    "rescale_betas_zero_snr": True,
    "snr_shift_scale": 1.0,
    "timestep_spacing": "trailing",
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "set_alpha_to_one": True,
}
WORDS = 226


@dataclass(frozen=True)
class Size:
    """A model and a clip. Units: pixels, frames."""

    net: dict[str, Any]
    width: int = 720
    height: int = 480
    num_frames: int = 49
    text_width: int = 4096
    rank: int = 64

    @property
    def latent(self) -> tuple[int, int, int, int]:
        """Shape: (t, c, h, w)."""
        return (self.num_frames - 1) // 4 + 1, 16, self.height // 8, self.width // 8


FULL = Size(SHAPE)
SMALL = Size(TINY, 64, 64, 9, 64, 4)


def new_transformer(size: Size, device: torch.device, dtype: torch.dtype) -> Any:
    """Random weights, made where they are used."""
    torch.manual_seed(0)
    torch.set_default_dtype(dtype)
    with device:
        net = CogVideoXTransformer3DModel(**size.net)
    torch.set_default_dtype(torch.float32)
    return net


class RandomFamily(CogVideoXFamily):
    """CogVideoX with random latents and captions in the place of encoded ones."""

    size = FULL

    def encode_clip(self, vae: Any, pixels: Tensor) -> dict[str, Tensor]:  # noqa: ARG002
        """Latents of the right shape."""
        torch.manual_seed(1)
        return {"mean": torch.randn(self.size.latent), "std": torch.full(self.size.latent, 0.05)}

    def encode_prompt(self, pipeline: Any, prompt: str, max_length: int | None) -> dict[str, Tensor]:  # noqa: ARG002
        """Hidden states of the right shape."""
        return {"text": torch.randn(WORDS, self.size.text_width, dtype=torch.bfloat16)}


@dataclass(frozen=True)
class RandomModel(BaseModel):
    """CogVideoX-5B without files."""

    size: Size = FULL

    def buckets(self, recipe: Recipe) -> tuple[tuple[int, int, int], ...]:  # noqa: ARG002
        """One size."""
        return ((self.size.width, self.size.height, self.size.num_frames),)

    def pipeline(self, placement: Any, *wanted: str) -> Any:
        """The denoiser; of the encoders nothing is needed."""
        if "transformer" not in wanted:
            return type("Nothing", (), {"vae": torch.nn.Identity()})()
        net = new_transformer(self.size, torch.device(placement.device), getattr(torch, placement.dtype))
        return CogVideoXPipeline(None, None, None, net, CogVideoXDPMScheduler(**SCHEDULE))

    def encoders(self, placement: Any) -> Encoders:
        """Random."""
        device = torch.device(placement.device)
        nothing = type("Nothing", (), {"device": device})()
        return Encoders(self.family, lambda _part: nothing, {"vae": "random", "prompts": "random"})

    @property
    def parameters(self) -> float:
        """Of the denoiser."""
        with torch.device("meta"):
            net = CogVideoXTransformer3DModel(**self.size.net)
        return float(sum(p.numel() for p in net.parameters()))


@contextmanager
def shared_folder(ranks: Ranks) -> Iterator[Path]:
    """An empty folder that all processes of a run know, gone afterwards."""
    names = [tempfile.mkdtemp() if ranks.rank == 0 else ""]
    if ranks.world > 1:
        dist.broadcast_object_list(names, device=torch.device("cpu"))
    try:
        yield Path(names[0])
    finally:
        if ranks.rank == 0:
            shutil.rmtree(names[0], ignore_errors=True)


def ours(
    ranks: Ranks, size: Size, steps: int, optimiser: str = "adamw", **placement: Any
) -> tuple[list[float], float]:
    """Seconds of each step after the first ones, and the last loss, of vitascope.training.run."""
    with shared_folder(ranks) as folder:
        data = folder / "clips"
        if ranks.rank == 0:
            data.mkdir()
            frames = np.random.default_rng(0).integers(0, 255, (size.num_frames, 16, 16, 3), dtype=np.uint8)
            Clip(frames, Fraction(8)).save(data / "noise.mp4")
            (data / "noise.txt").write_text("noise")
            (folder / "model").mkdir()
        if ranks.world > 1:
            dist.barrier()
        recipe = Recipe.model_validate(
            {
                "name": "speed",
                "model": "cogvideox-5b",
                "data": [{"path": str(data)}],
                "steps": steps,
                "output": str(folder / "run"),
                "adapter": {"rank": size.rank},
                "placement": placement,
                "optimiser": {"name": optimiser, "lr": 1.0 if optimiser == "prodigy" else 1e-4},
                "saving": {"every": 0, "trackers": []},
            }
        )
        family = RandomFamily("CogVideoXPipeline", {**size.net, "max_text_seq_length": WORDS})
        family.size = size  # type: ignore[misc]
        base = RandomModel(for_model("cogvideox-5b"), family, folder / "model", size.net, "", size)  # type: ignore[arg-type]
        said: list[str] = []
        run(recipe, Context(settings=Settings(home=folder / "home")), base=base, say=said.append)
        if ranks.rank == 0:
            print(*said, sep="\n", flush=True)
        lines = [json.loads(line) for line in (folder / "run/log.jsonl").read_text().splitlines()]
        if ranks.world > 1:
            dist.barrier()
        ends = [line["seconds"] for line in lines]
        return [b - a for a, b in itertools.pairwise(ends[3:])], lines[-1]["loss"]


@contextmanager
def standing_alone() -> Iterator[None]:
    """For as long as it lasts this process of several trains as if it were the only one."""
    before = {name: os.environ.get(name, "") for name in ("WORLD_SIZE", "RANK")}
    os.environ |= {"WORLD_SIZE": "1", "RANK": "0"}
    try:
        yield
    finally:
        os.environ |= before


def each_alone(
    ranks: Ranks, size: Size, steps: int, optimiser: str = "adamw", **placement: Any
) -> tuple[list[float], float]:
    """The same with every GPU training for itself at the same time: what several together are compared with."""
    with standing_alone():
        found = ours(Ranks(0, 1, ranks.device), size, steps, optimiser, **placement)
    dist.barrier()
    return found


def script(size: Size, steps: int, device: torch.device) -> tuple[list[float], float]:
    """The same of the loop that stands for diffusers' script."""
    from accelerate import Accelerator
    from accelerate.utils import DistributedDataParallelKwargs
    from transformers import T5Config, T5EncoderModel

    torch.backends.cuda.matmul.allow_tf32 = True
    accelerator = Accelerator(
        mixed_precision="bf16",
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )
    net = new_transformer(size, device, torch.bfloat16)
    net.requires_grad_(False)
    net.enable_gradient_checkpointing()
    net.add_adapter(
        LoraConfig(r=size.rank, lora_alpha=size.rank, target_modules=["to_k", "to_q", "to_v", "to_out.0"])
    )
    net.train()
    small = size.text_width < 4096
    t5 = T5Config(
        vocab_size=32128,
        d_model=size.text_width,
        d_kv=64,
        d_ff=64 if small else 10240,
        num_layers=1 if small else 24,
        num_heads=1 if small else 64,
        feed_forward_proj="gated-gelu",
    )
    torch.set_default_dtype(torch.bfloat16)
    with device:
        encoder = T5EncoderModel(t5).eval().requires_grad_(False)
    torch.set_default_dtype(torch.float32)
    scheduler = CogVideoXDPMScheduler(**SCHEDULE)
    optimiser = torch.optim.AdamW(
        [p for p in net.parameters() if p.requires_grad], lr=1e-4, betas=(0.9, 0.95), weight_decay=1e-4
    )
    net, optimiser = accelerator.prepare(net, optimiser)
    mean, words = torch.randn(1, *size.latent), torch.randint(1, 32000, (1, WORDS), device=device)
    times, loss = [], 0.0
    for _ in range(steps):
        begun = time.perf_counter()
        clean = (mean + 0.05 * torch.randn_like(mean)).to(device, torch.bfloat16)
        with torch.no_grad():
            text = encoder(words)[0].to(torch.bfloat16)
        noise = torch.randn_like(clean)
        level = torch.randint(0, 1000, (1,), device=device)
        grid = (size.height // 16, size.width // 16)
        rotary = get_3d_rotary_pos_embed(64, ((0, 0), grid), grid, size.latent[0], device=device)
        noisy = scheduler.add_noise(clean, noise, level)
        made = net(
            hidden_states=noisy,
            encoder_hidden_states=text,
            timestep=level,
            image_rotary_emb=rotary,
            return_dict=False,
        )[0]
        guess = scheduler.get_velocity(made, noisy, level)
        weight = 1 / (1 - scheduler.alphas_cumprod.to(device)[level]).view(-1, 1, 1, 1, 1)
        error = (weight * (guess - clean) ** 2).reshape(1, -1).mean(1).mean()
        accelerator.backward(error)
        accelerator.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        loss = error.detach().item()
        times.append(time.perf_counter() - begun)
    return times[3:], loss


def measured(
    name: str, work: Callable[[], tuple[list[float], float]], device: torch.device
) -> dict[str, Any]:
    """Run one way and say how long a step took and how much memory it held."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.set_device(device)
        torch.zeros(1, device=device)  # before the first use there is nothing to reset
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    begun = time.monotonic()
    try:
        times, loss = work()
    except Exception as error:  # noqa: BLE001  # one way that fails must not hide the others
        traceback.print_exc()
        return {"way": name, "error": f"{type(error).__name__}: {error}"[:300]}
    finally:
        torch._dynamo.reset()
    peak = torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else 0.0
    reserved = torch.cuda.max_memory_reserved(device) / 2**30 if device.type == "cuda" else 0.0
    return {
        "way": name,
        "step_s": round(statistics.median(times), 4),
        "steps_s": [round(t, 4) for t in times],
        "peak_gib": round(peak, 2),
        "reserved_gib": round(reserved, 2),
        "loss": round(loss, 4),
        "total_s": round(time.monotonic() - begun, 1),
    }


ALONE = "ours, each GPU by itself"
WAYS: dict[str, dict[str, Any]] = {
    "ours": {"compile": True, "checkpointing": "attention"},
    "ours, not compiled": {"compile": False, "checkpointing": "attention"},
    "ours, nothing recomputed": {"compile": True, "checkpointing": "none"},
    "ours, all recomputed": {"compile": True, "checkpointing": "full"},
    "ours, all recomputed, not compiled": {"compile": False, "checkpointing": "full"},
    ALONE: {"compile": True, "checkpointing": "attention"},
    "ours, shared among GPUs": {"compile": True, "checkpointing": "attention", "sharding": "fsdp2"},
    "ours, shared among GPUs, not compiled": {
        "compile": False,
        "checkpointing": "attention",
        "sharding": "fsdp2",
    },
    "ours, low memory": {"compile": True, "checkpointing": "full", "base": "fp8"},
    "ours, low memory, 8-bit AdamW": {
        "compile": True,
        "checkpointing": "full",
        "base": "fp8",
        "optimiser": "adamw-8bit",
    },
    "ours, Prodigy": {"compile": True, "checkpointing": "attention", "optimiser": "prodigy"},
}


def main() -> None:
    """Measure and write one JSON file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=9)
    parser.add_argument("--only", help="the ways whose name begins with this")
    parser.add_argument("--ways", help="names separated by ;")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, on the CPU too")
    arguments = parser.parse_args()
    size = SMALL if arguments.smoke else FULL
    cuda = torch.cuda.is_available() and not arguments.smoke
    ranks = Ranks.join(None if cuda else "cpu")
    device = ranks.device
    wanted = [n for n in ("script", *WAYS) if n.startswith(arguments.only or "")]
    if arguments.ways:
        wanted = arguments.ways.split(";")
    rows: list[dict[str, Any]] = []
    for name in wanted:
        if name == "script":
            row = measured(name, lambda: script(size, arguments.steps, device), device)
        else:
            place = WAYS[name] | ({} if cuda else {"device": "cpu", "compile": False})
            way = each_alone if name == ALONE else ours
            row = measured(
                name, lambda way=way, place=place: way(ranks, size, arguments.steps, **place), device
            )
        rows.append(row)
        if ranks.rank == 0:
            print(json.dumps(row), flush=True)
            said = {
                "gpu": torch.cuda.get_device_name(device) if cuda else "cpu",
                "gpus": ranks.world,
                "torch": torch.__version__,
                "size": {
                    "frames": size.num_frames,
                    "width": size.width,
                    "height": size.height,
                    "rank": size.rank,
                },
                "rows": rows,
            }
            arguments.out.mkdir(parents=True, exist_ok=True)
            label = f"lora-training-{ranks.world}.json"
            (arguments.out / label).write_text(json.dumps(said, indent=2) + "\n")
    if dist.is_initialized():
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
