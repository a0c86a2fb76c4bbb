"""Which denoisers the faster parts know, and where their repeated blocks are.

A family is known once it has a row here and one in `attention_processors.FAMILIES`; its large linears are found by
their names in `quantize`.
"""

from __future__ import annotations

from typing import Any

# diffusers' class -> its lists of blocks, in the order in which they run.
BLOCKS: dict[str, tuple[str, ...]] = {
    "MochiTransformer3DModel": ("transformer_blocks",),
    "CogVideoXTransformer3DModel": ("transformer_blocks",),
    "WanTransformer3DModel": ("blocks",),
    "WanVACETransformer3DModel": ("vace_blocks", "blocks"),
    "SkyReelsV2Transformer3DModel": ("blocks",),
    "HunyuanVideoTransformer3DModel": ("transformer_blocks", "single_transformer_blocks"),
    "HunyuanVideo15Transformer3DModel": ("transformer_blocks",),
    "LTXVideoTransformer3DModel": ("transformer_blocks",),
}


def blocks_of(denoiser: Any) -> list[Any]:
    """All repeated blocks of a known denoiser, in the order in which they run."""
    return [block for name in BLOCKS[type(denoiser).__name__] for block in getattr(denoiser, name)]


def denoiser_names(pipeline: Any, first: str = "transformer") -> list[str]:
    """The components that denoise: one, or two where an expert takes the late steps (Wan 2.2)."""
    second = f"{first}_2"
    return [first, second] if getattr(pipeline, second, None) is not None else [first]


def denoisers_of(pipeline: Any) -> list[Any]:
    """The transformers that denoise; none where a U-Net does, which has no lever."""
    networks = (getattr(pipeline, name, None) for name in denoiser_names(pipeline))
    return [network for network in networks if network is not None]
