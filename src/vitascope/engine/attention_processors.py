"""Attention processors for Mochi and CogVideoX that let their blocks compile as one graph each.

diffusers 0.42.1's Mochi processor looks for valid text tokens on the GPU in every layer (96 host syncs a step
and two graph breaks a block) and both ignore `set_attention_backend`. These take a `JointAttend` instead and
equal diffusers within rounding.

Source: what is computed follows diffusers 0.42.1, models/attention_processor.py (MochiAttnProcessor2_0,
CogVideoXAttnProcessor2_0), Apache-2.0.
"""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import Tensor, nn

from vitascope.engine.attention import QKV, JointAttend
from vitascope.errors import RequestError

NUM_MASKS = 4  # of both prompts, and of one where guidance ends early


class TextLengths:
    """How many text tokens of each sample are valid, read from the mask once a prompt.

    `values` is a CPU int64 tensor of shape (B,), or None before the first forward and for models without a mask.
    """

    def __init__(self) -> None:
        self.values: Tensor | None = None
        self._read: list[tuple[weakref.ref[Tensor], Tensor]] = []

    def read(self, mask: Tensor) -> None:
        """Count the valid tokens of a mask (B, L) not seen lately; this alone waits for the GPU.

        Raises: RequestError for a mask whose valid tokens are not the first ones.
        """
        for seen, counts in self._read:
            if seen() is mask:
                self.values = counts
                return
        valid = mask.detach().to("cpu", torch.bool)
        counts = valid.sum(dim=1)
        if not torch.equal(valid, torch.arange(valid.shape[1]) < counts[:, None]):
            raise RequestError("the text mask has gaps; valid tokens must come first", param="prompt")
        self.values = counts
        self._read = [*self._read[1 - NUM_MASKS :], (weakref.ref(mask), counts)]


class MochiJointProcessor:
    """Attention of one MochiTransformerBlock through a `JointAttend`."""

    def __init__(self, joint: JointAttend, text_lengths: TextLengths) -> None:
        self.joint = joint
        self.text_lengths = text_lengths

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: Tensor | None = None,  # noqa: ARG002  diffusers hands it over; `text_lengths` says it
        image_rotary_emb: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Shape: (B, N, D), (B, L, D_text) -> the same."""
        query, key, value = (
            project(hidden_states).unflatten(2, (attn.heads, -1))
            for project in (attn.to_q, attn.to_k, attn.to_v)
        )
        text_query, text_key, text_value = (
            project(encoder_hidden_states).unflatten(2, (attn.heads, -1))
            for project in (attn.add_q_proj, attn.add_k_proj, attn.add_v_proj)
        )
        query, key = attn.norm_q(query), attn.norm_k(key)
        text_query, text_key = attn.norm_added_q(text_query), attn.norm_added_k(text_key)
        if image_rotary_emb is not None:
            query, key = (_rotate_per_head(tensor, image_rotary_emb) for tensor in (query, key))
        video, text = self.joint(
            QKV(query, key, value), QKV(text_query, text_key, text_value), self.text_lengths.values
        )
        video = attn.to_out[1](attn.to_out[0](video.flatten(2)))
        text = text.flatten(2)
        return video, attn.to_add_out(text) if hasattr(attn, "to_add_out") else text


class CogVideoXJointProcessor:
    """Attention of one CogVideoXBlock through a `JointAttend`; all text tokens are valid."""

    def __init__(self, joint: JointAttend) -> None:
        self.joint = joint

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        image_rotary_emb: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Shape: (B, N, D), (B, L, D) -> the same."""
        if attention_mask is not None:
            raise RequestError("CogVideoX attention takes no mask here", param="attention")
        video = self._qkv(attn, hidden_states)
        if image_rotary_emb is not None:
            query, key = (_rotate(tensor, image_rotary_emb) for tensor in (video.query, video.key))
            video = QKV(query, key, video.value)
        outputs = self.joint(video, self._qkv(attn, encoder_hidden_states), None)
        projected = [attn.to_out[1](attn.to_out[0](output.flatten(2))) for output in outputs]
        return projected[0], projected[1]

    @staticmethod
    def _qkv(attn: Any, states: Tensor) -> QKV:
        query, key, value = (
            project(states).unflatten(2, (attn.heads, -1)) for project in (attn.to_q, attn.to_k, attn.to_v)
        )
        if attn.norm_q is not None:
            query = attn.norm_q(query)
        if attn.norm_k is not None:
            key = attn.norm_k(key)
        return QKV(query, key, value)


def _rotate_per_head(states: Tensor, freqs: tuple[Tensor, Tensor]) -> Tensor:
    """Mochi's learned rotation: an angle for each token, head and pair. Shape: (B, N, H, D), freqs (N, H, D/2)."""
    cos, sin = freqs
    even, odd = states[..., 0::2].float(), states[..., 1::2].float()
    pairs = torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1)
    return pairs.flatten(-2).to(states.dtype)


def _rotate(states: Tensor, freqs: tuple[Tensor, Tensor]) -> Tensor:
    """CogVideoX's rotation, the same for all heads. Shape: (B, N, H, D), freqs (N, D)."""
    cos, sin = (table[None, :, None, :].to(states.device) for table in freqs)
    real, imaginary = states.unflatten(-1, (-1, 2)).unbind(-1)
    turned = torch.stack([-imaginary, real], dim=-1).flatten(-2)
    return (states.float() * cos + turned.float() * sin).to(states.dtype)


def supports(transformer: nn.Module) -> bool:
    """Whether `install` knows this model."""
    return type(transformer).__name__ in ("MochiTransformer3DModel", "CogVideoXTransformer3DModel")


def install(
    transformer: nn.Module, joint: JointAttend, edges: JointAttend | None = None, num_edges: int = 1
) -> None:
    """Let all blocks of a Mochi or CogVideoX transformer attend through `joint`; again to replace it.

    The first and last `num_edges` blocks attend through `edges` where it is given.
    Raises: RequestError for another model: a setting without effect is an error.
    """
    name = type(transformer).__name__
    if name == "MochiTransformer3DModel":
        lengths = TextLengths()
        _read_lengths_before_forward(transformer, lengths)
        processors: list[Any] = [MochiJointProcessor(each, lengths) for each in (joint, edges or joint)]
    elif name == "CogVideoXTransformer3DModel":
        processors = [CogVideoXJointProcessor(each) for each in (joint, edges or joint)]
    else:
        raise RequestError(
            f"no attention processor for {name}; leave the attention kernel alone", param="attention"
        )
    # One object for all blocks, so that they share one compiled graph.
    blocks: Any = transformer.transformer_blocks
    for index, block in enumerate(blocks):
        edge = edges is not None and not num_edges <= index < len(blocks) - num_edges
        block.attn1.processor = processors[int(edge)]


def _read_lengths_before_forward(transformer: Any, lengths: TextLengths) -> None:
    previous = getattr(transformer, "_vitascope_text_lengths", None)
    if previous is not None:
        previous.remove()

    def read(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        lengths.read(kwargs["encoder_attention_mask"] if "encoder_attention_mask" in kwargs else args[3])

    transformer._vitascope_text_lengths = transformer.register_forward_pre_hook(read, with_kwargs=True)
