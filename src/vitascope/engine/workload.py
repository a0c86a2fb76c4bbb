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


class Architecture(BaseModel):
    """The sizes of a Mochi or CogVideoX model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    transformer: str
    vae: str
    num_layers: int
    num_heads: int
    head_dim: int
    text_tokens: int
    text_width: int = 0
    patch: int = 2
    patch_t: int = 1
    space: int = 8  # pixels a latent, each way
    billions: Billions

    @property
    def family(self) -> str:
        """mochi or cogvideox."""
        return "mochi" if self.transformer.startswith("Mochi") else "cogvideox"

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
        return 24.0 * d * d  # q, k, v, out; feed-forward of four widths

    @property
    def fp8_billions(self) -> float:
        """Parameters that 8-bit linears halve: of all blocks but the first and the last. Units: billions."""
        return (self.num_layers - 2) * self.linears_per_token / 2 / 1e9

    @property
    def text_linears(self) -> float:
        """The same of one layer for all text tokens of a sample."""
        if self.family == "cogvideox":
            return self.text_tokens * self.linears_per_token
        inner = 4 * self.text_width * 2 // 3
        return 2.0 * self.text_tokens * self.text_width * (4 * self.width + 3 * inner)

    def num_latent_frames(self, num_frames: int) -> int:
        """Latent frames of a clip."""
        return (num_frames - 1) // (6 if self.family == "mochi" else 4) + 1

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
            "vae": of.vae * each,
        }

    @classmethod
    def of_configs(cls, components: Mapping[str, Mapping[str, Any]], billions: Billions) -> Self | None:
        """From the configuration files of a folder; None for another family."""
        net, vae = components.get("transformer", {}), components.get("vae", {})
        if net.get("_class_name") not in ("MochiTransformer3DModel", "CogVideoXTransformer3DModel"):
            return None
        mochi = net["_class_name"].startswith("Mochi")
        return cls(
            transformer=net["_class_name"],
            vae=vae.get("_class_name", ""),
            num_layers=net.get("num_layers", 48 if mochi else 30),
            num_heads=net.get("num_attention_heads", 24 if mochi else 30),
            head_dim=net.get("attention_head_dim", 128 if mochi else 64),
            text_tokens=net.get("max_sequence_length", 256) if mochi else net.get("max_text_seq_length", 226),
            text_width=net.get("pooled_projection_dim", 1536) if mochi else 0,
            patch=net.get("patch_size", 2),
            patch_t=net.get("patch_size_t") or 1,
            space=8 if mochi else 2 ** (len(vae.get("block_out_channels", (0,) * 4)) - 1),
            billions=billions,
        )


@cache
def published() -> dict[str, Architecture]:
    """The architectures of published models, by the names that generators know."""
    tables = tomllib.loads(Path(__file__).with_name("architectures.toml").read_text(encoding="utf-8"))
    return {name: Architecture.model_validate(_table(name, tables)) for name in tables}


def _table(name: str, tables: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    own = dict(tables[name])
    like = own.pop("like", None)
    return {**_table(like, tables), **own} if like else own


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
        `prompt_tokens`: valid text tokens of each sample; CogVideoX attends to all of its text.
        """
        text = prompt_tokens if sizes.family == "mochi" else sizes.text_tokens
        own = num_tokens / sequence
        linears = own * sizes.linears_per_token + sizes.text_linears
        attention = 4.0 * (num_tokens + text) ** 2 * sizes.width * (heads_share or 1 / sequence)
        return cls(
            linears=samples * sizes.num_layers * linears,
            attention=samples * sizes.num_layers * attention,
            samples=samples,
            tokens=own,
        )
