"""Published models at their real size with random weights: time and memory do not depend on the values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vitascope.errors import UnknownName
from vitascope.evaluation.speed import other_nets
from vitascope.generators import GENERATORS
from vitascope.generators.base import Generator
from vitascope.task import Task, TextToVideo

PROMPT = "a red fox runs through deep snow under tall pines at dawn, seen from the side, the camera follows"
# T5 v1.1 XXL's encoder, which both models read their prompts with.
T5_XXL = {
    "vocab_size": 32128,
    "d_model": 4096,
    "d_kv": 64,
    "d_ff": 10240,
    "num_layers": 24,
    "num_heads": 64,
    "feed_forward_proj": "gated-gelu",
}
T5_TINY = {"vocab_size": 320, "d_model": 32, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2}


@dataclass(frozen=True)
class BenchModel:
    """A model that can be timed: its generator, the task of its published size, and how it is built."""

    name: str
    generator: str
    model: str
    width: int
    height: int
    num_frames: int
    text_length: int
    build: Callable[[bool], dict[str, Any]]  # whether tiny -> components but the text encoder and tokenizer
    pipeline: str
    text_width: int = 0  # where no text encoder is drawn
    tiled_as_is: bool = False  # whether diffusers decodes in tiles: whole, it has no room on an 80 GB card
    tiny_frames: int = 9

    def item(self, num_steps: int) -> Generator:
        """The generator that makes the clip."""
        return GENERATORS[self.generator].with_knobs(model=self.model, num_inference_steps=num_steps)

    def task(self, tiny: bool) -> TextToVideo:
        """The clip that is timed; tiny is the smallest one that goes through every part."""
        width, height = (64, 32) if tiny else (self.width, self.height)
        frames = self.tiny_frames if tiny else self.num_frames
        return TextToVideo.of(prompt=PROMPT, width=width, height=height, num_frames=frames, seed=1)


def _mochi(tiny: bool) -> dict[str, Any]:
    from diffusers import AutoencoderKLMochi, FlowMatchEulerDiscreteScheduler, MochiTransformer3DModel

    net: dict[str, Any] = {}
    vae: dict[str, Any] = {}
    if tiny:
        net = {
            "num_attention_heads": 2,
            "attention_head_dim": 16,
            "num_layers": 4,
            "pooled_projection_dim": 16,
        }
        net |= {"text_embed_dim": 32, "time_embed_dim": 16}
        vae = {"encoder_block_out_channels": (32,) * 4, "decoder_block_out_channels": (32,) * 4}
        vae |= {"layers_per_block": (1,) * 5}
    transformer: Any = MochiTransformer3DModel(**net)
    transformer.pos_frequencies.data.normal_()
    return {
        "transformer": transformer,
        "vae": AutoencoderKLMochi(**vae),
        "scheduler": FlowMatchEulerDiscreteScheduler(invert_sigmas=True),
        "force_zeros_for_empty_prompt": True,
    }


def _cogvideox(tiny: bool) -> dict[str, Any]:
    from diffusers import AutoencoderKLCogVideoX, CogVideoXDDIMScheduler, CogVideoXTransformer3DModel

    net: dict[str, Any] = {"num_attention_heads": 48, "num_layers": 42}
    vae: dict[str, Any] = {
        "block_out_channels": (128, 256, 256, 512),
        "layers_per_block": 3,
        "latent_channels": 16,
        "scaling_factor": 0.7,
    }
    if tiny:
        net = {"num_attention_heads": 2, "attention_head_dim": 16, "num_layers": 4, "text_embed_dim": 32}
        net |= {"in_channels": 4, "out_channels": 4, "time_embed_dim": 8}
        net |= {"sample_width": 8, "sample_height": 4, "sample_frames": 9}
        vae = {
            "block_out_channels": (8,) * 4,
            "layers_per_block": 1,
            "norm_num_groups": 2,
            "latent_channels": 4,
        }
        vae |= {"sample_height": 32, "sample_width": 64, "scaling_factor": 0.7}
    return {
        "transformer": CogVideoXTransformer3DModel(use_rotary_positional_embeddings=True, **net),
        "vae": AutoencoderKLCogVideoX(**vae),
        "scheduler": CogVideoXDDIMScheduler(prediction_type="v_prediction", timestep_spacing="trailing"),
    }


def _parts_alone(
    generator: str,
    model: str,
    size: tuple[int, int, int],
    text_length: int,
    build: Callable[[bool], dict[str, Any]],
) -> BenchModel:
    """A model whose text encoder is not drawn: its clips are not timed."""
    tiled = generator.startswith("hunyuan")
    return BenchModel(
        model, generator, model, *size, text_length, build, pipeline="", text_width=4096, tiled_as_is=tiled
    )


MODELS = {
    "mochi": BenchModel(
        "mochi",
        "mochi",
        "mochi-1",
        848,
        480,
        163,
        256,
        _mochi,
        "diffusers.pipelines.mochi.pipeline_mochi:MochiPipeline",
        tiled_as_is=True,
        tiny_frames=13,
    ),
    "cogvideox-5b": BenchModel(
        "cogvideox-5b",
        "cogvideox",
        "cogvideox-5b",
        720,
        480,
        49,
        226,
        _cogvideox,
        "diffusers.pipelines.cogvideo.pipeline_cogvideox:CogVideoXPipeline",
    ),
    "wan2.1-t2v-1.3b": _parts_alone("wan", "wan2.1-t2v-1.3b", (832, 480, 81), 512, other_nets.wan_small),
    "wan2.1-t2v-14b": _parts_alone("wan", "wan2.1-t2v-14b", (1280, 720, 81), 512, other_nets.wan),
    "skyreels-v2-t2v-14b-540p": _parts_alone(
        "skyreels-v2", "skyreels-v2-t2v-14b-540p", (960, 544, 97), 512, other_nets.skyreels
    ),
    "hunyuan-video": _parts_alone("hunyuan", "hunyuan-video", (1280, 720, 129), 256, other_nets.hunyuan),
    "hunyuan-video-1.5-480p-t2v": _parts_alone(
        "hunyuan15", "hunyuan-video-1.5-480p-t2v", (848, 480, 121), 1000, other_nets.hunyuan15
    ),
    "ltx-video": _parts_alone("ltx", "ltx-video", (768, 512, 121), 128, other_nets.ltx),
}


def find(name: str) -> BenchModel:
    """The model called `name`, here or by its generator. Raises: UnknownName."""
    found = MODELS.get(name) or next((model for model in MODELS.values() if model.model == name), None)
    if found is None:
        raise UnknownName("model to time", name, MODELS, param="model")
    return found


def components(model: BenchModel, device: str, dtype: Any, tiny: bool = False) -> dict[str, Any]:
    """All parts of the model's pipeline, drawn at random on `device`; the same ones every time."""
    import torch
    from transformers import T5Config, T5EncoderModel

    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            parts = model.build(tiny)
            if model.pipeline:
                parts["text_encoder"] = T5EncoderModel(T5Config(**(T5_TINY if tiny else T5_XXL)))
    finally:
        torch.set_default_dtype(before)
    for part in parts.values():
        if isinstance(part, torch.nn.Module):
            part.eval().requires_grad_(False)
    return {**parts, "tokenizer": _tokenizer()}


