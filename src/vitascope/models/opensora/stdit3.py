"""STDiT3, the denoiser of Open-Sora 1.2: alternating spatial and temporal transformer blocks.

Source: github.com/hpcaitech/Open-Sora, tag v1.2.0 (17cce908), opensora/models/stdit/stdit3.py and
opensora/models/layers/blocks.py, Apache-2.0; described in docs/report_03.md and arXiv 2412.20404.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.loaders import PeftAdapterMixin
from diffusers.models.attention import AttentionMixin, FeedForward
from diffusers.models.attention_dispatch import dispatch_attention_fn
from diffusers.models.attention_processor import Attention
from diffusers.models.cache_utils import CacheMixin
from diffusers.models.embeddings import (
    PixArtAlphaTextProjection,
    TimestepEmbedding,
    apply_rotary_emb,
    get_timestep_embedding,
)
from diffusers.models.modeling_outputs import Transformer2DModelOutput
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from vitascope.models.opensora.plan import CONTEXT_PARALLEL_PLAN

SINUSOID_WIDTH = 256


class STDiT3AttnProcessor:
    """Attention over one axis of the latents, or from the latents to the caption.

    Queries and keys are normalised first, turned by RoPE after. Runs on any attention backend of diffusers.

    Source: github.com/hpcaitech/Open-Sora v1.2.0, opensora/models/layers/blocks.py, Attention and
    MultiHeadCrossAttention.
    """

    # Both are set from outside, by `set_attention_backend` and `enable_parallelism` of the model.
    _attention_backend = None
    _parallel_config = None

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        image_rotary_emb: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Shape: hidden_states `B N D`, caption `B L D` or None, attention_mask boolean `B 1 1 L` or None."""
        query, key, value = self._project(attn, hidden_states, encoder_hidden_states)
        query, key, value = (x.unflatten(-1, (attn.heads, -1)) for x in (query, key, value))
        if attn.norm_q is not None:
            query, key = attn.norm_q(query), attn.norm_k(key)
        if image_rotary_emb is not None:
            turn = partial(apply_rotary_emb, freqs_cis=image_rotary_emb, sequence_dim=1)  # type: ignore[arg-type]
            query, key = turn(query), turn(key)  # type: ignore[assignment]
        # Ranks share out the spatial sites, so only attention between sites (self-attention without RoPE,
        # which belongs to the time axis) has to cross ranks.
        crosses_ranks = encoder_hidden_states is None and image_rotary_emb is None
        attended = dispatch_attention_fn(
            query,
            key,
            value,
            attn_mask=attention_mask,
            backend=self._attention_backend,
            parallel_config=self._parallel_config if crosses_ranks else None,
        )
        return attn.to_out[0](attended.flatten(2).type_as(query))

    @staticmethod
    def _project(attn: Attention, hidden_states: Tensor, caption: Tensor | None) -> tuple[Tensor, ...]:
        source = hidden_states if caption is None else caption
        if not attn.fused_projections:
            return attn.to_q(hidden_states), attn.to_k(source), attn.to_v(source)
        if caption is None:
            return attn.to_qkv(hidden_states).chunk(3, dim=-1)
        return attn.to_q(hidden_states), *attn.to_kv(caption).chunk(2, dim=-1)


