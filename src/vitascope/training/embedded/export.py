"""Write trained parts as a folder that diffusers' CogVideoX pipelines load, and try it out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from diffusers import (
    AutoencoderKLCogVideoX,
    CogVideoXImageToVideoPipeline,
    CogVideoXPipeline,
    CogVideoXTransformer3DModel,
)
from torch import Tensor
from transformers import T5EncoderModel

from vitascope.toyworld.renderer import FPS
from vitascope.training.embedded.architecture import MAX_TEXT, NUM_FRAMES, SIZE, new_scheduler
from vitascope.training.embedded.tokenizer import new_tokenizer

SproutPipeline = CogVideoXPipeline | CogVideoXImageToVideoPipeline


def assemble(
    vae: AutoencoderKLCogVideoX, transformer: CogVideoXTransformer3DModel, text_encoder: T5EncoderModel
) -> SproutPipeline:
    """A pipeline from its trained parts: from text, or from a picture if the transformer reads one."""
    from_picture = transformer.config.in_channels == 2 * vae.config.latent_channels
    kind = CogVideoXImageToVideoPipeline if from_picture else CogVideoXPipeline
    pipe = kind(new_tokenizer(), text_encoder, vae, transformer, new_scheduler())
    pipe.set_progress_bar_config(disable=True)
    return pipe


@torch.no_grad()
def generate(
    pipe: SproutPipeline,
    prompts: Sequence[str],
    steps: int = 20,
    guidance_scale: float = 4.0,
    seed: int = 0,
    batch: int = 32,
    pictures: Tensor | None = None,
) -> Tensor:
    """Clips for prompts (and byte pictures (B, H, W, 3)), the n-th always from the same noise.

    Shape: bytes (B, T, H, W, 3).
    """
    clips = []
    for start in range(0, len(prompts), batch):
        part = list(prompts[start : start + batch])
        generators = [torch.Generator("cpu").manual_seed(seed + start + i) for i in range(len(part))]
        given = {}
        if pictures is not None:
            given["image"] = pictures[start : start + batch].permute(0, 3, 1, 2).float() / 255
        video = cast(Any, pipe)(
            prompt=part,
            **given,
            num_frames=NUM_FRAMES,  # from a picture diffusers would make 49
            num_inference_steps=steps,
            guidance_scale=guidance_scale,
            generator=generators,
            output_type="pt",
            max_sequence_length=MAX_TEXT,
        ).frames
        clips.append((video.permute(0, 1, 3, 4, 2).float() * 255).round().clamp(0, 255).byte().cpu())
    return torch.cat(clips)


SETTINGS = {
    "num_inference_steps": 16,
    "guidance_scale": 4.0,
    "fps": FPS,
    "max_width": SIZE,
    "max_height": SIZE,
}
"""What Vitascope should know of the model beside diffusers' files; written as vitascope.json."""


def export(pipe: SproutPipeline, folder: Path) -> None:
    """Save in half precision, in diffusers' layout."""
    for part in (pipe.vae, pipe.transformer, pipe.text_encoder):
        part.to(torch.float16)
    pipe.save_pretrained(folder)
    (folder / "vitascope.json").write_text(json.dumps(SETTINGS | {"max_frames": NUM_FRAMES}, indent=2) + "\n")
