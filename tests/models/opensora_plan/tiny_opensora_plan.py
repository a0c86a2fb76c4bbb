"""Open-Sora-Plan 1.2 and 1.3 with random weights, small enough for a second on one core."""

from __future__ import annotations

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import MT5Config, MT5EncoderModel, PreTrainedTokenizerFast

from tests.models.wf_vae.tiny_wf_vae import tiny_wf_vae
from vitascope.models.opensora_plan.causal_autoencoder import AutoencoderKLCausalVideo
from vitascope.models.opensora_plan.pipeline import OpenSoraPlanPipeline
from vitascope.models.opensora_plan.releases import RELEASES
from vitascope.models.opensora_plan.transformer import OpenSoraPlanTransformer3DModel
from vitascope.models.wf_vae import AutoencoderKLWFVAE

WORDS = [
    "a",
    "red",
    "blue",
    "ball",
    "cat",
    "rolls",
    "runs",
    "high",
    "quality",
    "masterpiece",
    "lowres",
    "blurry",
]
SIZE = {"height": 32, "width": 48, "num_frames": 5, "num_inference_steps": 2, "output_type": "pt"}
LATENT_CHANNELS = 4


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    vocabulary = {word: index for index, word in enumerate(["<pad>", "</s>", "<unk>", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )


def tiny_text_encoder() -> MT5EncoderModel:
    sizes = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 1, "num_heads": 4}
    return MT5EncoderModel(MT5Config(vocab_size=len(WORDS) + 3, **sizes)).eval()


def tiny_transformer(release: str = "1.3", **changes) -> OpenSoraPlanTransformer3DModel:
    sizes = {
        "num_attention_heads": 2,
        "attention_head_dim": 24,
        "num_layers": 4,
        "cross_attention_dim": 48,
        "caption_channels": 32,
        "in_channels": LATENT_CHANNELS,
        "out_channels": LATENT_CHANNELS,
        "sample_height": 4,
        "sample_width": 6,
        "sample_frames": 2,
        "sparse_stride": 4 if release == "1.3" else 1,
    }
    return OpenSoraPlanTransformer3DModel(**{**sizes, **changes}).eval()


def tiny_vae(release: str = "1.3") -> AutoencoderKLWFVAE | AutoencoderKLCausalVideo:
    if release == "1.2":
        return AutoencoderKLCausalVideo(
            hidden_size=32, hidden_size_mult=(1, 1, 1, 1), num_res_blocks=1
        ).eval()
    return tiny_wf_vae()


def tiny_pipeline(release: str = "1.3", *, inpainting: bool = False) -> OpenSoraPlanPipeline:
    torch.manual_seed(0)
    in_channels = 2 * LATENT_CHANNELS + 4 if inpainting else LATENT_CHANNELS
    pipeline = OpenSoraPlanPipeline(
        tiny_tokenizer(),
        tiny_text_encoder(),
        tiny_vae(release),
        tiny_transformer(release, in_channels=in_channels),
        RELEASES[release].new_scheduler(inpainting=inpainting),
        release,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
