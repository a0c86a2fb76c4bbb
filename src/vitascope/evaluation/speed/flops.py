"""The arithmetic that a denoising step cannot do without, and the time it takes at a card's full rate."""

from __future__ import annotations

from typing import Any

from vitascope.engine.denoisers import blocks_of

# Dense bf16, tensor cores, as measured with large products on an H100 SXM here; a card not named has no floor.
PEAK_TFLOPS = {"NVIDIA H100 80GB HBM3": 790.0, "NVIDIA H200": 790.0}


def step_flops(transformer: Any, num_video: int, text_tokens: tuple[int, ...], padded_text: int) -> float:
    """Multiplications and additions of one step with guidance: linears of the blocks, and attention.

    `text_tokens` has the valid tokens of each sample, `padded_text` the length they are padded to.
    """
    blocks = blocks_of(transformer)
    total = 0.0
    for block, name, module in ((b, n, m) for b in blocks for n, m in b.named_modules()):
        if not hasattr(module, "in_features") or name.startswith("norm"):
            continue
        only_text = any(part in name for part in ("add", "context", "attn2.to_k", "attn2.to_v"))
        joint = (
            type(transformer).__name__ == "CogVideoXTransformer3DModel" or "Single" in type(block).__name__
        )
        tokens = padded_text if only_text else num_video + (padded_text if joint else 0)
        total += 2.0 * module.in_features * module.out_features * tokens * len(text_tokens)
    width = transformer.config.num_attention_heads * transformer.config.attention_head_dim
    apart = hasattr(blocks[0], "attn2")  # video to itself, then to the text
    pairs = (num_video * (num_video + text) if apart else (num_video + text) ** 2 for text in text_tokens)
    return total + sum(4.0 * each * width for each in pairs) * len(blocks)


def floor_seconds(flops: float, gpu: str) -> float | None:
    """The least time for `flops` in bf16 on this card; None for a card whose rate is not known here."""
    peak = PEAK_TFLOPS.get(gpu)
    return None if peak is None else flops / peak / 1e12
