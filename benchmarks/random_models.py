"""Mochi and CogVideoX-5B at their real sizes with random weights: as fast and as large as the published ones.

Generators that fleets can run too; every run measures itself and says so in a warning that starts with MEASURED.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from vitascope.engine import pipelines
from vitascope.engine.pipelines import LoadedPipeline
from vitascope.engine.placement import Placement
from vitascope.generators.cogvideox import CogVideoX
from vitascope.generators.mochi import Mochi

MEASURED = "MEASURED "
# 128 valid tokens with the byte tokenizer below: a prompt as long as people write for these models.
PROMPT = "a red ball bounces over green grass while a small dog runs after it, slowly, in warm evening light, filmed from a low place ok."
TINY = bool(os.environ.get("TINY_MODELS"))  # to try the scripts on a CPU


def byte_tokenizer(max_length: int) -> Any:
    """A tokenizer with one token a byte that pads and ends as T5's does."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {
        token: index
        for index, token in enumerate(["<pad>", "</s>", "<unk>", *sorted(pre_tokenizers.ByteLevel.alphabet())])
    }
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=max_length, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )


def filled(build: Any, placement: Placement, seed: int) -> nn.Module:
    """A network built without memory, then filled on its device with weights of the usual size."""
    device, dtype = torch.device(placement.device), getattr(torch, placement.dtype)
    with torch.device("meta"):
        net = build()
    net = net.to(dtype).to_empty(device=device).eval().requires_grad_(False)
    random = torch.Generator(device).manual_seed(seed)
    for name, parameter in net.named_parameters():
        if parameter.ndim > 1:
            parameter.normal_(0, (parameter.numel() / parameter.shape[0]) ** -0.5, generator=random)
        elif "norm" in name and name.endswith("weight"):
            parameter.fill_(1)
        else:
            parameter.zero_()
    for buffer in net.buffers():
        buffer.zero_()
    return net


def t5_encoder() -> nn.Module:
    """The encoder of T5 v1.1 XXL."""
    from transformers import T5Config, T5EncoderModel

    size = (
        {"d_model": 32, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2}
        if TINY
        else {"d_model": 4096, "d_kv": 64, "d_ff": 10240, "num_layers": 24, "num_heads": 64}
    )
    return T5EncoderModel(T5Config(vocab_size=32128, feed_forward_proj="gated-gelu", **size))


class Measured:
    """What both random generators share: a pipeline from nowhere, and a run that measures itself."""

    def measured_load(self, build: Any, placement: Placement) -> LoadedPipeline:
        """Build, place and accelerate, as a generator's `load` does."""
        started = time.perf_counter()
        pipeline, levers = pipelines.accelerated(build(placement), placement)
        loaded = LoadedPipeline(pipeline, placement, "random", levers)
        loaded.load_s = time.perf_counter() - started  # type: ignore[attr-defined]
        return loaded

    def measured_generate(self, generate: Any, tasks: Sequence[Any], modules: Any, context: Any) -> list[Any]:
        """Run, and say how long each part took and how much memory it had."""
        meter = Meter(modules.pipeline)
        with meter:
            clips = generate(tasks, modules, context)
        context.warn(MEASURED + json.dumps(meter.said(modules)))
        return clips


class Meter:
    """Times the parts of one call of a pipeline: text, each denoising step, decode."""

    def __init__(self, pipeline: Any) -> None:
        self.pipeline = pipeline
        self.on_gpu = next(pipeline.transformer.parameters()).is_cuda
        self.calls: list[Any] = []
        self.seconds: dict[str, float] = {}
        self.peaks: dict[str, float] = {}

    def __enter__(self) -> Meter:
        self.began = self.now()
        self.hook = self.pipeline.transformer.register_forward_pre_hook(self._note_call, prepend=True)
        self.decode = self.pipeline.vae.decode
        self.pipeline.vae.decode = self._decode
        return self

    def __exit__(self, *_: Any) -> None:
        self.hook.remove()
        del self.pipeline.vae.decode
        self.seconds["total"] = self.now() - self.began

    def now(self) -> float:
        if self.on_gpu:
            torch.cuda.synchronize()
        return time.perf_counter()

    def peak(self) -> float:
        """The peak since the last one. Units: GiB."""
        if not self.on_gpu:
            return 0.0
        peak = torch.cuda.max_memory_allocated() / 2**30
        torch.cuda.reset_peak_memory_stats()
        return peak

    def _note_call(self, *_: Any) -> None:
        if not self.calls:
            self.seconds["text"] = self.now() - self.began
            self.peaks["text"] = self.peak()
        if self.on_gpu:
            event = torch.cuda.Event(enable_timing=True)
            event.record()
            self.calls.append(event)
        else:
            self.calls.append(time.perf_counter())

    def _decode(self, latents: Any, *args: Any, **kwargs: Any) -> Any:
        ended = self.now()
        if self.on_gpu:
            last = torch.cuda.Event(enable_timing=True)
            last.record()
            last.synchronize()
            marks = [*self.calls, last]
            self.steps = [a.elapsed_time(b) / 1e3 for a, b in zip(marks[:-1], marks[1:], strict=True)]
        else:
            marks = [*self.calls, ended]
            self.steps = [b - a for a, b in zip(marks[:-1], marks[1:], strict=True)]
        self.seconds["denoise"] = ended - self.began - self.seconds["text"]
        self.peaks["denoise"] = self.peak()
        keep = os.environ.get("LATENTS")
        if keep and not (torch.distributed.is_initialized() and torch.distributed.get_rank()):
            torch.save(latents.detach().to("cpu", torch.float32), keep)
        output = self.decode(latents, *args, **kwargs)
        self.seconds["decode"] = self.now() - ended
        self.peaks["decode"] = self.peak()
        return output

    def said(self, modules: Any) -> dict[str, Any]:
        """All of it; the peak of the fullest rank."""
        peaks = [self.peaks]
        if torch.distributed.is_initialized():
            peaks = [{}] * torch.distributed.get_world_size()
            torch.distributed.all_gather_object(peaks, self.peaks)
        spread = getattr(modules.pipeline.transformer, "_vitascope_spread", None)
        return {
            "seconds": {name: round(value, 4) for name, value in self.seconds.items()},
            "steps_s": [round(step, 4) for step in self.steps],
            "peak_gib": {name: round(max(peak[name] for peak in peaks), 3) for name in peaks[0]},
            "reserved_gib": round(torch.cuda.max_memory_reserved() / 2**30, 2) if self.on_gpu else 0,
            "levers": modules.levers.described(),
            "layout": spread.layout.described() if spread else "one device",
            "load_s": round(modules.load_s, 1),
            "device": torch.cuda.get_device_name() if self.on_gpu else "cpu",
        }