class STDiT3Block(nn.Module):
    """Self-attention over space or time, cross-attention to the caption, feed-forward.

    Shape: hidden_states `B t N D` (N = sites of one frame), caption `B L D`, modulation `B t|1 6 D`.
    Source: github.com/hpcaitech/Open-Sora v1.2.0, opensora/models/stdit/stdit3.py, STDiT3Block.
    """

    def __init__(
        self, dim: int, num_heads: int, mlp_ratio: float = 4.0, qk_norm: bool = True, temporal: bool = False
    ) -> None:
        super().__init__()
        self.temporal = temporal
        self.norm1 = nn.LayerNorm(dim, eps=1e-6, elementwise_affine=False)
        self.attn1 = Attention(
            dim,
            heads=num_heads,
            dim_head=dim // num_heads,
            bias=True,
            qk_norm="rms_norm" if qk_norm else None,
            eps=1e-6,
            processor=STDiT3AttnProcessor(),  # type: ignore[arg-type]
        )
        self.attn2 = Attention(
            dim,
            cross_attention_dim=dim,
            heads=num_heads,
            dim_head=dim // num_heads,
            bias=True,
            processor=STDiT3AttnProcessor(),  # type: ignore[arg-type]
        )
        self.norm2 = nn.LayerNorm(dim, eps=1e-6, elementwise_affine=False)
        self.ff = FeedForward(dim, inner_dim=int(dim * mlp_ratio), activation_fn="gelu-approximate")
        self.scale_shift_table = nn.Parameter(torch.randn(6, dim) / dim**0.5)

    def forward(
        self,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        modulation: Tensor,
        encoder_attention_mask: Tensor | None = None,
        image_rotary_emb: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Shape: see the class; image_rotary_emb two of `t head_dim`, for a temporal block only."""
        shift_attn, scale_attn, gate_attn, shift_ff, scale_ff, gate_ff = (
            (self.scale_shift_table + modulation).unsqueeze(2).unbind(3)
        )
        x = self.norm1(hidden_states) * (1 + scale_attn) + shift_attn
        hidden_states = hidden_states + gate_attn * self._attend(x, image_rotary_emb)

        num_frames = hidden_states.shape[1]
        described = self.attn2(
            hidden_states.flatten(1, 2),
            encoder_hidden_states=encoder_hidden_states,
            attention_mask=encoder_attention_mask,
        )
        hidden_states = hidden_states + described.unflatten(1, (num_frames, -1))

        x = self.norm2(hidden_states) * (1 + scale_ff) + shift_ff
        return hidden_states + gate_ff * self.ff(x)

    def _attend(self, x: Tensor, image_rotary_emb: tuple[Tensor, Tensor] | None) -> Tensor:
        batch = x.shape[0]
        if self.temporal:
            x = self.attn1(x.transpose(1, 2).flatten(0, 1), image_rotary_emb=image_rotary_emb)
            return x.unflatten(0, (batch, -1)).transpose(1, 2)
        return self.attn1(x.flatten(0, 1)).unflatten(0, (batch, -1))


class STDiT3(ModelMixin, ConfigMixin, AttentionMixin, PeftAdapterMixin, CacheMixin):  # type: ignore[misc]
    """Predicts the velocity `clean - noise` of Open-Sora 1.2 latents; by default the published 1.1B network.

    Source: github.com/hpcaitech/Open-Sora v1.2.0, opensora/models/stdit/stdit3.py, STDiT3 and STDiT3_XL_2.
    """

    _supports_gradient_checkpointing = True
    _cp_plan = CONTEXT_PARALLEL_PLAN  # type: ignore[assignment]
    _no_split_modules = ["STDiT3Block"]  # type: ignore[assignment]  # noqa: RUF012
    _repeated_blocks = ["STDiT3Block"]  # noqa: RUF012
    config: Any

    @register_to_config
    def __init__(
        self,
        num_attention_heads: int = 16,
        attention_head_dim: int = 72,
        num_layers: int = 28,
        in_channels: int = 4,
        out_channels: int = 8,
        patch_size: Sequence[int] = (1, 2, 2),
        mlp_ratio: float = 4.0,
        qk_norm: bool = True,
        caption_channels: int = 4096,
        caption_length: int = 300,
        base_resolution: int = 512,  # noqa: ARG002
    ) -> None:
        super().__init__()
        dim = self.inner_dim = num_attention_heads * attention_head_dim
        patch: Any = tuple(patch_size)
        self.patch_embed = nn.Conv3d(in_channels, dim, kernel_size=patch, stride=patch)
        self.time_embed = TimestepEmbedding(SINUSOID_WIDTH, dim)
        self.fps_embed = TimestepEmbedding(SINUSOID_WIDTH, dim)
        self.modulation = nn.Linear(dim, 6 * dim)
        self.caption_projection = PixArtAlphaTextProjection(caption_channels, dim)
        # What the model was trained to read where there is no caption: the unconditional half of guidance.
        self.register_buffer(
            "null_caption", torch.randn(caption_length, caption_channels) / caption_channels**0.5
        )
        self.rope_frequencies = nn.Parameter(rope_frequencies(attention_head_dim), requires_grad=False)
        spatial, temporal = (
            nn.ModuleList(
                STDiT3Block(dim, num_attention_heads, mlp_ratio, qk_norm, temporal=temporal)
                for _ in range(num_layers)
            )
            for temporal in (False, True)
        )
        self.transformer_blocks, self.temporal_transformer_blocks = spatial, temporal
        self.norm_out = nn.LayerNorm(dim, eps=1e-6, elementwise_affine=False)
        self.scale_shift_table = nn.Parameter(torch.randn(2, dim) / dim**0.5)
        self.proj_out = nn.Linear(dim, math.prod(patch_size) * out_channels)
        self.gradient_checkpointing = False

    def forward(
        self,
        hidden_states: Tensor,
        timestep: Tensor,
        encoder_hidden_states: Tensor,
        fps: Tensor,
        height: float,
        width: float,
        encoder_attention_mask: Tensor | None = None,
        frame_mask: Tensor | None = None,
        drop_caption: Tensor | None = None,
        return_dict: bool = True,
    ) -> Transformer2DModelOutput | tuple[Tensor]:
        """Predict the velocity: the first `in_channels` of the output, the others are unused.

        encoder_attention_mask is 1 where a token is to be read; frame_mask is True where a frame is being
        denoised, False where a clean one is given as condition; drop_caption is True where the learnt "no
        caption" is to be read instead.

        Shape: hidden_states `B c t h w`, timestep, fps and drop_caption `B`, frame_mask `B t`,
            encoder_hidden_states `B L caption_channels`, encoder_attention_mask `B L`; the result is float32
            `B out_channels t h w`.
        Range: timestep 0 (clean) .. 1000 (noise), fps in frames a second (120 stands for a still image).
        Units: height and width in pixels, of the whole batch.
        """
        dtype, grid_shape = self.patch_embed.weight.dtype, hidden_states.shape[2:]
        x = self.patch_embed(self._pad_to_patches(hidden_states.to(dtype)))
        _, _, num_frames, grid_height, grid_width = x.shape
        x = x.flatten(3).permute(0, 2, 3, 1)
        scale = (height * width) ** 0.5 / self.config.base_resolution
        x = x + position_embedding(grid_height, grid_width, scale, x)

        # The timestep is rounded to the model's dtype first, as when the published weights were trained.
        time = self._embed_time(timestep.to(dtype), fps)
        time_clean = (
            None if frame_mask is None else self._embed_time(torch.zeros_like(timestep).to(dtype), fps)
        )
        modulation = self._modulate(time, time_clean, frame_mask)
        caption = encoder_hidden_states.to(dtype)
        if drop_caption is not None:
            caption = torch.where(drop_caption[:, None, None], self.null_caption[: caption.shape[1]], caption)
        caption = self.caption_projection(caption)
        if encoder_attention_mask is not None:
            encoder_attention_mask = encoder_attention_mask.bool()[:, None, None, :]
        rope = rotary_embedding(num_frames, self.rope_frequencies)

        for spatial, temporal in zip(self.transformer_blocks, self.temporal_transformer_blocks, strict=True):
            for block, rotation in ((spatial, None), (temporal, rope)):
                if torch.is_grad_enabled() and self.gradient_checkpointing:
                    x = self._gradient_checkpointing_func(
                        block, x, caption, modulation, encoder_attention_mask, rotation
                    )
                else:
                    x = block(x, caption, modulation, encoder_attention_mask, rotation)

        x = self.proj_out(self._modulate_out(x, time, time_clean, frame_mask))
        sample = self._unpatchify(x, grid_height, grid_width)[
            :, :, : grid_shape[0], : grid_shape[1], : grid_shape[2]
        ]
        sample = sample.float()
        return Transformer2DModelOutput(sample=sample) if return_dict else (sample,)

    def _pad_to_patches(self, hidden_states: Tensor) -> Tensor:
        pad_t, pad_h, pad_w = (
            -size % patch for size, patch in zip(hidden_states.shape[2:], self.config.patch_size, strict=True)
        )
        return nn.functional.pad(hidden_states, (0, pad_w, 0, pad_h, 0, pad_t))

    def _embed_time(self, timestep: Tensor, fps: Tensor) -> Tensor:
        return self._embed_scalar(timestep, self.time_embed) + self._embed_scalar(fps, self.fps_embed)

    def _embed_scalar(self, values: Tensor, project: TimestepEmbedding) -> Tensor:
        waves = get_timestep_embedding(values, SINUSOID_WIDTH, flip_sin_to_cos=True, downscale_freq_shift=0)
        return project(waves.to(self.patch_embed.weight.dtype))

    def _modulate(self, time: Tensor, time_clean: Tensor | None, frame_mask: Tensor | None) -> Tensor:
        """Shifts, scales and gates for every block: one set a sample, or one a frame where some are clean."""

        def project(embedding: Tensor) -> Tensor:
            return self.modulation(nn.functional.silu(embedding)).unflatten(-1, (1, 6, -1))

        if time_clean is None or frame_mask is None:
            return project(time)
        return torch.where(frame_mask[:, :, None, None], project(time), project(time_clean))

    def _modulate_out(
        self, x: Tensor, time: Tensor, time_clean: Tensor | None, frame_mask: Tensor | None
    ) -> Tensor:
        def normalise(x: Tensor, embedding: Tensor) -> Tensor:
            shift, scale = (self.scale_shift_table + embedding[:, None]).chunk(2, dim=1)
            return self.norm_out(x) * (1 + scale[:, None]) + shift[:, None]

        denoised = normalise(x, time)
        if time_clean is None or frame_mask is None:
            return denoised
        # Clean frames go through twice: upstream trained with it, so the weights expect it.
        return torch.where(frame_mask[:, :, None, None], denoised, normalise(denoised, time_clean))

    def _unpatchify(self, x: Tensor, grid_height: int, grid_width: int) -> Tensor:
        x = x.unflatten(-1, (*self.config.patch_size, self.config.out_channels))
        x = x.unflatten(2, (grid_height, grid_width))
        x = x.permute(0, 7, 1, 4, 2, 5, 3, 6)
        return x.flatten(6, 7).flatten(4, 5).flatten(2, 3)


def position_embedding(grid_height: int, grid_width: int, scale: float, like: Tensor) -> Tensor:
    """Sines and cosines of where a patch lies in its frame, the width's half first.

    Positions are stretched so that a frame of any shape spans round(sqrt(sites)) / scale in both directions.

    Shape: `1 grid_height*grid_width D`, in dtype and on device of `like`, whose last axis is D.
    Source: github.com/hpcaitech/Open-Sora v1.2.0, opensora/models/layers/blocks.py, PositionEmbedding2D.
    """
    span = round((grid_height * grid_width) ** 0.5)
    half = like.shape[-1] // 2
    exponents = torch.arange(0, half, 2, device=like.device).float() / half
    # Upstream keeps the frequencies in the model's dtype, so a bfloat16 model was trained on rounded ones.
    frequencies = (1.0 / 10000**exponents).to(like.dtype).float()

    def waves(length: int) -> Tensor:
        places = torch.arange(length, device=like.device) / scale * (span / length)
        angles = torch.outer(places, frequencies)
        return torch.cat([angles.sin(), angles.cos()], dim=-1)

    across = waves(grid_width)[None, :].expand(grid_height, -1, -1)
    down = waves(grid_height)[:, None].expand(-1, grid_width, -1)
    return torch.cat([across, down], dim=-1).flatten(0, 1)[None].to(like.dtype)


def rope_frequencies(head_dim: int) -> Tensor:
    """Rotation speeds of RoPE, one a pair of channels; a published checkpoint brings its own copy."""
    return 1.0 / 10000 ** (torch.arange(0, head_dim, 2).float() / head_dim)


def rotary_embedding(num_frames: int, frequencies: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines and sines that turn neighbouring channel pairs by the frame's index.

    Shape: two of `num_frames head_dim`.
    Source: rotary_embedding_torch 0.5.3 as called by Open-Sora v1.2.0; angles in the parameter's dtype.
    """
    frames = torch.arange(num_frames, device=frequencies.device).to(frequencies.dtype)
    angles = torch.outer(frames, frequencies).repeat_interleave(2, dim=-1)
    return angles.cos(), angles.sin()
