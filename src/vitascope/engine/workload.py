"""What a clip costs in arithmetic and memory, from the sizes of a model alone: no weights, no torch."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from vitascope.engine.memory import BYTES, GIB


class Billions(BaseModel):
    """Parameters. Units: billions."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    denoiser: float
    text_encoder: float = 0.0
    vae: float = 0.0


# diffusers' class of the denoiser -> the family by which rates were measured.
FAMILIES = {
    "MochiTransformer3DModel": "mochi",
    "CogVideoXTransformer3DModel": "cogvideox",
    "WanTransformer3DModel": "wan",
    "HunyuanVideoTransformer3DModel": "hunyuan",
    "HunyuanVideo15Transformer3DModel": "hunyuan15",
    "LTXVideoTransformer3DModel": "ltx",
}
# What of a family is not in a folder's files is as in this model.
LIKE = {
    "mochi": "mochi-1",
    "cogvideox": "cogvideox-5b",
    "wan": "wan2.1-t2v-14b",
    "hunyuan": "hunyuan-video",
    "hunyuan15": "hunyuan-video-1.5-480p-t2v",
    "ltx": "ltx-video",
}
CROSS_ATTENDING = ("wan", "ltx")  # to the text, after the video to itself


class Architecture(BaseModel):
    """The sizes of a model, from which its arithmetic and memory follow.

    `inner`: width within the feed-forward, where it is not four widths. `vae_bytes`: of each of the VAE's
    parameters, where it computes in another precision than the rest.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    transformer: str
    vae: str
    num_layers: int
    num_heads: int
    head_dim: int
    text_tokens: int
    text_width: int = 0
    inner: int = 0
    patch: int = 2
    patch_t: int = 1
    space: int = 8  # pixels a latent, each way
    time: int = 4  # frames a latent
    vae_bytes: int | None = None
    billions: Billions

    @property
    def family(self) -> str:
        """The family under which its rates were measured."""
        return FAMILIES[self.transformer]

    @property
    def width(self) -> int:
        """Channels of the visual tokens."""
        return self.num_heads * self.head_dim

    @property
    def linears_per_token(self) -> float:
        """Multiplications and additions of one layer's linears for one video token."""
        d = self.width
        if self.family == "mochi":  # q, k, v, out; gated feed-forward of 8/3 widths
            inner = 4 * d * 2 // 3
            return 2.0 * d * (4 * d + 3 * inner)
        asking = 2 * d if self.family in CROSS_ATTENDING else 0  # the text's attention: q, out
        return 2.0 * d * (4 * d + asking + 2 * (self.inner or 4 * d))  # q, k, v, out; feed-forward

    @property
    def fp8_billions(self) -> float:
        """Parameters that 8-bit linears halve: of all blocks but the first and the last. Units: billions."""
        return (self.num_layers - 2) * self.linears_per_token / 2 / 1e9

    @property
    def text_linears(self) -> float:
        """As `linears_per_token`, of one layer for all text tokens of a sample."""
        if self.family in CROSS_ATTENDING:
            return self.text_tokens * 4.0 * self.width**2  # k, v
        if self.family != "mochi":
            return self.text_tokens * self.linears_per_token
        inner = 4 * self.text_width * 2 // 3
        return 2.0 * self.text_tokens * self.text_width * (4 * self.width + 3 * inner)

    def num_latent_frames(self, num_frames: int) -> int:
        """Latent frames of a clip."""
        return (num_frames - 1) // self.time + 1

    def num_tokens(self, width: int, height: int, num_frames: int) -> int:
        """Video tokens of a clip. Units: pixels, frames."""
        frames = -(-self.num_latent_frames(num_frames) // self.patch_t)
        side = self.space * self.patch
        return frames * (height // side) * (width // side)

    def weights_gib(self, dtype: str, *, fp8: bool = False) -> dict[str, float]:
        """The weights of each part. Units: GiB."""
        of = self.billions
        each = BYTES[dtype] * 1e9 / GIB
        return {
            "denoiser": of.denoiser * each - (self.fp8_billions * (each - 1e9 / GIB) if fp8 else 0.0),
            "text_encoder": of.text_encoder * each,
            "vae": of.vae * (each if self.vae_bytes is None else self.vae_bytes * 1e9 / GIB),
        }

    @classmethod
    def of_configs(
        cls, components: Mapping[str, Mapping[str, Any]], billions: Billions
    ) -> Architecture | None:
        """From the configuration files of a folder; None for another family."""
        net, vae = components.get("transformer", {}), components.get("vae", {})
        family = FAMILIES.get(net.get("_class_name", ""))
        if family is None:
            return None
        like = published()[LIKE[family]]
        patches = net.get("patch_size", like.patch)
        if isinstance(patches, list):  # in time and space
            net = {**net, "patch_size_t": patches[0], "patch_size": patches[1]}
        depth = net.get("num_layers", like.num_layers)
        if family == "hunyuan":
            depth = net.get("num_layers", 20) + net.get("num_single_layers", 40)
        text = {"mochi": "max_sequence_length", "cogvideox": "max_text_seq_length"}.get(family, "")
        return like.model_copy(
            update={
                "vae": vae.get("_class_name", ""),
                "num_layers": depth,
                "num_heads": net.get("num_attention_heads", like.num_heads),
                "head_dim": net.get("attention_head_dim", like.head_dim),
                "text_tokens": net.get(text, like.text_tokens),
                "text_width": net.get("pooled_projection_dim", 1536) if family == "mochi" else 0,
                "inner": net.get("ffn_dim", like.inner),
                "patch": net.get("patch_size", like.patch),
                "patch_t": net.get("patch_size_t") or 1,
                "space": _space(vae, like),
                "time": vae.get("scale_factor_temporal") or like.time,
                "billions": billions,
            }
        )


def _space(vae: Mapping[str, Any], like: Architecture) -> int:
    """Pixels a latent. A CogVideoX VAE halves the sides between its levels; others say it, or are as published."""
    if like.family == "cogvideox":
        return int(2 ** (len(vae.get("block_out_channels", (0,) * 4)) - 1))
    said = vae.get("scale_factor_spatial") or vae.get("spatial_compression_ratio") or like.space
    return int(said)


@cache
def published() -> dict[str, Architecture]:
    """The architectures of published models, by the names that generators know."""
    tables = tomllib.loads(Path(__file__).with_name("architectures.toml").read_text(encoding="utf-8"))
    return {name: Architecture.model_validate(_table(name, tables)) for name in tables}


def _table(name: str, tables: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    own = dict(tables[name])
    like = own.pop("like", None)
    return {**_table(like, tables), **own} if like else own


class Wanted(BaseModel):
    """The clip that is planned.

    `guided`: the denoiser sees two samples in one batch; `num_calls`: how often a step asks it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: int
    height: int
    num_frames: int
    num_inference_steps: int
    guided: bool = True
    num_calls: int = 1
    prompt_tokens: int = 128

    @property
    def megapixels(self) -> float:
        """Millions of pixels of all frames together."""
        return self.width * self.height * self.num_frames / 1e6


class StepWork(BaseModel):
    """One denoising step of one GPU. Units: floating-point operations.

    `linears` of all layers, `attention` of all layers, for `samples` samples of `tokens` tokens each on this GPU.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    linears: float = Field(ge=0)
    attention: float = Field(ge=0)
    samples: int
    tokens: float

    @classmethod
    def of(
        cls,
        sizes: Architecture,
        num_tokens: int,
        *,
        samples: int,
        sequence: int = 1,
        heads_share: float | None = None,
        prompt_tokens: int = 128,
    ) -> Self:
        """The work of the busiest of `sequence` GPUs that share each sample's tokens.

        `heads_share`: its share of the attention, where heads do not go round evenly.
        `prompt_tokens`: valid text tokens of each sample, for models that leave the others out of their attention.
        """
        masked = sizes.family in ("mochi", "hunyuan", "hunyuan15")
        text = prompt_tokens if masked else sizes.text_tokens
        own = num_tokens / sequence
        linears = own * sizes.linears_per_token + sizes.text_linears
        pairs = num_tokens * (num_tokens + text)
        if sizes.family not in CROSS_ATTENDING:
            pairs += text * (num_tokens + text)
        attention = 4.0 * pairs * sizes.width * (heads_share or 1 / sequence)
        return cls(
            linears=samples * sizes.num_layers * linears,
            attention=samples * sizes.num_layers * attention,
            samples=samples,
            tokens=own,
        )