class RandomMochi(Measured, Mochi):
    """Mochi 1 preview's sizes."""

    def load(self, placement: Placement) -> LoadedPipeline:
        """Random weights on the device."""
        return self.measured_load(_mochi, placement)

    def generate(self, tasks: Any, modules: Any, context: Any) -> list[Any]:
        """As Mochi, measured."""
        return self.measured_generate(super().generate, tasks, modules, context)


class RandomCogVideoX(Measured, CogVideoX):
    """CogVideoX-5B's sizes."""

    model: str = "cogvideox-5b"

    def load(self, placement: Placement) -> LoadedPipeline:
        """Random weights on the device."""
        return self.measured_load(_cogvideox, placement)

    def generate(self, tasks: Any, modules: Any, context: Any) -> list[Any]:
        """As CogVideoX, measured."""
        return self.measured_generate(super().generate, tasks, modules, context)


def _mochi(placement: Placement) -> Any:
    from diffusers.models.autoencoders.autoencoder_kl_mochi import AutoencoderKLMochi
    from diffusers.models.transformers.transformer_mochi import MochiTransformer3DModel
    from diffusers.pipelines.mochi.pipeline_mochi import MochiPipeline
    from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler

    net = (
        {"num_attention_heads": 4, "attention_head_dim": 8, "num_layers": 2, "pooled_projection_dim": 16,
         "text_embed_dim": 32, "time_embed_dim": 16} if TINY else {}
    )  # fmt: skip
    vae = (
        {"encoder_block_out_channels": (32,) * 4, "decoder_block_out_channels": (32,) * 4,
         "layers_per_block": (1,) * 5} if TINY else {}
    )  # fmt: skip
    transformer = filled(lambda: MochiTransformer3DModel(**net), placement, 1)
    transformer.pos_frequencies.normal_()
    return MochiPipeline(
        transformer=transformer,
        vae=filled(lambda: AutoencoderKLMochi(**vae), placement, 2),
        text_encoder=filled(t5_encoder, placement, 3),
        tokenizer=byte_tokenizer(256),
        scheduler=FlowMatchEulerDiscreteScheduler(invert_sigmas=True),
    )


def _cogvideox(placement: Placement) -> Any:
    from diffusers.models.autoencoders.autoencoder_kl_cogvideox import AutoencoderKLCogVideoX
    from diffusers.models.transformers.cogvideox_transformer_3d import CogVideoXTransformer3DModel
    from diffusers.pipelines.cogvideo.pipeline_cogvideox import CogVideoXPipeline
    from diffusers.schedulers.scheduling_ddim_cogvideox import CogVideoXDDIMScheduler

    net = (
        {"num_attention_heads": 2, "attention_head_dim": 16, "num_layers": 2, "text_embed_dim": 32,
         "time_embed_dim": 8} if TINY else {"num_attention_heads": 48, "num_layers": 42}
    )  # fmt: skip
    vae = {"block_out_channels": (32,) * 4, "layers_per_block": 1} if TINY else {}
    vae |= {
        "down_block_types": ("CogVideoXDownBlock3D",) * 4,
        "up_block_types": ("CogVideoXUpBlock3D",) * 4,
        "scaling_factor": 0.7,
    }
    return CogVideoXPipeline(
        transformer=filled(
            lambda: CogVideoXTransformer3DModel(use_rotary_positional_embeddings=True, **net), placement, 1
        ),
        vae=filled(lambda: AutoencoderKLCogVideoX(**vae), placement, 2),
        text_encoder=filled(t5_encoder, placement, 3),
        tokenizer=byte_tokenizer(226),
        scheduler=CogVideoXDDIMScheduler(),
    )


FAMILIES: dict[str, Any] = {"mochi-1": RandomMochi, "cogvideox-5b": RandomCogVideoX}
