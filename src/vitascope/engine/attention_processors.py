"""Attention processors that run a block's large attention by a kernel of ours and let it compile as one graph.

diffusers 0.42.1's Mochi processor looks for valid text tokens on the GPU in every layer (96 host syncs a step
and two graph breaks a block), its HunyuanVideo processors mask text (1.5's by a square of all tokens in every layer),
and none can run `fa3-fwd`. These take a `JointAttend` instead and equal diffusers within rounding.

Source: what is computed follows diffusers 0.42.1, models/attention_processor.py (MochiAttnProcessor2_0,
CogVideoXAttnProcessor2_0), models/transformers/transformer_{wan,hunyuan_video,hunyuan_video15,ltx}.py, Apache-2.0.
"""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from vitascope.engine import mochi_rows
from vitascope.engine.attention import QKV, JointAttend, OneRow
from vitascope.engine.denoisers import blocks_of
from vitascope.errors import RequestError

NUM_MASKS = 4  # of both prompts, and of one where guidance ends early


class TextLengths:
    """How many text tokens of each sample are valid, read from the mask once a prompt.

    `values` is a CPU int64 tensor of shape (B,), or None before the first forward and for models without a mask.
    """

    def __init__(self, gaps: bool = False) -> None:
        self._gaps = gaps  # whether the model itself only counts
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
        if not self._gaps and not torch.equal(valid, torch.arange(valid.shape[1]) < counts[:, None]):
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
        text = _projected(attn, encoder_hidden_states, _added(attn))
        if (
            image_rotary_emb is not None
            and isinstance(self.joint, OneRow)
            and mochi_rows.can_join(text.query)
        ):
            return self._in_one_row(attn, hidden_states, text, image_rotary_emb, self.joint)
        video = _projected(attn, hidden_states, _own(attn))
        if image_rotary_emb is not None:
            query, key = (_rotate_per_head(tensor, image_rotary_emb) for tensor in (video.query, video.key))
            video = QKV(query, key, video.value)
        attended = self.joint(video, text, self.text_lengths.values)
        video_states, text_states = (states.flatten(2) for states in attended)
        video_states = attn.to_out[1](attn.to_out[0](video_states))
        return video_states, attn.to_add_out(text_states) if hasattr(attn, "to_add_out") else text_states

    def _in_one_row(
        self, attn: Any, hidden_states: Tensor, text: QKV, freqs: tuple[Tensor, Tensor], joint: OneRow
    ) -> tuple[Tensor, Tensor]:
        """The same attention, with norm, rotation and layout done in one pass over memory.

        The text's rows, half a percent, go through the video's last projection too: cut off before it, the rest
        would have to be copied.
        """
        to_q, to_k, to_v, norm_q, norm_k = _own(attn)
        query, key, value = (_heads(project, hidden_states, attn.heads) for project in (to_q, to_k, to_v))
        query, key = mochi_rows.normed_rotated_joined(
            (query, key), (text.query, text.key), (norm_q.weight, norm_k.weight), norm_q.eps, freqs
        )
        num_video = value.shape[1]
        row = QKV(query, key, torch.cat([value, text.value], dim=1))
        states = joint.attend(row, self.text_lengths.values, num_video).flatten(2)
        video_states = attn.to_out[1](attn.to_out[0](states))[:, :num_video]
        text_states = states[:, num_video:]
        return video_states, attn.to_add_out(text_states) if hasattr(attn, "to_add_out") else text_states


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
        video = _projected(attn, hidden_states, _own(attn))
        if image_rotary_emb is not None:
            query, key = (_rotate(tensor, image_rotary_emb) for tensor in (video.query, video.key))
            video = QKV(query, key, video.value)
        text = _projected(attn, encoder_hidden_states, _own(attn))
        outputs = self.joint(video, text, None)
        projected = [attn.to_out[1](attn.to_out[0](output.flatten(2))) for output in outputs]
        return projected[0], projected[1]


