"""The UNet of Stable Video Diffusion with ExVideo's extended temporal blocks."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any, Self, cast

import torch
from diffusers.models.attention import TemporalBasicTransformerBlock
from diffusers.models.embeddings import get_timestep_embedding
from diffusers.models.modeling_utils import ModelMixin
from diffusers.models.transformers.transformer_temporal import (
    TransformerSpatioTemporalModel,
    TransformerTemporalModelOutput,
)
from diffusers.models.unets.unet_spatio_temporal_condition import (
    UNetSpatioTemporalConditionModel,
    UNetSpatioTemporalConditionOutput,
)
from torch import Tensor, nn

# A pipeline folder names this module; diffusers looks in it for the base class that says how to load from it.
__all__ = ["ExVideoUNet", "ModelMixin"]

SVD_XT_FRAMES = 25


def mirrored_positions(num_positions: int, trained_frames: int = SVD_XT_FRAMES) -> Tensor:
    """Which frame position of the base model each new position starts from.

    Positions that the base model was trained on keep their own; the later ones walk back and forth among
    them, so that neighbours always start from neighbours. For SVD-XT: 0..24, 23..4, 5..24, 23..4 and so on.

    Source: DiffSynth-Studio, `svd_unet.py`, for 25 trained frames; other lengths are the same rule scaled.
    """
    if trained_frames < 2:
        raise ValueError(f"trained_frames must be at least 2 to mirror positions, not {trained_frames}")
    last = trained_frames - 1
    half_period = last - trained_frames // 6
    beyond = torch.arange(num_positions) - trained_frames
    phase = beyond % (2 * half_period)
    mirrored = torch.where(phase < half_period, last - 1 - phase, last + 1 + phase - 2 * half_period)
    return torch.where(beyond < 0, beyond + trained_frames, mirrored)


class ExtendedTemporalBlock(TemporalBasicTransformerBlock):
    """diffusers' temporal block that first convolves its input over time, height and width.

    Shape: hidden states `((B t), (h w), C)`, as in diffusers; `grid` is `(h, w)`, set by the parent before
    each call because diffusers hands the block a flat grid.
    """

    def __init__(self, dim: int, num_attention_heads: int, attention_head_dim: int, cross_attention_dim: int):
        super().__init__(dim, dim, num_attention_heads, attention_head_dim, cross_attention_dim)
        self.positional_conv = nn.Conv3d(dim, dim, kernel_size=3, padding=1, padding_mode="reflect")
        self.grid: tuple[int, int] = (0, 0)

    def forward(
        self, hidden_states: Tensor, num_frames: int, encoder_hidden_states: Tensor | None = None
    ) -> Tensor:
        """Convolve over the clip, then attend over its frames."""
        height, width = self.grid
        clip = hidden_states.unflatten(0, (-1, num_frames)).unflatten(2, (height, width))
        clip = self.positional_conv(clip.permute(0, 4, 1, 2, 3)).permute(0, 2, 3, 4, 1)
        return super().forward(clip.flatten(2, 3).flatten(0, 1), num_frames, encoder_hidden_states)


class ExtendedTransformer(TransformerSpatioTemporalModel):
    """diffusers' spatio-temporal transformer with learned frame positions and extended temporal blocks.

    Source: DiffSynth-Studio, `svd_unet.py`, class `TemporalAttentionBlock`.
    """

    def __init__(self, base: TransformerSpatioTemporalModel, num_positions: int):
        spatial: Any = base.transformer_blocks[0]
        cross_attention_dim = spatial.attn2.to_k.in_features
        heads = base.num_attention_heads, base.attention_head_dim
        super().__init__(
            *heads,
            in_channels=base.in_channels,
            out_channels=base.out_channels,
            num_layers=len(base.transformer_blocks),
            cross_attention_dim=cross_attention_dim,
        )
        # In the place of diffusers' sinusoid, whose forward it has.
        self.time_proj = nn.Embedding(num_positions, self.in_channels)  # type: ignore[assignment]
        self.temporal_transformer_blocks = nn.ModuleList(
            ExtendedTemporalBlock(self.inner_dim, *heads, cross_attention_dim)
            for _ in self.transformer_blocks
        )

    @property
    def position_table(self) -> nn.Embedding:
        """One trainable row a frame. Shape: `(num_positions, C)`."""
        return cast(nn.Embedding, self.time_proj)

    @property
    def temporal_blocks(self) -> list[ExtendedTemporalBlock]:
        """The extended temporal blocks; SVD has one in each transformer."""
        return [cast(ExtendedTemporalBlock, block) for block in self.temporal_transformer_blocks]

    def reset_extension(self, trained_frames: int) -> None:
        """Set the added layers to what leaves the base model as it is within its trained length."""
        positions = mirrored_positions(self.position_table.num_embeddings, trained_frames)
        table = get_timestep_embedding(
            positions, self.in_channels, flip_sin_to_cos=True, downscale_freq_shift=0
        )
        with torch.no_grad():
            self.position_table.weight.copy_(table)
            for block in self.temporal_blocks:
                nn.init.dirac_(block.positional_conv.weight)
                nn.init.zeros_(cast(Tensor, block.positional_conv.bias))

    def forward(
        self,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        image_only_indicator: Tensor | None = None,
        return_dict: bool = True,
    ) -> TransformerTemporalModelOutput | tuple[Tensor]:
        """As in diffusers; tells the temporal blocks the grid that they convolve over."""
        for block in self.temporal_blocks:
            block.grid = (hidden_states.shape[-2], hidden_states.shape[-1])
        return super().forward(hidden_states, encoder_hidden_states, image_only_indicator, return_dict)


class ExVideoUNet(UNetSpatioTemporalConditionModel):
    """SVD's UNet for clips of up to `num_frames` frames.

    Takes the arguments and has the config of `UNetSpatioTemporalConditionModel`, and is saved and loaded like
    it; `num_frames` is the length of the position tables (128 in the published extension), which is also the
    length that `StableVideoDiffusionPipeline` makes when none is asked. `from_svd` extends a loaded SVD.

    The convolutions mirror their borders, so frames, latent height / 8 and latent width / 8 must each be at
    least 2: no fewer than 2 frames and no side shorter than 128 pixels.

    Source: arXiv 2406.14130; DiffSynth-Studio at afd101f, `diffsynth/models/svd_unet.py`, Apache-2.0.
    """

    # diffusers' config machinery reads the parameter names from the signature, which wraps hands on.
    @functools.wraps(UNetSpatioTemporalConditionModel.__init__)  # type: ignore[misc]
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for block in self._attending_blocks():
            block.attentions = nn.ModuleList(
                ExtendedTransformer(attention, self.config["num_frames"]) for attention in block.attentions
            )
        self.reset_extension()

    @classmethod
    def from_svd(cls, svd: UNetSpatioTemporalConditionModel, num_frames: int = 128) -> Self:
        """Extend a loaded SVD to `num_frames` positions; the base weights are shared, not copied.

        The added layers start as an identity, so up to SVD's own length the output does not change: the
        starting point of training an extension, and of loading one.
        """
        trained_frames = svd.config["num_frames"]
        if num_frames < trained_frames:
            raise ValueError(
                f"an extension must be at least as long as its base: {num_frames} frames asked, "
                f"{trained_frames} trained"
            )
        with torch.device("meta"):
            unet = cast(Self, cls.from_config(svd.config, num_frames=num_frames))
        added = unet.load_state_dict(svd.state_dict(), strict=False, assign=True).missing_keys
        assert set(added) == set(unet.added_parameters()), added
        for attention in unet.extended_transformers():
            attention.position_table.to_empty(device=svd.device).to(svd.dtype)
            for block in attention.temporal_blocks:
                block.positional_conv.to_empty(device=svd.device).to(svd.dtype)
        unet.reset_extension(trained_frames)
        return unet.train(svd.training)

    def _attending_blocks(self) -> list[Any]:
        blocks = [*self.down_blocks, self.mid_block, *self.up_blocks]
        return [block for block in blocks if getattr(block, "has_cross_attention", False)]

    def extended_transformers(self) -> Iterator[ExtendedTransformer]:
        """The transformers with extended temporal blocks, from input to output."""
        for block in self._attending_blocks():
            yield from block.attentions

    def reset_extension(self, trained_frames: int = SVD_XT_FRAMES) -> None:
        """Start the added layers anew, from a base model that was trained on `trained_frames` frames."""
        for attention in self.extended_transformers():
            attention.reset_extension(trained_frames)

    def added_parameters(self) -> dict[str, nn.Parameter]:
        """The parameters that SVD has not: position tables and convolutions, by name."""
        return {
            name: parameter
            for name, parameter in self.named_parameters()
            if ".positional_conv." in name or name.endswith(".time_proj.weight")
        }

    def extension_parameters(self) -> dict[str, nn.Parameter]:
        """The parameters that an ExVideo file holds: the added ones and the temporal blocks around them.

        The authors train all of these and freeze the rest of SVD; a lighter training takes
        `added_parameters` alone.
        """
        return {
            name: parameter
            for name, parameter in self.named_parameters()
            if any(part in name for part in (".temporal_transformer_blocks.", ".time_pos_embed."))
            or name.endswith(".time_proj.weight")
        }

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor | float | int,
        encoder_hidden_states: Tensor,
        added_time_ids: Tensor,
        return_dict: bool = True,
    ) -> UNetSpatioTemporalConditionOutput | tuple[Tensor]:
        """Denoise a clip, as `UNetSpatioTemporalConditionModel` does.

        Shape: sample `(B, t, c, h, w)`, encoder_hidden_states `(B, 1, D)`, added_time_ids `(B, 3)`.
        Raises: ValueError when the clip is longer than the position tables.
        """
        num_frames, most = sample.shape[1], self.config["num_frames"]
        if num_frames > most:
            raise ValueError(f"this ExVideo model makes at most {most} frames, not {num_frames}")
        return super().forward(sample, timestep, encoder_hidden_states, added_time_ids, return_dict)
