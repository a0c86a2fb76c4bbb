"""Tiny random HunyuanVideo 1.5, text-to-video and image-to-video, saved by diffusers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKLHunyuanVideo15,
    ClassifierFreeGuidance,
    FlowMatchEulerDiscreteScheduler,
    HunyuanVideo15ImageToVideoPipeline,
    HunyuanVideo15Pipeline,
    HunyuanVideo15Transformer3DModel,
)
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2_5_VLTextConfig,
    Qwen2_5_VLTextModel,
    SiglipImageProcessorPil,
    SiglipVisionConfig,
    SiglipVisionModel,
)

from tests.generators.family import Family
from tests.generators.tiny_text import byte_tokenizer, t5_encoder, t5_tokenizer
from vitascope.task import ImageToVideo, TextToVideo

WIDTH, GLYPH_WIDTH, VISION_WIDTH = 16, 32, 16
CHAT = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "<|im_start|>assistant\n"
)


def qwen_tokenizer() -> PreTrainedTokenizerFast:
    """One token a byte, with a chat template as Qwen has it."""
    specials = {"eos_token": "<|im_end|>", "pad_token": "<pad>", "bos_token": "<|im_start|>"}
    tokenizer = byte_tokenizer(2048, specials)
    tokenizer.padding_side = "right"
    tokenizer.chat_template = CHAT
    return tokenizer


def qwen_encoder(width: int = WIDTH, num_heads: int = 2) -> Qwen2_5_VLTextModel:
    """A Qwen2.5-VL text model of three layers: the pipelines read the one before the last two."""
    quarter = width // num_heads // 8
    sections = [quarter, quarter, 2 * quarter]
    config = Qwen2_5_VLTextConfig(
        vocab_size=320,
        hidden_size=width,
        intermediate_size=16,
        num_hidden_layers=3,
        num_attention_heads=num_heads,
        num_key_value_heads=2,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6, "mrope_section": sections},
    )
    return Qwen2_5_VLTextModel(config).eval()


def _parts(task_type: str) -> dict[str, Any]:
    transformer = HunyuanVideo15Transformer3DModel(
        in_channels=2 * 4 + 1,
        out_channels=4,
        num_attention_heads=2,
        attention_head_dim=16,
        num_layers=1,
        num_refiner_layers=1,
        text_embed_dim=WIDTH,
        text_embed_2_dim=GLYPH_WIDTH,
        image_embed_dim=VISION_WIDTH,
        rope_axes_dim=(4, 6, 6),
        task_type=task_type,
    )
    vae = AutoencoderKLHunyuanVideo15(
        latent_channels=4, block_out_channels=(32, 32, 32, 32, 32), layers_per_block=1
    )
    return {
        "text_encoder": qwen_encoder(),
        "tokenizer": qwen_tokenizer(),
        "transformer": transformer,
        "vae": vae,
        "scheduler": FlowMatchEulerDiscreteScheduler(shift=5.0),
        "text_encoder_2": t5_encoder(GLYPH_WIDTH),
        "tokenizer_2": t5_tokenizer(),
        "guider": ClassifierFreeGuidance(guidance_scale=6.0),
    }


def save_hunyuan15(folder: Path) -> Path:
    """Write a folder that `HunyuanVideo15Pipeline.from_pretrained` reads."""
    torch.manual_seed(0)
    HunyuanVideo15Pipeline(**_parts("t2v")).save_pretrained(folder)
    return folder


def save_hunyuan15_image_to_video(folder: Path) -> Path:
    """Write a folder that `HunyuanVideo15ImageToVideoPipeline.from_pretrained` reads."""
    torch.manual_seed(0)
    vision = SiglipVisionConfig(
        hidden_size=VISION_WIDTH,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=28,
        patch_size=14,
    )
    HunyuanVideo15ImageToVideoPipeline(
        **_parts("i2v"),
        image_encoder=SiglipVisionModel(vision).eval(),
        feature_extractor=SiglipImageProcessorPil(size={"height": 28, "width": 28}),
    ).save_pretrained(folder)
    return folder


FAMILIES = (
    Family("hunyuan15", save_hunyuan15, TextToVideo, (32, 32), 5),
    Family("hunyuan15", save_hunyuan15_image_to_video, ImageToVideo, (32, 32), 5),
)
