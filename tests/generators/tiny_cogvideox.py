"""Tiny CogVideoX models with random weights, saved by diffusers, for tests."""

from pathlib import Path

import torch

from tests.generators.family import Family
from vitascope.task import VideoToVideo

WORDS = [
    "a",
    "red",
    "blue",
    "green",
    "ball",
    "star",
    "fish",
    "moving",
    "to",
    "the",
    "left",
    "right",
    "person",
]
NET = {
    "num_attention_heads": 2,
    "attention_head_dim": 16,
    "in_channels": 4,
    "out_channels": 4,
    "time_embed_dim": 8,
    "text_embed_dim": 16,
    "num_layers": 2,
    "sample_width": 4,
    "sample_height": 4,
    "sample_frames": 9,
    "max_text_seq_length": 12,
}
VARIANTS = {
    "2b": {},
    "5b": {"use_rotary_positional_embeddings": True},
    "5b-i2v": {
        "use_rotary_positional_embeddings": True,
        "use_learned_positional_embeddings": True,
        "in_channels": 8,
    },
    "1.5": {
        "use_rotary_positional_embeddings": True,
        "patch_size_t": 2,
        "sample_frames": 17,
        "patch_bias": False,
    },
    "1.5-i2v": {
        "use_rotary_positional_embeddings": True,
        "patch_size_t": 2,
        "sample_frames": 17,
        "in_channels": 8,
        "ofs_embed_dim": 8,
        "patch_bias": False,
    },
}


def tokenizer():
    """Word by word, lower case, unknown words known as such."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: index for index, word in enumerate(["<pad>", "</s>", "<unk>", *WORDS])}
    fast = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    fast.normalizer = normalizers.Lowercase()
    fast.pre_tokenizer = pre_tokenizers.Whitespace()
    fast.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=fast, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=512
    )


def text_encoder(width=16):
    from transformers import T5Config, T5EncoderModel

    config = T5Config(vocab_size=len(WORDS) + 3, d_model=width, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    return T5EncoderModel(config)


def vae():
    from diffusers.models.autoencoders.autoencoder_kl_cogvideox import AutoencoderKLCogVideoX

    return AutoencoderKLCogVideoX(
        block_out_channels=(8, 8, 8, 8),
        layers_per_block=1,
        norm_num_groups=2,
        latent_channels=4,
        sample_height=32,
        sample_width=32,
        scaling_factor=0.7,
    )


def transformer(variant="2b", **changes):
    from diffusers.models.transformers.cogvideox_transformer_3d import CogVideoXTransformer3DModel

    net = CogVideoXTransformer3DModel(**{**NET, **VARIANTS[variant], **changes})
    torch.nn.init.normal_(net.proj_out.weight, std=0.5)  # so that text and seed show in the pixels
    return net


def scheduler(**changes):
    from diffusers.schedulers.scheduling_ddim_cogvideox import CogVideoXDDIMScheduler

    settings = {
        "prediction_type": "v_prediction",
        "timestep_spacing": "trailing",
        "rescale_betas_zero_snr": True,
        "snr_shift_scale": 1.0,
        "clip_sample": False,
    }
    return CogVideoXDDIMScheduler(**{**settings, **changes})


def save_fun_control(folder: Path) -> Path:
    """Save a CogVideoX-Fun Control: its transformer reads a control clip's latents beside the noise."""
    from diffusers.pipelines.cogvideo.pipeline_cogvideox_fun_control import CogVideoXFunControlPipeline

    torch.manual_seed(0)
    parts = {"tokenizer": tokenizer(), "text_encoder": text_encoder(), "vae": vae(), "scheduler": scheduler()}
    net = transformer("5b", in_channels=8)
    CogVideoXFunControlPipeline(transformer=net, **parts).save_pretrained(folder)
    return folder


def save(folder: Path, variant="2b", **changes) -> Path:
    """Save a model of this variant into `folder`, with names as the published models have them."""
    from diffusers.pipelines.cogvideo.pipeline_cogvideox import CogVideoXPipeline
    from diffusers.pipelines.cogvideo.pipeline_cogvideox_image2video import CogVideoXImageToVideoPipeline

    torch.manual_seed(0)
    cls = CogVideoXImageToVideoPipeline if variant.endswith("i2v") else CogVideoXPipeline
    parts = {"tokenizer": tokenizer(), "text_encoder": text_encoder(), "vae": vae(), "scheduler": scheduler()}
    cls(transformer=transformer(variant, **changes), **parts).save_pretrained(folder)
    return folder


FAMILIES = (Family("cogvideox-fun-control", save_fun_control, VideoToVideo, (32, 32), 9),)