def _rotate_per_head(states: Tensor, freqs: tuple[Tensor, Tensor]) -> Tensor:
    """Mochi's learned rotation: an angle for each token, head and pair. Shape: (B, N, H, D), freqs (N, H, D/2)."""
    cos, sin = freqs
    even, odd = states[..., 0::2].float(), states[..., 1::2].float()
    pairs = torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1)
    return pairs.flatten(-2).to(states.dtype)


def _rotate(states: Tensor, freqs: tuple[Tensor, Tensor]) -> Tensor:
    """CogVideoX's and HunyuanVideo's rotation, the same for all heads. Shape: (B, N, H, D), freqs (N, D)."""
    return _turn(states, (freqs[0][None, :, None, :], freqs[1][None, :, None, :]))


def _turn(states: Tensor, freqs: tuple[Tensor, Tensor]) -> Tensor:
    """Rotate pairs of channels by the angles in `freqs`. Shape: (B, N, H, D), freqs as much or 1."""
    cos, sin = (table.to(states.device) for table in freqs)
    real, imaginary = states.unflatten(-1, (-1, 2)).unbind(-1)
    turned = torch.stack([-imaginary, real], dim=-1).flatten(-2)
    return (states.float() * cos + turned.float() * sin).to(states.dtype)


class HunyuanVideoJointProcessor:
    """Attention of one HunyuanVideo block, double-stream or single-stream, through a `JointAttend`.

    Its single-stream blocks project text with the same weights as the video.
    """

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
        """Shape: (B, N, D), (B, L, D) -> the same."""
        double = attn.add_q_proj is not None
        video = _projected(attn, hidden_states, _own(attn))
        text = _projected(attn, encoder_hidden_states, _added(attn) if double else _own(attn))
        if image_rotary_emb is not None:
            query, key = (_rotate(tensor, image_rotary_emb) for tensor in (video.query, video.key))
            video = QKV(query, key, video.value)
        attended = self.joint(video, text, self.text_lengths.values)
        video_states, text_states = (states.flatten(2) for states in attended)
        if not double:  # the block projects it, with its feed-forward
            return video_states, text_states
        return attn.to_out[1](attn.to_out[0](video_states)), attn.to_add_out(text_states)