def _tokenizer() -> Any:
    """Bytes as tokens: T5's vocabulary is not here, and any ids cost the same."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    names = ["<pad>", "</s>", "<unk>"]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate([*names, *letters])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", vocabulary["</s>"])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=256,
    )


def sharing_weights(module: Any) -> Any:
    """A second module of the same class on the same weights, to change without changing the first."""
    import torch

    with torch.device("meta"):
        copy = type(module).from_config(module.config)
    copy.load_state_dict(module.state_dict(), assign=True)
    for name, buffer in module.named_buffers():  # those that are not saved, such as tables of angles
        copy.get_submodule(name.rpartition(".")[0])._buffers[name.rpartition(".")[2]] = buffer
    return copy.eval().requires_grad_(False)


def latent_shape(vae: Any, task: Task) -> tuple[int, int, int, int]:
    """The latents of one clip. Shape: (c, t, h, w)."""
    assert task.width and task.height and task.num_frames, "complete() fills these in"
    width, height, num_frames = task.width, task.height, task.num_frames
    if hasattr(vae, "spatial_compression_ratio"):
        space = vae.spatial_compression_ratio
        frames = getattr(vae, "temporal_compression_ratio", None) or vae.config.scale_factor_temporal
    else:
        space, frames = (
            2 ** (len(vae.config.block_out_channels) - 1),
            int(vae.config.temporal_compression_ratio),
        )
    channels = vae.config.get("latent_channels") or vae.config.z_dim
    return channels, (num_frames - 1) // frames + 1, height // space, width // space
