"""Decoding latents group by group of frames, so that a clip's memory does not grow with its length.

A causal VAE needs of the past only what its convolutions reach back to: each keeps its last input frames. There are
no tiles and so no seams of tiles, and frames can be encoded into a file while the next group is decoded.
`vae_streams` says for each family what its stream equals.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from vitascope.engine.arriving_frames import ArrivingFrames
from vitascope.engine.compile import compiled_if
from vitascope.engine.parallel.rows import SharedRows
from vitascope.engine.vae_streams import Stream, stream_of


class MochiStream:
    """The decoder of an AutoencoderKLMochi, fed with a few latent frames at a time.

    Every group goes through the same graphs: the first one's past is its first frame repeated, which is what
    the one-shot decoder pads with. `share` says which rows of latents are decoded here, if not all; the pixels
    that come out are whole even so.

    Source: layers of diffusers 0.42.1, models/autoencoders/autoencoder_kl_mochi.py, Apache-2.0.
    """

    bare = False

    def __init__(self, vae: Any, compiled: bool = False) -> None:
        self._decoder = vae.decoder
        self._dropped = vae.temporal_compression_ratio - 1 if vae.drop_last_temporal_frames else 0
        if compiled:
            self._decoder.to(memory_format=torch.channels_last_3d)
        self._format = torch.channels_last_3d if compiled else torch.contiguous_format
        self._resnet: Callable[..., Any] = compiled_if(compiled, _resnet)
        self._expand: Callable[..., Any] = compiled_if(compiled, _expand)
        self._pixels: Callable[..., Any] = compiled_if(compiled, _pixels)
        self.share: Callable[[Tensor], SharedRows | None] = lambda _: None

    def decode(self, latents: Tensor, frames_per_group: int | None = None) -> Iterator[Tensor]:
        """Pixels of one group after the other. Shape: (B, c, t, h, w) -> several (B, 3, T, H, W).

        Groups are of two latent frames where all can be (each other size is compiled anew), else of one.
        """
        if frames_per_group is None:
            frames_per_group = 1 if latents.shape[2] % 2 else 2
        caches: dict[nn.Module, list[Tensor]] = {}
        rows = self.share(latents)
        if rows is not None:
            latents = rows.own(latents)
        for start in range(0, latents.shape[2], frames_per_group):
            group = self._decode_group(latents[:, :, start : start + frames_per_group], caches, rows)
            if rows is not None:
                group = rows.whole(group)
            yield group[:, :, self._dropped :] if start == 0 else group

    def _decode_group(
        self, latents: Tensor, caches: dict[nn.Module, list[Tensor]], rows: SharedRows | None
    ) -> Tensor:
        decoder = self._decoder
        states = decoder.conv_in(latents).contiguous(memory_format=self._format)
        states = self._through(decoder.block_in.resnets, states, caches, rows)
        for block in decoder.up_blocks:
            states = self._through(block.resnets, states, caches, rows)
            in_time, in_space = block.temporal_expansion, block.spatial_expansion
            layer = (
                _channels_last(each, in_time * in_space**2) for each in (block.proj.weight, block.proj.bias)
            )
            states = self._expand(states, *layer, in_time, in_space)
            states = states.contiguous(memory_format=self._format)
        states = self._through(decoder.block_out.resnets, states, caches, rows)
        result: Tensor = self._pixels(decoder.proj_out, states)
        return result

    def _through(
        self, resnets: Any, states: Tensor, caches: dict[nn.Module, list[Tensor]], rows: SharedRows | None
    ) -> Tensor:
        for resnet in resnets:
            past = caches.get(resnet)
            first = torch.full(
                (), past is None, device=states.device
            )  # a tensor, so that one graph does for all
            past1, past2 = past or _no_past(resnet, states)
            states, *caches[resnet] = self._resnet(resnet, states, past1, past2, first, rows)
        return states


def _no_past(resnet: Any, states: Tensor) -> list[Tensor]:
    batch, _, _, height, width = states.shape
    pasts = []
    for conv in (resnet.conv1, resnet.conv2):
        padded = (height + 2 * conv.height_pad, width + 2 * conv.width_pad)
        pasts.append(states.new_zeros(batch, conv.conv.in_channels, conv.time_pad, *padded))
    return pasts


def _resnet(
    resnet: Any, states: Tensor, past1: Tensor, past2: Tensor, first: Tensor, rows: SharedRows | None
) -> tuple[Tensor, Tensor, Tensor]:
    """One MochiResnetBlock3D with the past of its two convolutions."""
    hidden, past1 = _causal_conv(resnet.norm1, resnet.conv1, states, past1, first, rows)
    hidden, past2 = _causal_conv(resnet.norm2, resnet.conv2, hidden, past2, first, rows)
    return hidden + states, past1, past2


def _causal_conv(
    norm: Any, conv: Any, states: Tensor, past: Tensor, first: Tensor, rows: SharedRows | None
) -> tuple[Tensor, Tensor]:
    """Group norm, SiLU, convolution. The past is kept with its spatial padding, so that all of the convolution's
    input is written once."""
    pads = [conv.width_pad, conv.width_pad, conv.height_pad, conv.height_pad, 0, 0]
    if rows is None:
        states = _norm_silu(norm, states)
    else:
        states, pads[2:4] = _shared_norm_silu(norm, states, rows), (0, 0)
    states = functional.pad(states, pads, mode="replicate")
    states = torch.cat([torch.where(first, states[:, :, :1], past), states], dim=2)
    # A copy, so that the group's whole tensor can go.
    past = states[:, :, states.shape[2] - conv.time_pad :].clone()
    return functional.conv3d(states, conv.conv.weight, conv.conv.bias), past


def _norm_silu(norm: Any, states: Tensor) -> Tensor:
    """Group norm of each frame by itself, then SiLU. Shape: (B, C, T, H, W)."""
    batch = states.shape[0]
    frames = states.transpose(1, 2).flatten(0, 1)
    layer = norm.norm_layer
    frames = functional.group_norm(frames, layer.num_groups, layer.weight, layer.bias, layer.eps)
    return functional.silu(frames.unflatten(0, (batch, -1)).transpose(1, 2))


def _shared_norm_silu(norm: Any, states: Tensor, rows: SharedRows) -> Tensor:
    """`_norm_silu` over the rows of all devices, with the neighbours' rows that the 3x3 convolution reaches to."""
    moments = rows.moments(states, norm.norm_layer.num_groups)
    return functional.silu(rows.normed(rows.around(states), norm.norm_layer, *moments))


