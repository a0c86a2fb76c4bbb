"""Tiny random text and image encoders with tokenizers that tell every prompt from every other."""

from __future__ import annotations

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import (
    CLIPImageProcessorPil,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    PreTrainedTokenizerFast,
    T5Config,
    T5EncoderModel,
    UMT5Config,
    UMT5EncoderModel,
)

# Bytes as tokens: no vocabulary to train, no unknown word.
_BYTES = sorted(pre_tokenizers.ByteLevel.alphabet())


def byte_tokenizer(
    max_length: int, specials: dict[str, str], start: str | None = None
) -> PreTrainedTokenizerFast:
    """A tokenizer with one token a byte; `specials` by role, of which `eos_token` ends each text."""
    names = list(dict.fromkeys(specials.values()))
    vocabulary = {token: index for index, token in enumerate([*names, *_BYTES])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    end = specials["eos_token"]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}" if start else f"$A {end}",
        special_tokens=[(name, vocabulary[name]) for name in names],
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=max_length, **specials)


def t5_tokenizer(max_length: int = 256) -> PreTrainedTokenizerFast:
    """Pads with 0 and ends with 1, as T5 does."""
    return byte_tokenizer(max_length, {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"})


def clip_tokenizer(max_length: int = 77) -> PreTrainedTokenizerFast:
    """Starts, ends and pads as CLIP does."""
    start, end = "<|startoftext|>", "<|endoftext|>"
    specials = {"bos_token": start, "eos_token": end, "pad_token": end, "unk_token": end}
    return byte_tokenizer(max_length, specials, start)


def t5_encoder(width: int = 32) -> T5EncoderModel:
    """A T5 encoder of one layer."""
    config = T5Config(vocab_size=320, d_model=width, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
    return T5EncoderModel(config).eval()


def umt5_encoder(width: int = 32) -> UMT5EncoderModel:
    """A UMT5 encoder of one layer."""
    config = UMT5Config(vocab_size=320, d_model=width, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
    return UMT5EncoderModel(config).eval()


def clip_text_encoder(width: int = 32, num_layers: int = 2) -> CLIPTextModel:
    """A CLIP text encoder."""
    config = CLIPTextConfig(
        vocab_size=320,
        hidden_size=width,
        intermediate_size=32,
        num_hidden_layers=num_layers,
        num_attention_heads=4,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    return CLIPTextModel(config).eval()


def clip_image_encoder(width: int = 32, size: int = 32, patch_size: int = 8) -> CLIPVisionModelWithProjection:
    """A CLIP image encoder of one layer."""
    config = CLIPVisionConfig(
        hidden_size=32,
        projection_dim=width,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=4,
        image_size=size,
        patch_size=patch_size,
    )
    return CLIPVisionModelWithProjection(config).eval()


def clip_image_processor(size: int = 32) -> CLIPImageProcessorPil:
    """Crops and scales pictures for `clip_image_encoder`."""
    return CLIPImageProcessorPil(crop_size=size, size={"shortest_edge": size})
