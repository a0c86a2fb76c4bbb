"""Names in Tora's published SAT checkpoints -> those of diffusers' CogVideoX.

Source: diffusers, scripts/convert_cogvideox_to_diffusers.py (the mapping of CogVideoX); alibaba/Tora at 9a23dce,
`sat/dit_video_concat.py` (what Tora adds). Both Apache-2.0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

PREFIX = "model.diffusion_model."
MARK = "mixins.adaln_layer.fuser_list."

# A checkpoint's name below PREFIX -> ours, where the tensor stays as it is.
_RENAMED = tuple(
    (re.compile(f"^{pattern}$"), ours)
    for pattern, ours in (
        (r"(traj_extractor\..+)", r"\1"),
        (r"mixins\.adaln_layer\.fuser_list\.(.+)", r"fuser.\1"),
        (r"time_embed\.0\.(.+)", r"time_embedding.linear_1.\1"),
        (r"time_embed\.2\.(.+)", r"time_embedding.linear_2.\1"),
        (r"mixins\.patch_embed\.(.+)", r"patch_embed.\1"),
        (r"mixins\.pos_embed\.pos_embedding", r"patch_embed.pos_embedding"),
        (r"mixins\.final_layer\.norm_final\.(.+)", r"norm_out.norm.\1"),
        (r"mixins\.final_layer\.linear\.(.+)", r"proj_out.\1"),
        (r"mixins\.final_layer\.adaLN_modulation\.1\.(.+)", r"norm_out.linear.\1"),
        (r"mixins\.adaln_layer\.query_layernorm_list\.(\d+)\.(.+)", r"transformer_blocks.\1.attn1.norm_q.\2"),
        (r"mixins\.adaln_layer\.key_layernorm_list\.(\d+)\.(.+)", r"transformer_blocks.\1.attn1.norm_k.\2"),
        (r"transformer\.final_layernorm\.(.+)", r"norm_final.\1"),
        (r"transformer\.layers\.(\d+)\.attention\.dense\.(.+)", r"transformer_blocks.\1.attn1.to_out.0.\2"),
        (r"transformer\.layers\.(\d+)\.mlp\.dense_h_to_4h\.(.+)", r"transformer_blocks.\1.ff.net.0.proj.\2"),
        (r"transformer\.layers\.(\d+)\.mlp\.dense_4h_to_h\.(.+)", r"transformer_blocks.\1.ff.net.2.\2"),
        (r"transformer\.layers\.(\d+)\.input_layernorm\.(.+)", r"transformer_blocks.\1.norm1.norm.\2"),
        (
            r"transformer\.layers\.(\d+)\.post_attention_layernorm\.(.+)",
            r"transformer_blocks.\1.norm2.norm.\2",
        ),
    )
)
_QKV = re.compile(r"transformer\.layers\.(\d+)\.attention\.query_key_value\.(.+)")
_MODULATION = re.compile(r"mixins\.adaln_layer\.adaLN_modulations\.(\d+)\.1\.(.+)")
# Tables that are computed, and what a language model of that library would have.
_LEFT_OUT = re.compile(r"(^|\.)(freqs_sin|freqs_cos|position_embeddings?|word_embeddings|embed_tokens)(\.|$)")


def is_authors(names: Mapping[str, object]) -> bool:
    """Whether these are names of a published SAT checkpoint of Tora."""
    return any(name.startswith(PREFIX + MARK) for name in names)


def from_authors_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A published SAT checkpoint with the names of `ToraTransformer3DModel`; any other stays as it is."""
    if not is_authors(tensors):
        return dict(tensors)
    converted: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if name.startswith(PREFIX):
            converted.update(_converted(name.removeprefix(PREFIX), tensor))
    return converted


def _converted(name: str, tensor: Tensor) -> Iterator[tuple[str, Tensor]]:
    if _LEFT_OUT.search(name):
        return
    if found := _QKV.fullmatch(name):
        for which, part in zip("qkv", tensor.chunk(3), strict=True):
            yield f"transformer_blocks.{found[1]}.attn1.to_{which}.{found[2]}", part
    elif found := _MODULATION.fullmatch(name):
        # shift, scale and gate of attention and of the feed-forward net, for the clip and then for the text
        parts = tensor.chunk(12)
        yield f"transformer_blocks.{found[1]}.norm1.linear.{found[2]}", torch.cat([*parts[:3], *parts[6:9]])
        yield f"transformer_blocks.{found[1]}.norm2.linear.{found[2]}", torch.cat([*parts[3:6], *parts[9:]])
    else:
        yield (
            next((pattern.sub(ours, name) for pattern, ours in _RENAMED if pattern.match(name)), name),
            tensor,
        )
