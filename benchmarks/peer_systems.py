"""Other systems that make clips with Mochi and CogVideoX, and ours, each as a `denoise` that can be raced.

Where a peer wants the package `flash_attn_interface` (FlashAttention-3, which has no wheel), `fa3-fwd` stands in for
it: the same kernels. No peer's code is here; its package must be installed.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch

from vitascope.engine import levers as levers_of
from vitascope.engine.parallel.layout import Layout
from vitascope.engine.parallel.mesh import Mesh
from vitascope.engine.parallel.spreading import spread
from vitascope.engine.pipelines import LoadedPipeline, import_class, levers_for
from vitascope.engine.placement import Placement
from vitascope.evaluation.speed import random_models

# Seconds of each step but the first, and the latents at the end on the ranks that have them.
Denoise = Callable[[int], tuple[list[float], torch.Tensor | None]]


def stand_in_for_flash_attention_3() -> None:
    """Let peers import `flash_attn_interface` from fa3-fwd, whose names and order of arguments differ a little."""
    try:
        import fa3_fwd_interface as ours
    except ImportError:
        return
    module = types.ModuleType("flash_attn_interface")
    module.__dict__.update({name: getattr(ours, name) for name in dir(ours) if not name.startswith("__")})

    def forward(*args: Any, out: Any = None, window_size: Any = (-1, -1), **kwargs: Any) -> Any:
        left, right = window_size
        return ours._flash_attn_forward(
            *args, out_=out, window_size_left=left, window_size_right=right, **kwargs
        )

    module._flash_attn_forward = forward  # type: ignore[attr-defined]
    sys.modules["flash_attn_interface"] = module


class Clock:
    """When each denoising step ended, on the device."""

    def __init__(self) -> None:
        self.marks: list[Any] = []

    def mark(self, *_: Any, **__: Any) -> dict[str, Any]:
        """Also a pipeline's `callback_on_step_end`."""
        if torch.cuda.is_available():
            event: Any = torch.cuda.Event(enable_timing=True)
            event.record()
        else:
            import time

            event = time.perf_counter()
        self.marks.append(event)
        return {}

    def steps(self) -> list[float]:
        """Units: seconds."""
        pairs = list(zip(self.marks, self.marks[1:], strict=False))
        if torch.cuda.is_available():
            torch.cuda.synchronize()
            return [a.elapsed_time(b) / 1e3 for a, b in pairs]
        return [b - a for a, b in pairs]


