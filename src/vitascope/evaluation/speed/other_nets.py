"""Denoisers and VAEs of Wan, SkyReels-V2, HunyuanVideo and LTX-Video at their published size, drawn at random.

Their text encoders are not drawn, so steps and decodes can be timed, not whole clips.
"""

from __future__ import annotations

from typing import Any

WAN_14B = {"num_attention_heads": 40, "ffn_dim": 13824, "num_layers": 40}
WAN_1_3B = {"num_attention_heads": 12, "ffn_dim": 8960, "num_layers": 30}
TINY_WIDTH = 32  # of the text


def wan(tiny: bool, cls: str = "WanTransformer3DModel", /, **config: Any) -> dict[str, Any]:
    """Wan 2.1 (14B if nothing else is said) or what is built alike, its VAE in float32 as diffusers advises."""
    import diffusers
    from diffusers import AutoencoderKLWan

    net = {"text_dim": 4096, **WAN_14B, **config}
    vae: dict[str, Any] = {}
    if tiny:
        net = {"num_attention_heads": 2, "attention_head_dim": 16, "num_layers": 3, "ffn_dim": 32}
        net |= {"text_dim": TINY_WIDTH, "freq_dim": 16, "rope_max_seq_len": 32}
        vae = {"base_dim": 4, "num_res_blocks": 1}
    transformer = _as_loaded(getattr(diffusers, cls)(**net))
    autoencoder: Any = AutoencoderKLWan(**vae)
    return {"transformer": transformer, "vae": autoencoder.float()}


def wan_small(tiny: bool) -> dict[str, Any]:
    """Wan 2.1 of 1.3 billion parameters."""
    return wan(tiny, **WAN_1_3B)


def skyreels(tiny: bool) -> dict[str, Any]:
    """SkyReels-V2 of 14 billion parameters."""
    return wan(tiny, "SkyReelsV2Transformer3DModel")


def hunyuan(tiny: bool) -> dict[str, Any]:
    """HunyuanVideo 1.0."""
    from diffusers import AutoencoderKLHunyuanVideo, HunyuanVideoTransformer3DModel

    net: dict[str, Any] = {"guidance_embeds": True, "num_layers": 20, "num_single_layers": 40}
    vae: dict[str, Any] = {}
    if tiny:
        net |= {"num_attention_heads": 2, "attention_head_dim": 16, "num_layers": 2, "num_single_layers": 2}
        net |= {"text_embed_dim": TINY_WIDTH, "pooled_projection_dim": 8, "rope_axes_dim": (4, 6, 6)}
        net |= {"num_refiner_layers": 1}
        vae = {"block_out_channels": (8,) * 4, "norm_num_groups": 4, "layers_per_block": 1}
    return {
        "transformer": _as_loaded(HunyuanVideoTransformer3DModel(**net)),
        "vae": AutoencoderKLHunyuanVideo(**vae),
    }


def hunyuan15(tiny: bool) -> dict[str, Any]:
    """HunyuanVideo 1.5 at 480p, text to video."""
    from diffusers import AutoencoderKLHunyuanVideo15, HunyuanVideo15Transformer3DModel

    net: dict[str, Any] = {"target_size": 640, "task_type": "t2v"}
    vae: dict[str, Any] = {}
    if tiny:
        net |= {"num_attention_heads": 2, "attention_head_dim": 16, "num_layers": 3, "num_refiner_layers": 1}
        net |= {"in_channels": 9, "out_channels": 4, "rope_axes_dim": (4, 6, 6), "image_embed_dim": 16}
        net |= {"text_embed_dim": TINY_WIDTH, "text_embed_2_dim": TINY_WIDTH}
        vae = {"latent_channels": 4, "block_out_channels": (8,) * 5, "layers_per_block": 1}
    return {
        "transformer": _as_loaded(HunyuanVideo15Transformer3DModel(**net)),
        "vae": AutoencoderKLHunyuanVideo15(**vae),
    }


def ltx(tiny: bool) -> dict[str, Any]:
    """LTX-Video 0.9."""
    from diffusers import AutoencoderKLLTXVideo, LTXVideoTransformer3DModel

    net: dict[str, Any] = {}
    vae: dict[str, Any] = {}
    if tiny:
        net = {"num_attention_heads": 2, "attention_head_dim": 16, "num_layers": 3, "cross_attention_dim": 32}
        net |= {"caption_channels": TINY_WIDTH, "in_channels": 8, "out_channels": 8}
        vae = {"block_out_channels": (8,) * 4, "latent_channels": 8, "layers_per_block": (1,) * 5}
    return {
        "transformer": _as_loaded(LTXVideoTransformer3DModel(**net)),
        "vae": AutoencoderKLLTXVideo(**vae),
    }


def _as_loaded(transformer: Any) -> Any:
    """The parts that diffusers keeps in float32 when it loads weights in another dtype."""
    kept = type(transformer)._keep_in_fp32_modules or ()
    for name, parameter in transformer.named_parameters():
        if any(part in name.split(".") for part in kept):
            parameter.data = parameter.data.float()
    return transformer
