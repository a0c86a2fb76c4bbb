"""HunyuanVideo 1.5's decoder in a stream."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from vitascope.engine.compile import compiled_if
from vitascope.engine.vae_streams._causal import padded, remembered


class HunyuanVideo15Stream:
    """The decoder of an AutoencoderKLHunyuanVideo15, fed with a few latent frames at a time.

    Its norms are of each pixel by itself, its convolutions look back alone and its attention sees the past: with the
    last two inputs of each convolution and the keys and values of all frames so far, it equals the decode in one shot
    within rounding. In one shot diffusers masks the future with a square of all the clip's tokens, in tiles or not.

    Source: layers of diffusers 0.42.1, models/autoencoders/autoencoder_kl_hunyuanvideo15.py, Apache-2.0.
    """

    bare = True

    def __init__(self, vae: Any, compiled: bool = False) -> None:
        self._decoder = vae.decoder
        for layer in vae.decoder.modules():
            if compiled and isinstance(layer, nn.Conv3d):  # the norms' weights have four axes and cannot
                layer.weight.data = layer.weight.data.contiguous(memory_format=torch.channels_last_3d)
        self._format = torch.channels_last_3d if compiled else torch.contiguous_format
        self._resnet = compiled_if(compiled, _resnet)
        self._pixels = compiled_if(compiled, _pixels)

    def decode(self, latents: Tensor) -> Iterator[Tensor]:
        """Pixels of one group after the other. Shape: (B, c, t, h, w) -> several (B, 3, T, H, W).

        The first latent frame, which makes a single frame, and then two at a time, where all can be (each other
        size is compiled anew), else one.
        """
        size = 1 if latents.shape[2] % 2 == 0 else 2
        pasts: dict[Any, Any] = {}
        yield self._group(latents[:, :, :1], pasts)
        for group in latents[:, :, 1:].split(size, dim=2) if latents.shape[2] > 1 else ():
            yield self._group(group, pasts)

    def _group(self, latents: Tensor, pasts: dict[Any, Any]) -> Tensor:
        decoder = self._decoder
        frames, pasts[decoder.conv_in] = _with_past(latents, pasts.get(decoder.conv_in))
        states = decoder.conv_in.conv(frames) + latents.repeat_interleave(decoder.repeat, dim=1)
        states = states.contiguous(memory_format=self._format)
        middle = decoder.mid_block
        states = self._through(middle.resnets[:1], states, pasts)
        for attention, resnet in zip(middle.attentions, middle.resnets[1:], strict=True):
            if attention is not None:
                states, pasts[attention] = _attended(attention, states, pasts.get(attention))
            states = self._through([resnet], states, pasts)
        for block in decoder.up_blocks:
            states = self._through(block.resnets, states, pasts)
            for upsampler in block.upsamplers or ():
                states, pasts[upsampler] = _upsampled(upsampler, states, pasts.get(upsampler))
                states = states.contiguous(memory_format=self._format)
        pixels: Tensor
        pixels, pasts[decoder.conv_out] = self._pixels(decoder, states, pasts.get(decoder.conv_out))
        return pixels

    def _through(self, resnets: Any, states: Tensor, pasts: dict[Any, Any]) -> Tensor:
        for resnet in resnets:
            states, *pasts[resnet] = self._resnet(resnet, states, *pasts.get(resnet, (None, None)))
        return states


def _resnet(
    resnet: Any, states: Tensor, past1: Tensor | None, past2: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """One HunyuanVideo15ResnetBlock with the past of its two convolutions."""
    frames, past1 = _with_past(functional.silu(resnet.norm1(states)), past1)
    hidden = resnet.conv1.conv(frames)
    frames, past2 = _with_past(functional.silu(resnet.norm2(hidden)), past2)
    residual = states if resnet.conv_shortcut is None else resnet.conv_shortcut(states)
    return resnet.conv2.conv(frames) + residual, past1, past2


def _upsampled(upsampler: Any, states: Tensor, past: Tensor | None) -> tuple[Tensor, Tensor]:
    """Channels into pixels and frames, beside the input itself; the clip's first frame stays one."""
    frames, kept = _with_past(states, past)
    hidden = upsampler.conv.conv(frames)
    rearranged = upsampler._dcae_upsample_rearrange
    if past is None and upsampler.add_temporal_upsample:
        hidden = rearranged(hidden)
        hidden = hidden[:, : hidden.shape[1] // 2]
        shortcut = rearranged(states).repeat_interleave(upsampler.repeats // 2, dim=1)
    elif upsampler.add_temporal_upsample:
        hidden = rearranged(hidden, r1=2)
        shortcut = rearranged(states, r1=2).repeat_interleave(upsampler.repeats, dim=1)
    else:
        hidden = rearranged(hidden)
        shortcut = rearranged(states.repeat_interleave(upsampler.repeats, dim=1))
    return hidden + shortcut, kept


def _pixels(decoder: Any, states: Tensor, past: Tensor | None) -> tuple[Tensor, Tensor]:
    frames, past = _with_past(functional.silu(decoder.norm_out(states)), past)
    return decoder.conv_out.conv(frames), past


def _with_past(states: Tensor, past: Tensor | None) -> tuple[Tensor, Tensor]:
    """What a convolution reads, and what its next call needs of it."""
    frames = padded(states, past)
    return frames, remembered(frames)


def _attended(
    attention: Any, states: Tensor, past: tuple[Tensor, Tensor] | None
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Each frame attends to itself and all before it, whose keys and values are in `past`. Shape: (B, C, T, H, W)."""
    normed = attention.norm(states)
    query, key, value = (
        project(normed).flatten(2).transpose(1, 2).unsqueeze(1).contiguous()
        for project in (attention.to_q, attention.to_k, attention.to_v)
    )
    num_past = 0
    if past is not None:
        num_past = past[0].shape[2]
        key, value = torch.cat([past[0], key], dim=2), torch.cat([past[1], value], dim=2)
    each = states.shape[3] * states.shape[4]
    attended = [
        functional.scaled_dot_product_attention(
            query[:, :, start : start + each],
            key[:, :, : num_past + start + each],
            value[:, :, : num_past + start + each],
        )
        for start in range(0, query.shape[2], each)
    ]
    joined = torch.cat(attended, dim=2).squeeze(1).transpose(1, 2).unflatten(2, states.shape[2:])
    return attention.proj_out(joined) + states, (key, value)
