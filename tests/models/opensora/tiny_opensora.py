"""A whole Open-Sora 1.2 with random weights, small enough for a second on one core."""

from __future__ import annotations

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel

from vitascope.models.opensora.autoencoder import AutoencoderKLOpenSora
from vitascope.models.opensora.pipeline import OpenSoraPipeline
from vitascope.models.opensora.scheduler import OpenSoraScheduler
from vitascope.models.opensora.stdit3 import STDiT3

WORDS = [
    "a",
    "red",
    "ball",
    "blue",
    "cat",
    "rolls",
    "runs",
    "on",
    "grass",
    "aesthetic",
    "score",
    ":",
    "6",
    ".",
    "5",
]
SIZE = {"height": 32, "width": 48, "num_frames": 17, "num_inference_steps": 2}


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    vocabulary = {word: index for index, word in enumerate(["<pad>", "</s>", "<unk>", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )


def tiny_text_encoder() -> T5EncoderModel:
    config = T5Config(
        vocab_size=len(WORDS) + 3,
        d_model=32,
        d_kv=8,
        d_ff=64,
        num_layers=1,
        num_heads=4,
        feed_forward_proj="gated-gelu",
    )
    return T5EncoderModel(config).eval()


def tiny_stdit3(**changes) -> STDiT3:
    sizes = {"num_attention_heads": 2, "attention_head_dim": 16, "num_layers": 2}
    return STDiT3(**{**sizes, "caption_channels": 32, "caption_length": 16, **changes}).eval()


def tiny_vae(width: int = 4, groups: int = 4) -> AutoencoderKLOpenSora:
    return AutoencoderKLOpenSora(
        spatial_block_out_channels=(width, width, width, width),
        spatial_layers_per_block=1,
        spatial_norm_num_groups=groups,
        temporal_block_out_channels=(width, width, width, width),
        temporal_layers_per_block=1,
        temporal_norm_num_groups=groups,
    ).eval()


def tiny_pipeline(seed: int = 0) -> OpenSoraPipeline:
    torch.manual_seed(seed)
    pipeline = OpenSoraPipeline(
        tiny_tokenizer(), tiny_text_encoder(), tiny_vae(), tiny_stdit3(), OpenSoraScheduler()
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