class SelfProcessor:
    """Attention of video tokens to each other, through a `JointAttend`: Wan, SkyReels, LTX-Video.

    The text's attention, a hundredth of it, stays as diffusers has it.
    """

    def __init__(self, joint: JointAttend) -> None:
        self.joint = joint

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        image_rotary_emb: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Shape: (B, N, D) -> the same."""
        if attention_mask is not None or encoder_hidden_states is not None:
            raise RequestError("this attention takes no mask and no text", param="attention")
        projected = (
            attn.norm_q(attn.to_q(hidden_states)),
            attn.norm_k(attn.to_k(hidden_states)),
            attn.to_v(hidden_states),
        )
        query, key, value = (states.unflatten(2, (attn.heads, -1)) for states in projected)
        if image_rotary_emb is not None:
            query, key = (_turn(states, _per_head(image_rotary_emb, attn.heads)) for states in (query, key))
        no_text = QKV(*(states[:, :0] for states in (query, key, value)))
        attended, _ = self.joint(QKV(query, key, value), no_text, None)
        output: Tensor = attn.to_out[1](attn.to_out[0](attended.flatten(2)))
        return output


def _own(attn: Any) -> tuple[Any, ...]:
    return attn.to_q, attn.to_k, attn.to_v, attn.norm_q, attn.norm_k


def _added(attn: Any) -> tuple[Any, ...]:
    return attn.add_q_proj, attn.add_k_proj, attn.add_v_proj, attn.norm_added_q, attn.norm_added_k


def _projected(attn: Any, states: Tensor, by: tuple[Any, ...]) -> QKV:
    to_q, to_k, to_v, norm_q, norm_k = by
    query, key, value = (_heads(project, states, attn.heads) for project in (to_q, to_k, to_v))
    return QKV(norm_q(query) if norm_q else query, norm_k(key) if norm_k else key, value)


def _heads(project: Any, states: Tensor, heads: int) -> Tensor:
    by_head: Tensor = project(states).unflatten(2, (heads, -1))
    return by_head


def _per_head(freqs: tuple[Tensor, Tensor], heads: int) -> tuple[Tensor, Tensor]:
    """Tables of cosines and sines as (B, N, 1 or H, D): Wan's are the same for all heads, LTX-Video's go over them."""
    cos, sin = freqs
    if cos.ndim == 3:
        cos, sin = cos.unflatten(2, (heads, -1)), sin.unflatten(2, (heads, -1))
    return cos, sin


def _install_mochi(transformer: Any, processed: Iterable[JointAttend]) -> list[Any]:
    lengths = TextLengths()
    _read_lengths_before_forward(transformer, lengths)
    return [MochiJointProcessor(each, lengths) for each in processed]


def _install_hunyuan(transformer: Any, processed: Iterable[JointAttend]) -> list[Any]:
    lengths = TextLengths(gaps=True)
    _read_lengths_before_forward(transformer, lengths)
    return [HunyuanVideoJointProcessor(each, lengths) for each in processed]


def _install_hunyuan15(transformer: Any, processed: Iterable[JointAttend]) -> list[Any]:
    lengths = TextLengths()
    forward = inspect.signature(type(transformer).forward)

    def read(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """The model puts valid tokens of both texts and of the picture first; zeros stand for no picture."""
        given = forward.bind(transformer, *args, **kwargs).arguments
        counts = given["encoder_attention_mask"].bool().sum(1) + given["encoder_attention_mask_2"].bool().sum(
            1
        )
        picture = given["image_embeds"]
        counts = counts + picture.shape[1] * picture.any()
        lengths.values = counts.to("cpu", torch.int64)  # the model waits for the GPU here in any case

    _before_forward(transformer, read)
    return [HunyuanVideoJointProcessor(each, lengths) for each in processed]


def _each(processor: Callable[[JointAttend], Any]) -> Callable[[Any, Iterable[JointAttend]], list[Any]]:
    return lambda _transformer, processed: [processor(each) for each in processed]


# diffusers' class -> the attention of a block that is replaced, and what makes its processors.
FAMILIES: dict[str, tuple[str, Callable[[Any, Iterable[JointAttend]], list[Any]]]] = {
    "MochiTransformer3DModel": ("attn1", _install_mochi),
    "CogVideoXTransformer3DModel": ("attn1", _each(CogVideoXJointProcessor)),
    "WanTransformer3DModel": ("attn1", _each(SelfProcessor)),
    "WanVACETransformer3DModel": ("attn1", _each(SelfProcessor)),
    "SkyReelsV2Transformer3DModel": ("attn1", _each(SelfProcessor)),
    "HunyuanVideoTransformer3DModel": ("attn", _install_hunyuan),
    "HunyuanVideo15Transformer3DModel": ("attn", _install_hunyuan15),
    "LTXVideoTransformer3DModel": ("attn1", _each(SelfProcessor)),
}


def install(transformer: nn.Module, joint: JointAttend, edges: JointAttend | None = None) -> None:
    """Let all blocks of a known transformer attend through `joint`; again to replace it.

    The first and the last block attend through `edges` where it is given.
    Raises: RequestError for another model: a setting without effect is an error.
    """
    name = type(transformer).__name__
    if name not in FAMILIES:
        raise RequestError(
            f"no attention processor for {name}; leave the attention kernel alone", param="attention"
        )
    place, made = FAMILIES[name]
    # One object for all blocks, so that they share one compiled graph.
    processors = made(transformer, (joint, edges or joint))
    blocks = blocks_of(transformer)
    for index, block in enumerate(blocks):
        edge = edges is not None and index in (0, len(blocks) - 1)
        getattr(block, place).processor = processors[int(edge)]


def _read_lengths_before_forward(transformer: Any, lengths: TextLengths) -> None:
    def read(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        lengths.read(kwargs["encoder_attention_mask"] if "encoder_attention_mask" in kwargs else args[3])

    _before_forward(transformer, read)


def _before_forward(transformer: Any, read: Callable[..., None]) -> None:
    previous = getattr(transformer, "_vitascope_text_lengths", None)
    if previous is not None:
        previous.remove()
    transformer._vitascope_text_lengths = transformer.register_forward_pre_hook(read, with_kwargs=True)
