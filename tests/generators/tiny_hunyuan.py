"""Tiny random HunyuanVideo, text-to-video and image-to-video, saved by diffusers."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKLHunyuanVideo,
    FlowMatchEulerDiscreteScheduler,
    HunyuanVideoImageToVideoPipeline,
    HunyuanVideoPipeline,
    HunyuanVideoTransformer3DModel,
)
from diffusers.pipelines.hunyuan_video import pipeline_hunyuan_video, pipeline_hunyuan_video_image2video
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlamaModel,
    LlavaConfig,
    LlavaForConditionalGeneration,
    PreTrainedTokenizerFast,
)

from tests.generators.family import Family
from tests.generators.tiny_text import (
    byte_tokenizer,
    clip_image_processor,
    clip_text_encoder,
    clip_tokenizer,
)
from vitascope.task import ImageToVideo, TextToVideo

WIDTH = 16
_TEMPLATES = (
    pipeline_hunyuan_video.DEFAULT_PROMPT_TEMPLATE["template"],
    pipeline_hunyuan_video_image2video.DEFAULT_PROMPT_TEMPLATE["template"],
)


def llama_tokenizer() -> PreTrainedTokenizerFast:
    """One token for each special mark and each word of the prompt templates, and one a byte for the rest.

    The pipelines cut the template off at the token where LLaMA 3's tokenizer ends it; byte tokens alone would
    push the prompt out of the window.
    """
    specials = {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>", "pad_token": "<pad>"}
    tokenizer = byte_tokenizer(1024, specials, start="<|begin_of_text|>")
    marks = ["<|start_header_id|>", "<|end_header_id|>", "<image>", "\n\n"]
    # In lower case, as the tokenizer reads: of "The" and "the" it would take either, another one at each loading.
    words = sorted(
        {word.lower() for template in _TEMPLATES for word in re.findall(r"[A-Za-z]{3,}", template)}
    )
    tokenizer.add_tokens(marks, special_tokens=True)
    tokenizer.add_tokens(words)
    return tokenizer


def _llama_config() -> LlamaConfig:
    return LlamaConfig(
        vocab_size=512,
        hidden_size=WIDTH,
        intermediate_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        pad_token_id=2,
    )


def _llava(tokenizer: PreTrainedTokenizerFast) -> LlavaForConditionalGeneration:
    vision = CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=336,
        patch_size=14,
        projection_dim=16,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=_llama_config(),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        pad_token_id=2,
    )
    return LlavaForConditionalGeneration(config).eval()


def _transformer(in_channels: int, image_condition: str | None = None) -> HunyuanVideoTransformer3DModel:
    return HunyuanVideoTransformer3DModel(
        in_channels=in_channels,
        out_channels=4,
        num_attention_heads=2,
        attention_head_dim=16,
        num_layers=1,
        num_single_layers=1,
        num_refiner_layers=1,
        guidance_embeds=image_condition != "latent_concat",
        text_embed_dim=WIDTH,
        pooled_projection_dim=32,
        rope_axes_dim=(4, 6, 6),
        image_condition_type=image_condition,
    )


def _vae() -> AutoencoderKLHunyuanVideo:
    return AutoencoderKLHunyuanVideo(
        latent_channels=4, block_out_channels=(8, 8, 8, 8), layers_per_block=1, norm_num_groups=4
    )


def save_hunyuan(folder: Path) -> Path:
    """Write a folder that `HunyuanVideoPipeline.from_pretrained` reads."""
    torch.manual_seed(0)
    HunyuanVideoPipeline(
        text_encoder=LlamaModel(_llama_config()).eval(),
        tokenizer=llama_tokenizer(),
        transformer=_transformer(4),
        vae=_vae(),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=7.0),
        text_encoder_2=clip_text_encoder(),
        tokenizer_2=clip_tokenizer(),
    ).save_pretrained(folder)
    return folder


def save_hunyuan_image_to_video(folder: Path) -> Path:
    """Write a folder as of the first checkpoint: the picture's latents beside those of the clip."""
    torch.manual_seed(0)
    return _save_image_to_video(folder, _transformer(2 * 4 + 1, "latent_concat"))


def save_hunyuan_token_replace(folder: Path) -> Path:
    """Write a folder as of the later checkpoint: the picture's latents in the place of the first frame's."""
    torch.manual_seed(0)
    return _save_image_to_video(folder, _transformer(4, "token_replace"))


def _save_image_to_video(folder: Path, transformer: HunyuanVideoTransformer3DModel) -> Path:
    tokenizer = llama_tokenizer()
    HunyuanVideoImageToVideoPipeline(
        text_encoder=_llava(tokenizer),
        tokenizer=tokenizer,
        transformer=transformer,
        vae=_vae(),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=7.0),
        text_encoder_2=clip_text_encoder(),
        tokenizer_2=clip_tokenizer(),
        image_processor=clip_image_processor(336),
    ).save_pretrained(folder)
    return folder


FAMILIES = (
    Family("hunyuan", save_hunyuan, TextToVideo, (32, 32), 5),
    Family("hunyuan", save_hunyuan_image_to_video, ImageToVideo, (32, 32), 5),
)
