"""One file for each family of VAEs that can decode group by group of frames; `STREAMS` names them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

from vitascope.errors import RequestError

if TYPE_CHECKING:
    from torch import Tensor

# diffusers' class -> module and class of the engine; a stream is made with (vae, compiled).
STREAMS = {
    "AutoencoderKLMochi": "streaming_vae:MochiStream",
    "AutoencoderKLCogVideoX": "streaming_vae:CogVideoXStream",
    "AutoencoderKLHunyuanVideo": "vae_streams.hunyuan:HunyuanVideoStream",
    "AutoencoderKLHunyuanVideo15": "vae_streams.hunyuan15:HunyuanVideo15Stream",
    "AutoencoderKLWan": "vae_streams.wan:WanStream",
}


class Stream(Protocol):
    """A decoder that hands out frames while it decodes."""

    bare: bool  # whether the VAE's own `_decode` returns a tensor, not a DecoderOutput

    def decode(self, latents: Tensor) -> Iterator[Tensor]:
        """Pixels of one group after the other. Shape: (B, c, t, h, w) -> several (B, 3, T, H, W)."""
        ...


def refusal(name: str) -> RequestError:
    """What is said of the VAE class `name`, which cannot stream."""
    can = ", ".join(known.removeprefix("AutoencoderKL") for known in STREAMS)
    named = "a model without a VAE" if name == "NoneType" else name
    return RequestError(
        f"vae_streaming has no effect on {named}; leave it out (it is for the VAEs of {can})",
        param="vae_streaming",
    )


def stream_of(vae: Any, compiled: bool = False) -> Stream:
    """The stream of a VAE. `compiled`: by torch.compile, where that does not change more than rounding.

    Raises: RequestError for a VAE that cannot stream.
    """
    import importlib

    name = type(vae).__name__
    if name not in STREAMS:
        raise refusal(name)
    module, _, cls = STREAMS[name].partition(":")
    stream: Stream = getattr(importlib.import_module(f"vitascope.engine.{module}"), cls)(vae, compiled)
    return stream