def _channels_last(parameter: Tensor, size: int) -> Tensor:
    """A layer's weight or bias with its outputs reordered: for each of `size` places its channels, not the reverse."""
    return parameter.unflatten(0, (-1, size)).transpose(0, 1).flatten(0, 1)


def _expand(states: Tensor, weight: Tensor, bias: Tensor, in_time: int, in_space: int) -> Tensor:
    """Channels into more frames and pixels. Shape: (B, C, T, H, W) -> (B, c, T*t, H*s, W*s), channels last in memory.

    With the layer's outputs in that order, whole runs of memory move to their pixels at once.
    """
    states = functional.linear(states.permute(0, 2, 3, 4, 1), weight, bias)
    states = states.unflatten(-1, (in_time, in_space, in_space, -1)).permute(0, 1, 4, 2, 5, 3, 6, 7)
    states = states.flatten(5, 6).flatten(3, 4).flatten(1, 2)
    return states.permute(0, 4, 1, 2, 3)


def _pixels(proj: nn.Module, states: Tensor) -> Tensor:
    pixels: Tensor = proj(functional.silu(states).permute(0, 2, 3, 4, 1))
    return pixels.permute(0, 4, 1, 2, 3)


class CogVideoXStream:
    """The decoder of an AutoencoderKLCogVideoX, fed as diffusers feeds it frame-wise, handing frames out.

    Its norms are over a group of frames, so the groups are diffusers' (two latent frames, the odd one in the
    first group) and the result is its to the bit.

    Source: diffusers 0.42.1, models/autoencoders/autoencoder_kl_cogvideox.py (_decode), Apache-2.0. `share` is as
    Mochi's.
    """

    bare = False

    def __init__(self, vae: Any, compiled: bool = False) -> None:  # noqa: ARG002  it must equal diffusers to the bit
        self._vae = vae
        self.share: Callable[[Tensor], SharedRows | None] = lambda _: None

    def decode(self, latents: Tensor) -> Iterator[Tensor]:
        """Pixels of one group after the other. Shape: (B, c, t, h, w) -> several (B, 3, T, H, W)."""
        rows = self.share(latents)
        with nullcontext() if rows is None else rows.within(self._vae.decoder):
            for pixels in self._groups(latents if rows is None else rows.own(latents)):
                yield pixels if rows is None else rows.whole(pixels)

    def _groups(self, latents: Tensor) -> Iterator[Tensor]:
        size = self._vae.num_latent_frames_batch_size
        frames = latents.shape[2]
        cache = None
        start = 0
        while start < frames:
            stop = start + size + (frames % size if start == 0 and frames >= size else 0)
            group = latents[:, :, start:stop]
            if self._vae.post_quant_conv is not None:
                group = self._vae.post_quant_conv(group)
            pixels, cache = self._vae.decoder(group, conv_cache=cache)
            yield pixels
            start = stop


def decode(vae: nn.Module, latents: Tensor, compiled: bool = False) -> Iterator[Tensor]:
    """Decode `latents`, one group of frames after the other; together they equal `vae.decode(latents).sample`.

    Raises: RequestError for a VAE that cannot be streamed.
    """
    return stream_of(vae, compiled).decode(latents)


def install(vae: Any, compiled: bool = False) -> None:
    """Let `vae.decode` stream; the clips of a batch go one after the other.

    Raises: RequestError for a VAE that cannot: a setting without effect is an error.
    """
    from diffusers.models.autoencoders.vae import DecoderOutput

    stream = stream_of(vae, compiled)

    def streamed(latents: Tensor, return_dict: bool = True) -> Any:
        if vae._vitascope_arriving is not None:
            sample = _send(stream, latents, vae._vitascope_arriving)
        else:
            sample = torch.cat([torch.cat(list(stream.decode(clip)), dim=2) for clip in latents.split(1)])
        if stream.bare:
            return sample
        return DecoderOutput(sample=sample) if return_dict else (sample,)

    vae._vitascope_arriving, vae._vitascope_stream = None, stream
    vae._decode = streamed  # below `decode`, whose hook brings an offloaded VAE onto the device


def _send(stream: Stream, latents: Tensor, arriving: list[ArrivingFrames]) -> Tensor:
    """Send the frames of each clip on their way; what is returned only keeps the pipeline going."""
    for clip in latents.split(1):
        frames = ArrivingFrames()
        for group in stream.decode(clip):
            frames.add(group)
        arriving.append(frames)
    return latents.new_zeros(latents.shape[0], 3, 1, 1, 1)


@contextmanager
def arriving(vae: Any) -> Iterator[list[ArrivingFrames]]:
    """For one call of a pipeline: its clips' frames, of a VAE that was `install`ed, as they are decoded."""
    clips: list[ArrivingFrames] = []
    vae._vitascope_arriving = clips
    try:
        yield clips
    finally:
        vae._vitascope_arriving = None
