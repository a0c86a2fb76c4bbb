"""HunyuanVideo's decoder in a stream."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from vitascope.engine.compile import compiled_if
from vitascope.engine.vae_streams._causal import padded, remembered

# Frames that go through a convolution at once, after one more at the start: time doubles from 1 + n to 1 + 2n.
FRAMES_AT_ONCE = 4


class HunyuanVideoStream:
    """The decoder of an AutoencoderKLHunyuanVideo: diffusers' pieces of five latent frames, each blended into the next.

    Its norms see all frames of a piece, so the pieces and their blending in time are diffusers' (the default there)
    and the frames equal its frames within rounding. A piece is decoded without tiles: norms are measured over it
    frame by frame, convolutions take a few of its frames at a time, and where diffusers masks the future in attention
    (a square of all tokens of the piece, 10 GiB at 1280x720), each frame attends to itself and those before it.

    Source: layers, pieces and blending of diffusers 0.42.1, models/autoencoders/autoencoder_kl_hunyuan_video.py
    (_temporal_tiled_decode), Apache-2.0.
    """

    bare = False

    def __init__(self, vae: Any, compiled: bool = False) -> None:
        self._vae = vae
        if compiled:
            vae.decoder.to(memory_format=torch.channels_last_3d)
        self._format = torch.channels_last_3d if compiled else torch.contiguous_format
        self._moments = compiled_if(compiled, _moments)
        self._activated = compiled_if(compiled, _activated)
        self._padded = compiled_if(compiled, padded)

    def decode(self, latents: Tensor) -> Iterator[Tensor]:
        """Pixels of one piece after the other, blended. Shape: (B, c, t, h, w) -> several (B, 3, T, H, W)."""
        vae, num_frames = self._vae, latents.shape[2]
        ratio = vae.temporal_compression_ratio
        size, stride = vae.tile_sample_min_num_frames // ratio, vae.tile_sample_stride_num_frames // ratio
        if not vae.use_framewise_decoding or num_frames <= size:
            yield self._piece(latents)
            return
        blended = vae.tile_sample_min_num_frames - vae.tile_sample_stride_num_frames
        before: Tensor | None = None
        for start in range(0, num_frames, stride):
            pixels = self._piece(latents[:, :, start : start + size + 1])
            kept = vae.tile_sample_stride_num_frames
            if before is None:
                kept += 1
            else:
                pixels = vae.blend_t(before, pixels[:, :, 1:], blended)
            if pixels.shape[2]:
                yield pixels[:, :, :kept]
            before = pixels[:, :, -blended:]

    def _piece(self, latents: Tensor) -> Tensor:
        decoder = self._vae.decoder
        latents = self._vae.post_quant_conv(latents).contiguous(memory_format=self._format)
        states = self._joined(self._convolved(decoder.conv_in, self._chunks(latents)), latents.shape[2])
        middle = decoder.mid_block
        states = self._resnet(middle.resnets[0], states)
        for attention, resnet in zip(middle.attentions, middle.resnets[1:], strict=True):
            if attention is not None:
                states = _attended(attention, states)
            states = self._resnet(resnet, states)
        for block in decoder.up_blocks:
            for resnet in block.resnets:
                states = self._resnet(resnet, states)
            for upsampler in block.upsamplers or ():
                states = self._upsampled(upsampler, states)
        scale, shift = self._measured(decoder.conv_norm_out, states)
        activated = self._with_past(self._activated, self._chunks(states), scale, shift)
        return self._joined((decoder.conv_out.conv(frames) for frames in activated), states.shape[2])

    def _resnet(self, resnet: Any, states: Tensor) -> Tensor:
        scale, shift = self._measured(resnet.norm1, states)
        activated = self._with_past(self._activated, self._chunks(states), scale, shift)
        hidden = self._joined((resnet.conv1.conv(frames) for frames in activated), states.shape[2])
        scale, shift = self._measured(resnet.norm2, hidden)
        activated = self._with_past(self._activated, self._chunks(hidden), scale, shift)
        start = 0
        for frames, residual in zip(activated, self._chunks(states), strict=True):
            if resnet.conv_shortcut is not None:
                residual = resnet.conv_shortcut.conv(residual)
            stop = start + residual.shape[2]
            # In its input's place: what the next frames need of it is kept beside.
            torch.add(resnet.conv2.conv(frames), residual, out=hidden[:, :, start:stop])
            start = stop
        return hidden

    def _upsampled(self, upsampler: Any, states: Tensor) -> Tensor:
        in_time, in_height, in_width = (int(factor) for factor in upsampler.upsample_factor)
        num_frames = 1 + (states.shape[2] - 1) * in_time
        first, *others = self._chunks(states, max(FRAMES_AT_ONCE // in_time, 1))
        single = _enlarged(first[:, :, :1], 1, in_height, in_width)  # the clip's first frame stays one
        rest = (_enlarged(chunk, in_time, in_height, in_width) for chunk in (first[:, :, 1:], *others))
        chunks = itertools.chain([torch.cat([single, next(rest)], dim=2)], rest)
        return self._joined(self._convolved(upsampler.conv, chunks), num_frames)

    def _convolved(self, conv: Any, chunks: Iterable[Tensor]) -> Iterator[Tensor]:
        return (conv.conv(frames) for frames in self._with_past(self._padded, chunks))

    @staticmethod
    def _chunks(states: Tensor, at_once: int = FRAMES_AT_ONCE) -> list[Tensor]:
        """Views of the first frame and `at_once` more, then of `at_once` each."""
        first, rest = states[:, :, : 1 + at_once], states[:, :, 1 + at_once :]
        return [first, *(rest.split(at_once, dim=2) if rest.shape[2] else ())]

    @staticmethod
    def _with_past(prepare: Callable[..., Any], chunks: Iterable[Tensor], *details: Any) -> Iterator[Tensor]:
        """What a convolution reads: each chunk prepared, with the two frames before it."""
        past = None
        for chunk in chunks:
            frames = prepare(chunk, past, *details)
            past = remembered(frames)
            yield frames

    def _joined(self, pieces: Iterator[Tensor], num_frames: int) -> Tensor:
        """Chunks written into one tensor as they come, so that no second copy of all of them is needed."""
        whole, start = None, 0
        for piece in pieces:
            if whole is None:
                if piece.shape[2] == num_frames:
                    return piece
                shape = (*piece.shape[:2], num_frames, *piece.shape[3:])
                whole = torch.empty(shape, dtype=piece.dtype, device=piece.device, memory_format=self._format)
            whole[:, :, start : start + piece.shape[2]] = piece
            start += piece.shape[2]
        assert whole is not None, "there is at least one latent frame"
        return whole

    def _measured(self, norm: nn.GroupNorm, states: Tensor) -> tuple[Tensor, Tensor]:
        """A group norm over all frames as one scale and shift a channel. Shape: (B, C, T, H, W) -> (B, C, 1, 1, 1)."""
        moments = [self._moments(frame, norm.num_groups) for frame in states.unbind(2)]
        variances, means = (torch.stack(each) for each in zip(*moments, strict=True))
        mean = means.mean(0)
        variance = variances.mean(0) + (means - mean).square().mean(0)
        scale = (variance + norm.eps).rsqrt()
        each = norm.num_channels // norm.num_groups
        mean, scale = (value.repeat_interleave(each, dim=1) for value in (mean, scale))
        scale = scale * norm.weight.float()
        shift = norm.bias.float() - mean * scale
        return scale[:, :, None, None, None], shift[:, :, None, None, None]


def _moments(frame: Tensor, num_groups: int) -> tuple[Tensor, Tensor]:
    """Variance and mean of each group of channels. Shape: (B, C, H, W) -> (B, G) each, float32."""
    groups = frame.float().unflatten(1, (num_groups, -1))
    return torch.var_mean(groups, dim=(2, 3, 4), correction=0)


def _activated(chunk: Tensor, past: Tensor | None, scale: Tensor, shift: Tensor) -> Tensor:
    """Norm and SiLU, then as `padded`."""
    normed = torch.addcmul(shift, chunk.float(), scale)
    return padded(functional.silu(normed).to(chunk.dtype), past)


def _enlarged(chunk: Tensor, in_time: int, in_height: int, in_width: int) -> Tensor:
    """Upsample by nearest neighbours, channels last in memory. Shape: (B, C, T, H, W) -> (B, C, T*t, H*h, W*w)."""
    batch, channels, num_frames, height, width = chunk.shape
    pixels = chunk.permute(0, 2, 3, 4, 1)[:, :, None, :, None, :, None]
    pixels = pixels.expand(-1, -1, in_time, -1, in_height, -1, in_width, -1)
    pixels = pixels.reshape(batch, num_frames * in_time, height * in_height, width * in_width, channels)
    return pixels.permute(0, 4, 1, 2, 3)


def _attended(attention: Any, states: Tensor) -> Tensor:
    """Attention of the middle block: each frame to itself and those before it. Shape: (B, C, T, H, W)."""
    batch, _, num_frames, height, width = states.shape
    tokens = states.permute(0, 2, 3, 4, 1).flatten(1, 3)
    normed = attention.group_norm(tokens.transpose(1, 2)).transpose(1, 2)
    query, key, value = (
        project(normed).view(batch, -1, attention.heads, states.shape[1] // attention.heads).transpose(1, 2)
        for project in (attention.to_q, attention.to_k, attention.to_v)
    )
    each = height * width
    attended = [
        functional.scaled_dot_product_attention(
            query[:, :, start : start + each], key[:, :, : start + each], value[:, :, : start + each]
        )
        for start in range(0, num_frames * each, each)
    ]
    joined = torch.cat(attended, dim=2).transpose(1, 2).flatten(2)
    tokens = attention.to_out[0](joined) + tokens
    return tokens.unflatten(1, (num_frames, height, width)).permute(0, 4, 1, 2, 3)
