"""diffusers' CogVideoX transformer with Tora's motion guidance before each block's attention."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from diffusers.models.modeling_utils import ModelMixin
from diffusers.models.transformers.cogvideox_transformer_3d import CogVideoXTransformer3DModel
from torch import Tensor, nn

from vitascope.models.tora.convert import from_authors_names
from vitascope.models.tora.fusing import MotionGuidanceFuser, TrajectoryExtractor

# A pipeline folder names this module; diffusers looks in it for the base class that says how to load from it.
__all__ = ["ModelMixin", "ToraTransformer3DModel"]


class ToraTransformer3DModel(CogVideoXTransformer3DModel):
    """CogVideoX's transformer that follows a film of motion while it is lent one; without, CogVideoX itself.

    Arguments, configuration and names of parameters are those of CogVideoX's and, for what is added, of upstream's
    class of this name.

    Source: alibaba/Tora at 9a23dce, `diffusers-version/tora/transformer_3d.py`, Apache-2.0.
    """

    motion_channels: ClassVar[int] = 128
    from_authors_names = staticmethod(from_authors_names)

    @functools.wraps(CogVideoXTransformer3DModel.__init__)  # type: ignore[misc]
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        config: Any = self.config
        width = config.num_attention_heads * config.attention_head_dim
        self.traj_extractor = TrajectoryExtractor(
            [self.motion_channels] * config.num_layers,
            in_channels=config.out_channels,
            patch_size_t=config.patch_size_t or 1,
        )
        self.fuser = nn.ModuleList(
            MotionGuidanceFuser(self.motion_channels, width) for _ in self.transformer_blocks
        )
        self._flow_latents: Tensor | None = None
        self._motion: list[Tensor] = []
        for index, block in enumerate(self.transformer_blocks):
            norm: Any = block.norm1
            norm.register_forward_hook(functools.partial(self._fused, index))

    @contextmanager
    def following(self, flow_latents: Tensor | None) -> Iterator[None]:
        """Follow this motion in every call. Shape: (B, t, c, h, w), as the noise; None: follow none."""
        self._flow_latents = flow_latents
        try:
            yield
        finally:
            self._flow_latents, self._motion = None, []

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """As diffusers', after the motion was read: once for all steps, since no step changes it."""
        if self._flow_latents is not None and not self._motion:
            self._motion = self.traj_extractor(self._flow_latents.transpose(1, 2))
        return super().forward(*args, **kwargs)

    def _fused(
        self, index: int, _norm: nn.Module, _given: tuple[Any, ...], output: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...] | None:
        """The output of a block's first norm with the tokens of the clip bent; those of the text stay."""
        if not self._motion:
            return None
        tokens, motion = output[0], self._motion[index]
        height, width = motion.shape[-2:]
        num_frames = tokens.shape[1] // (height * width)
        maps = tokens.unflatten(1, (num_frames, height, width)).permute(0, 1, 4, 2, 3).flatten(0, 1)
        bent = self.fuser[index](maps, motion, num_frames)
        bent = bent.unflatten(0, (-1, num_frames)).permute(0, 1, 3, 4, 2).flatten(1, 3)
        return (bent, *output[1:])
