"""Names of ExVideo's parameters upstream, for its files and for whole upstream UNets.

Upstream's UNet is one flat list of blocks in the order of computation, skip connections ("push", "pop") and
blends counted; diffusers' is a tree. The walk here counts as upstream does, so it holds for every SVD shape.

Source: DiffSynth-Studio at afd101f, `diffsynth/models/svd_unet.py`, Apache-2.0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from vitascope.models.exvideo.unet import ExVideoUNet

_RESNET = {part: part for part in ("norm1", "conv1", "time_emb_proj", "norm2", "conv2", "conv_shortcut")}
_ATTENTIONS = {
    f"{attention}.{ours}": f"{attention}.{theirs}"
    for attention in ("attn1", "attn2")
    for ours, theirs in {"to_q": "to_q", "to_k": "to_k", "to_v": "to_v", "to_out.0": "to_out"}.items()
}
_SPATIAL = _ATTENTIONS | {
    "norm1": "norm1",
    "norm2": "norm2",
    "norm3": "norm3",
    "ff.net.0.proj": "act_fn.proj",
    "ff.net.2": "ff",
}
_TEMPORAL = _ATTENTIONS | {
    "norm_in": "norm_in",
    "norm1": "norm1",
    "norm2": "norm2",
    "norm3": "norm_out",
    "ff_in.net.0.proj": "act_fn_in.proj",
    "ff_in.net.2": "ff_in",
    "ff.net.0.proj": "act_fn_out.proj",
    "ff.net.2": "ff_out",
    "positional_conv": "positional_conv",
}

# Our module (or whole parameter name) below a diffusers module -> upstream's below the block of that kind.
_PARTS: dict[str, dict[str, str]] = {
    "spatial resnet": {f"spatial_res_block.{part}": part for part in _RESNET},
    "temporal resnet": {f"temporal_res_block.{part}": part for part in _RESNET},
    "resnet blend": {"time_mixer.mix_factor": "mix_factor"},
    "spatial attention": {"norm": "norm", "proj_in": "proj_in"}
    | {f"transformer_blocks.0.{ours}": f"transformer_blocks.0.{theirs}" for ours, theirs in _SPATIAL.items()},
    "temporal attention": {
        "time_proj.weight": "positional_embedding.embeddings",
        "time_pos_embed.linear_1": "positional_embedding_proj.0",
        "time_pos_embed.linear_2": "positional_embedding_proj.2",
    }
    | {f"temporal_transformer_blocks.0.{ours}": theirs for ours, theirs in _TEMPORAL.items()},
    "attention blend": {"time_mixer.mix_factor": "mix_factor", "proj_out": "proj"},
    "sampler": {"conv": "conv"},
}
_OUTSIDE_BLOCKS = {
    "time_embedding.linear_1": "time_embedding.0",
    "time_embedding.linear_2": "time_embedding.2",
    "add_embedding.linear_1": "add_time_embedding.0",
    "add_embedding.linear_2": "add_time_embedding.2",
    "conv_in": "conv_in",
    "conv_norm_out": "conv_norm_out",
    "conv_out": "conv_out",
}


class _Counter:
    """Counts upstream's blocks while the diffusers tree is walked."""

    def __init__(self) -> None:
        self.next = 0

    def skip(self, count: int = 1) -> None:
        self.next += count

    def take(self, kind: str, module: str) -> tuple[int, str, str]:
        self.next += 1
        return self.next - 1, kind, module

    def resnet(self, module: str) -> Iterator[tuple[int, str, str]]:
        yield self.take("spatial resnet", module)
        self.skip()
        yield self.take("temporal resnet", module)
        yield self.take("resnet blend", module)

    def attention(self, module: str) -> Iterator[tuple[int, str, str]]:
        self.skip()
        yield self.take("spatial attention", module)
        self.skip()
        yield self.take("temporal attention", module)
        yield self.take("attention blend", module)


def upstream_blocks(unet: ExVideoUNet) -> Iterator[tuple[int, str, str]]:
    """Every upstream block that holds parameters: its index, its kind and the diffusers module it is in."""
    count = _Counter()
    for level, block in enumerate(unet.down_blocks):
        name = f"down_blocks.{level}"
        yield from _layers(count, name, block, skip_after=True)
        if block.downsamplers:
            yield count.take("sampler", f"{name}.downsamplers.0")
            count.skip()
    yield from count.resnet("mid_block.resnets.0")
    yield from count.attention("mid_block.attentions.0")
    yield from count.resnet("mid_block.resnets.1")
    for level, block in enumerate(unet.up_blocks):
        name = f"up_blocks.{level}"
        yield from _layers(count, name, block, skip_after=False)
        if block.upsamplers:
            yield count.take("sampler", f"{name}.upsamplers.0")


def _layers(count: _Counter, name: str, block: Any, skip_after: bool) -> Iterator[tuple[int, str, str]]:
    """One level: after each layer a skip connection is pushed, or before each one is popped."""
    for layer in range(len(block.resnets)):
        if not skip_after:
            count.skip()
        yield from count.resnet(f"{name}.resnets.{layer}")
        if getattr(block, "has_cross_attention", False):
            yield from count.attention(f"{name}.attentions.{layer}")
        if skip_after:
            count.skip()


def upstream_names(unet: ExVideoUNet) -> dict[str, str]:
    """Upstream's name of every parameter of the UNet, by ours."""
    modules = dict(_OUTSIDE_BLOCKS)
    for index, kind, module in upstream_blocks(unet):
        modules |= {f"{module}.{ours}": f"blocks.{index}.{theirs}" for ours, theirs in _PARTS[kind].items()}
    names = {}
    for name in unet.state_dict():
        module, leaf = name.rsplit(".", 1)
        names[name] = modules[name] if name in modules else f"{modules[module]}.{leaf}"
    return names


def from_upstream(state_dict: Mapping[str, Tensor], unet: ExVideoUNet) -> dict[str, Tensor]:
    """Rename upstream parameters, of a whole UNet or of an extension alone, to ours.

    Raises: KeyError with the first name that this UNet has no place for.
    """
    ours = {theirs: name for name, theirs in upstream_names(unet).items()}
    return {ours[name]: tensor for name, tensor in state_dict.items()}