class Subjects:
    """A model's random weights, which every system shares, and the inputs that every system is given."""

    def __init__(self, name: str, device: torch.device, tiny: bool) -> None:
        self.model, self.device, self.tiny = random_models.find(name), device, tiny
        torch.manual_seed(0)
        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.bfloat16)
        with torch.device(device):
            self.parts = self.model.build(tiny)
        torch.set_default_dtype(before)
        for part in self.parts.values():
            if isinstance(part, torch.nn.Module):
                part.eval().requires_grad_(False)
        self.task = self.model.item(50).complete(self.model.task(tiny))
        self.config = self.parts["transformer"].config
        drawn = torch.Generator("cpu").manual_seed(1)
        space = 2 ** (len(self.parts["vae"].config.block_out_channels) - 1) if name != "mochi" else 8
        frames = (self.task.num_frames - 1) // (6 if name == "mochi" else 4) + 1
        grid = (self.task.height // space, self.task.width // space)
        channels = self.config.in_channels
        shape = (1, channels, frames, *grid) if name == "mochi" else (1, frames, channels, *grid)
        self.noise = torch.randn(shape, generator=drawn).to(device, torch.bfloat16)
        width = self.config.text_embed_dim
        self.text = torch.randn(2, self.model.text_length, width, generator=drawn).to(device, torch.bfloat16)
        # Mochi leaves padding out; an empty negative prompt has no valid token in either implementation.
        self.valid = torch.zeros(2, self.model.text_length, dtype=torch.bool, device=device)
        self.valid[0, :128] = True

    def pipeline(self) -> Any:
        """A diffusers pipeline on the shared weights, without a text encoder."""
        shared = {"transformer": random_models.sharing_weights(self.parts["transformer"])}
        parts = {**self.parts, **shared, "text_encoder": None, "tokenizer": None}
        pipeline = import_class(self.model.pipeline)(**parts)
        pipeline.scheduler = type(pipeline.scheduler).from_config(pipeline.scheduler.config)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    def inputs(self) -> dict[str, Any]:
        """What a pipeline's call is given."""
        positive, negative = self.text[:1].clone(), self.text[1:].clone()
        given = {
            "prompt_embeds": positive,
            "negative_prompt_embeds": negative,
            "latents": self.noise.clone(),
            "width": self.task.width,
            "height": self.task.height,
            "num_frames": self.task.num_frames,
            "output_type": "latent",
        }
        if self.model.name == "mochi":
            return given | {
                "prompt_attention_mask": self.valid[:1].clone(),
                "negative_prompt_attention_mask": self.valid[1:].clone(),
                "guidance_scale": 4.5,
            }
        return given | {"guidance_scale": 6.0}


def by_pipeline(call: Any, subjects: Subjects) -> Denoise:
    """Any pipeline with diffusers' call."""

    def denoise(num_steps: int) -> tuple[list[float], torch.Tensor | None]:
        clock = Clock()
        with torch.inference_mode():
            latents = call(
                num_inference_steps=num_steps, callback_on_step_end=clock.mark, **subjects.inputs()
            ).frames
        return clock.steps(), latents.float() if isinstance(latents, torch.Tensor) else None

    return denoise


def diffusers_as_it_is(subjects: Subjects) -> Denoise:
    """The reference, and what SGLang's diffusers backend runs: of these two models it has no implementation."""
    return by_pipeline(subjects.pipeline(), subjects)


def diffusers_compiled(subjects: Subjects) -> Denoise:
    """What that backend does with its compile flag, and xDiT with its own on one GPU.

    Source: sglang 0.5.23, multimodal_gen/runtime/pipelines/diffusers_pipeline.py, `_apply_torch_compile`: a model
    without `_repeated_blocks` is compiled whole.
    """
    pipeline = subjects.pipeline()
    pipeline.transformer.compile()
    return by_pipeline(pipeline, subjects)


def vitascope(subjects: Subjects, layout: Layout, speed: str, **switches: Any) -> Denoise:
    """Ours."""
    pipeline = subjects.pipeline()
    device = f"cuda:{subjects.device.index or 0}" if subjects.device.type == "cuda" else "cpu"
    placement = Placement(device=device, speed=speed, **switches).resolve()
    stand_in = SimpleNamespace(
        transformer=pipeline.transformer, vae=None, components={"transformer": pipeline.transformer}
    )
    chosen = levers_for(stand_in, placement)
    levers_of.shrink(stand_in, chosen, placement.device)
    levers_of.pull(stand_in, chosen, placement.device)
    if layout.world > 1:
        modules = LoadedPipeline(pipeline, placement, "random", chosen)
        spread(modules, Mesh.join(layout, subjects.device))
    return by_pipeline(pipeline, subjects)


def xdit(subjects: Subjects, layout: Layout, compiled: bool) -> Denoise:
    """xDiT's own CogVideoX pipeline, with the attention that it picks by itself.

    On one GPU it hands over to diffusers' pipeline, as xDiT does.
    """
    stand_in_for_flash_attention_3()
    from xfuser import xFuserArgs, xFuserCogVideoXPipeline
    from xfuser.core.distributed import get_runtime_state

    args = xFuserArgs(
        model="random",
        use_cfg_parallel=layout.cfg == 2,
        ulysses_degree=layout.ulysses,
        ring_degree=layout.ring,
        use_torch_compile=compiled,
    )
    begin_anew()
    engine_config, _ = args.create_config()
    pipeline = xFuserCogVideoXPipeline(subjects.pipeline(), engine_config)
    print("xDiT attends by", get_runtime_state().attention_backend, flush=True)
    return by_pipeline(pipeline, subjects)


def begin_anew() -> None:
    """xDiT has one set of process groups, made when a pipeline is; another layout needs another set."""
    from xfuser.core.distributed import init_distributed_environment, parallel_state

    init_distributed_environment()
    for kind in ("_MODEL_REPLICA", "_DP", "_CFG", "_SP", "_TP", "_PP", "_FS", "_VAE"):
        setattr(parallel_state, kind, None)
