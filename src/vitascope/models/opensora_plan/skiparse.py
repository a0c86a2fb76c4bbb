"""Skiparse attention: each token sees every k-th token, or every k-th group of k, in turn.

Source: Open-Sora Plan (Lin et al. 2024, arXiv 2412.00131, section 3.2);
github.com/PKU-YuanGroup/Open-Sora-Plan at v1.3.1, opensora/models/diffusion/opensora_v1_3/modules.py, MIT.
"""

from __future__ import annotations

import torch.nn.functional as F
from diffusers.models.attention_dispatch import dispatch_attention_fn
from diffusers.models.attention_processor import Attention
from diffusers.models.embeddings import apply_rotary_emb_allegro
from torch import Tensor

from vitascope.errors import UnsupportedTask
from vitascope.models.opensora_plan.positions import RotaryTables

# Above the -10000 of a masked token: where all else is masked, a query looks at padding, which is zero.
PADDING_BIAS = -9980.0


class SkiparseAttnProcessor:
    """Self-attention among every `stride`-th token, or (`in_groups`) every `stride`-th group of `stride`.

    Two layers, one of each kind, let every token reach every other at 1/stride of the cost each. A stride of 1
    is dense attention. Runs on any attention backend of diffusers; split over devices by tokens (`plan`), it
    deals out its own device's tokens, as a part is the same set of tokens either way.
    Source: see the module.
    """

    # Both are set from outside, by `set_attention_backend` and `enable_parallelism` of the model.
    _attention_backend = None
    _parallel_config = None

    def __init__(self, stride: int = 1, *, in_groups: bool = False) -> None:
        self.stride = stride
        self.in_groups = in_groups

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        image_rotary_emb: RotaryTables | None = None,
    ) -> Tensor:
        """Attend. Shape: B N D -> the same; `attention_mask` is a bias B 1 N."""
        assert encoder_hidden_states is None, "skiparse attention is among the tokens of the clip"
        num_tokens = hidden_states.shape[1]
        query, key, value = (
            project(hidden_states).unflatten(-1, (attn.heads, -1))
            for project in (attn.to_q, attn.to_k, attn.to_v)
        )
        if image_rotary_emb is not None:
            query = apply_rotary_emb_allegro(query.transpose(1, 2), *image_rotary_emb).transpose(1, 2)
            key = apply_rotary_emb_allegro(key.transpose(1, 2), *image_rotary_emb).transpose(1, 2)

        padding = -num_tokens % self.stride**2
        if padding and self._parallel_config is not None:
            raise UnsupportedTask(
                f"{num_tokens} tokens on each device: skiparse attention needs a multiple of {self.stride**2}; "
                "take another size or number of devices"
            )
        query, key, value = (self._part(F.pad(x, (0, 0, 0, 0, 0, padding))) for x in (query, key, value))
        attended = dispatch_attention_fn(
            query,
            key,
            value,
            attn_mask=self._bias(attention_mask, padding, hidden_states),
            backend=self._attention_backend,
            parallel_config=self._parallel_config,
        )
        attended = self._join(attended)[:, :num_tokens].flatten(2)
        output: Tensor = attn.to_out[1](attn.to_out[0](attended.type_as(hidden_states)))
        return output

    def _bias(self, attention_mask: Tensor | None, padding: int, tokens: Tensor) -> Tensor | None:
        """The bias of each part's keys, None where all are seen alike. Shape: (B k) 1 1 N/k."""
        if attention_mask is None and not padding:
            return None
        if attention_mask is None:
            attention_mask = tokens.new_zeros(tokens.shape[0], 1, tokens.shape[1])
        bias = F.pad(attention_mask, (0, padding), value=PADDING_BIAS)
        return self._part(bias.transpose(1, 2)[..., None]).permute(0, 2, 3, 1)

    def _part(self, x: Tensor) -> Tensor:
        """Deal the tokens out to `stride` parts beside the batch. Shape: B N heads d -> (B k) N/k heads d."""
        if self.in_groups:
            parts = x.unflatten(1, (-1, self.stride, self.stride)).transpose(1, 2).flatten(2, 3)
        else:
            parts = x.unflatten(1, (-1, self.stride)).transpose(1, 2)
        return parts.flatten(0, 1)

    def _join(self, parts: Tensor) -> Tensor:
        """Undo `_part`. Shape: (B k) N/k heads d -> B N heads d."""
        x = parts.unflatten(0, (-1, self.stride))
        if self.in_groups:
            return x.unflatten(2, (-1, self.stride)).transpose(1, 2).flatten(1, 3)
        return x.transpose(1, 2).flatten(1, 2)
