"""The denoisers of Open-Sora-Plan 1.2 and 1.3: Allegro's network with their own positions and masks.

Source: github.com/PKU-YuanGroup/Open-Sora-Plan, MIT: at v1.2.0 opensora/models/diffusion/opensora/
modeling_opensora.py, at v1.3.1 opensora/models/diffusion/opensora_v1_3/modeling_opensora.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch
from diffusers.configuration_utils import register_to_config
from diffusers.loaders import PeftAdapterMixin
from diffusers.models.modeling_outputs import Transformer2DModelOutput
from diffusers.models.modeling_utils import ModelMixin  # noqa: F401 (diffusers seeks it here on loading)
from diffusers.models.transformers.transformer_allegro import (
    AllegroTransformer3DModel,
    AllegroTransformerBlock,
)
from torch import Tensor, nn

from vitascope.errors import RequestError
from vitascope.models.opensora_plan.plan import CONTEXT_PARALLEL_PLAN
from vitascope.models.opensora_plan.positions import (
    Grid,
    RotaryTables,
    TokenPlaces,
    added_positions,
    rotary_axes,
)
from vitascope.models.opensora_plan.skiparse import SkiparseAttnProcessor

# By layer number whatever the depth, as upstream has it.
SPARSE_LAYERS = range(2, 30)


class OpenSoraPlanTransformer3DModel(AllegroTransformer3DModel, PeftAdapterMixin):  # type: ignore[misc]
    """Predicts the noise (1.2) or velocity (1.3) of a clip's latents.

    `sparse_stride` above 1 makes layers 2 to 29 attend sparsely (1.3). `in_channels` above `out_channels` is
    a model for inpainting: the latents of the masked clip and the mask follow the noisy latents.
    Shape: B c t h w -> B out_channels t h w; h and w multiples of `patch_size`.
    Source: see the module; defaults are the published 1.3.0.
    """

    _cp_plan = CONTEXT_PARALLEL_PLAN  # type: ignore[assignment]

    @register_to_config
    def __init__(
        self,
        patch_size: int = 2,
        patch_size_t: int = 1,
        num_attention_heads: int = 24,
        attention_head_dim: int = 96,
        in_channels: int = 8,
        out_channels: int = 8,
        num_layers: int = 32,
        dropout: float = 0.0,
        cross_attention_dim: int = 2304,
        attention_bias: bool = True,
        sample_height: int = 80,
        sample_width: int = 80,
        sample_frames: int = 24,
        activation_fn: str = "gelu-approximate",
        norm_elementwise_affine: bool = False,
        norm_eps: float = 1e-6,
        caption_channels: int = 4096,
        interpolation_scale_h: float = 1.0,
        interpolation_scale_w: float = 1.0,
        interpolation_scale_t: float = 1.0,
        use_rope: bool = True,
        sparse_stride: int = 4,
    ) -> None:
        if patch_size_t != 1:
            raise RequestError(f"patch_size_t={patch_size_t}: every Open-Sora-Plan denoiser has 1")
        super().__init__(
            patch_size=patch_size,
            patch_size_t=patch_size_t,
            num_attention_heads=num_attention_heads,
            attention_head_dim=attention_head_dim,
            in_channels=in_channels,
            out_channels=out_channels,
            num_layers=num_layers,
            dropout=dropout,
            cross_attention_dim=cross_attention_dim,
            attention_bias=attention_bias,
            sample_height=sample_height,
            sample_width=sample_width,
            sample_frames=sample_frames,
            activation_fn=activation_fn,
            norm_elementwise_affine=norm_elementwise_affine,
            norm_eps=norm_eps,
            caption_channels=caption_channels,
            interpolation_scale_h=interpolation_scale_h,
            interpolation_scale_w=interpolation_scale_w,
            interpolation_scale_t=interpolation_scale_t,
        )
        self.patch_size, self.head_dim = patch_size, attention_head_dim
        self.use_rope, self.is_sparse = use_rope, sparse_stride > 1
        self.position_scale = (interpolation_scale_t, interpolation_scale_h, interpolation_scale_w)
        self.trained_shape = (sample_frames, sample_height, sample_width)
        self.noise_channels, self.is_for_inpainting = out_channels, in_channels > out_channels
        self.token_places = TokenPlaces()
        for index, block in enumerate(self.transformer_blocks):
            stride = sparse_stride if index in SPARSE_LAYERS else 1
            processor = SkiparseAttnProcessor(stride, in_groups=bool(index % 2))
            cast(AllegroTransformerBlock, block).attn1.set_processor(processor)  # type: ignore[arg-type]

    def forward(  # type: ignore[override]  # upstream's annotation is of tables for one axis
        self,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        timestep: Tensor,
        attention_mask: Tensor | None = None,
        encoder_attention_mask: Tensor | None = None,
        image_rotary_emb: RotaryTables | None = None,
        return_dict: bool = True,
    ) -> Transformer2DModelOutput | tuple[Tensor]:
        """Predict. Masks are 1 where something is to be seen; leave `attention_mask` out where all is.

        Shape: `hidden_states` B c t h w, `encoder_hidden_states` B L D, `timestep` B, `attention_mask`
        B t h w, `encoder_attention_mask` B L.
        """
        grid = self.token_grid(hidden_states)
        if image_rotary_emb is None:
            image_rotary_emb = self.rotary_tables(grid, hidden_states.device)
        with self._added_positions(grid, hidden_states):
            return super().forward(
                hidden_states,
                encoder_hidden_states,
                timestep,  # type: ignore[arg-type]
                attention_mask=attention_mask,
                encoder_attention_mask=encoder_attention_mask,
                image_rotary_emb=image_rotary_emb,  # type: ignore[arg-type]
                return_dict=return_dict,
            )

    def token_grid(self, latents: Tensor) -> Grid:
        """Frames, rows and columns of tokens that these latents become. Shape: B c t h w."""
        num_frames, height, width = latents.shape[2:]
        return num_frames, height // self.patch_size, width // self.patch_size

    def rotary_tables(self, grid: Grid, device: torch.device) -> RotaryTables | None:
        """What to pass as `image_rotary_emb`, so that it is made once for all denoising steps.

        The device is the latents': an offloaded model is still elsewhere.
        """
        if not self.use_rope:
            return None
        axes = rotary_axes(grid, self.head_dim, self.position_scale, device)
        return axes, self.token_places(grid, device)

    @contextmanager
    def _added_positions(self, grid: Grid, latents: Tensor) -> Iterator[None]:
        """Within it, patches of a model without rotary tables come out with their positions added."""
        if self.use_rope:
            yield
            return
        frames, height, width = self.trained_shape
        base = (frames, height // self.patch_size, width // self.patch_size)
        positions = added_positions(grid, base, self.inner_dim, self.position_scale, latents.device)

        def add(_: nn.Module, __: tuple, patches: Tensor) -> Tensor:
            return (patches + positions.repeat(len(latents), 1, 1)).to(patches.dtype)

        handle = self.pos_embed.register_forward_hook(add)
        try:
            yield
        finally:
            handle.remove()
