"""A Tora in the names of the published SAT checkpoints, written down from upstream's SAT modules.

Upstream joins the three projections of attention and the two norms' modulations, and counts a layer's parts in lists.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

_OUTSIDE = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "patch_embed.proj": "mixins.patch_embed.proj",
    "patch_embed.text_proj": "mixins.patch_embed.text_proj",
    "norm_final": "transformer.final_layernorm",
    "norm_out.norm": "mixins.final_layer.norm_final",
    "norm_out.linear": "mixins.final_layer.adaLN_modulation.1",
    "proj_out": "mixins.final_layer.linear",
}
_IN_BLOCKS = {
    "attn1.to_out.0": "transformer.layers.{}.attention.dense",
    "attn1.norm_q": "mixins.adaln_layer.query_layernorm_list.{}",
    "attn1.norm_k": "mixins.adaln_layer.key_layernorm_list.{}",
    "ff.net.0.proj": "transformer.layers.{}.mlp.dense_h_to_4h",
    "ff.net.2": "transformer.layers.{}.mlp.dense_4h_to_h",
    "norm1.norm": "transformer.layers.{}.input_layernorm",
    "norm2.norm": "transformer.layers.{}.post_attention_layernorm",
}


def as_published(ours: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors with the authors' names, and a few that only a SAT checkpoint has."""
    theirs = {
        "transformer.position_embeddings.weight": torch.zeros(1),
        "mixins.pos_embed.freqs_sin": torch.zeros(1),
    }
    num_blocks = len({name.split(".")[1] for name in ours if name.startswith("transformer_blocks.")})
    for index in range(num_blocks):
        block = f"transformer_blocks.{index}."
        for end in ("weight", "bias"):
            joined = [ours[f"{block}attn1.to_{which}.{end}"] for which in "qkv"]
            theirs[f"transformer.layers.{index}.attention.query_key_value.{end}"] = torch.cat(joined)
            first, second = (ours[f"{block}norm{number}.linear.{end}"].chunk(6) for number in (1, 2))
            modulation = torch.cat([*first[:3], *second[:3], *first[3:], *second[3:]])
            theirs[f"mixins.adaln_layer.adaLN_modulations.{index}.1.{end}"] = modulation
    for name, tensor in ours.items():
        if renamed := _renamed(name):
            theirs[renamed] = tensor
    published = {f"model.diffusion_model.{name}": tensor for name, tensor in theirs.items()}
    return {**published, "denoiser.sigmas": torch.zeros(3)}


def _renamed(name: str) -> str | None:
    if name == "patch_embed.pos_embedding":
        return "mixins.pos_embed.pos_embedding"
    if name.startswith("fuser."):
        return "mixins.adaln_layer.fuser_list." + name.removeprefix("fuser.")
    if name.startswith("traj_extractor."):
        return name
    module, _, end = name.rpartition(".")
    found = re.fullmatch(r"transformer_blocks\.(\d+)\.(.+)", module)
    theirs = _OUTSIDE.get(module) if found is None else _IN_BLOCKS.get(found[2], "").format(found[1])
    return f"{theirs}.{end}" if theirs else None
