"""diffusers' CogVideoX pipelines whose clips follow a film of motion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from diffusers.pipelines.cogvideo.pipeline_cogvideox import CogVideoXPipeline
from diffusers.pipelines.cogvideo.pipeline_cogvideox_image2video import CogVideoXImageToVideoPipeline
from torch import Tensor

from vitascope.models.tora.transformer import ToraTransformer3DModel

Generators = torch.Generator | Sequence[torch.Generator] | None


class _FollowsMotion:
    """What both pipelines add to diffusers': `video_flow`, and folders saved by upstream's classes."""

    draws_for_flow: ClassVar[bool]

    @classmethod
    def load_config(cls, *args: Any, **kwargs: Any) -> Any:
        """A folder's model_index.json; its transformer may be of upstream's own module, which is not here."""
        loaded = super().load_config(*args, **kwargs)  # type: ignore[misc]
        config = loaded[0] if isinstance(loaded, tuple) else loaded
        if "transformer" in config:
            config["transformer"] = [ToraTransformer3DModel.__module__, ToraTransformer3DModel.__name__]
        return loaded

    @torch.no_grad()
    def __call__(self: Any, *args: Any, video_flow: Tensor | None = None, **kwargs: Any) -> Any:
        """As diffusers' pipeline; `video_flow` is the film to follow.

        Shape: (B, T, 3, H, W), a film for each prompt. Range: -1..1.
        """
        latents = None if video_flow is None else self.encode_flow(video_flow, kwargs.get("generator"))
        with self.transformer.following(latents):
            return super().__call__(*args, **kwargs)  # type: ignore[misc]

    def encode_flow(self: Any, video_flow: Tensor, generator: Generators = None) -> Tensor:
        """The film in latents. Shape: (B, T, 3, H, W) to (B, t, c, h, w)."""
        if generator is None or isinstance(generator, torch.Generator):
            generators = [generator] * len(video_flow)
        else:
            generators = list(generator)
        latents = []
        for film, own in zip(video_flow, generators, strict=True):
            pixels = film.transpose(0, 1)[None].to(self._execution_device, self.vae.dtype)
            spread = self.vae.encode(pixels).latent_dist
            latents.append(spread.sample(own if self.draws_for_flow else _beside(own)))
        encoded = torch.cat(latents) * self.vae_scaling_factor_image
        return encoded.transpose(1, 2).to(self.transformer.dtype)


def _beside(generator: torch.Generator | None) -> torch.Generator | None:
    """A generator of the same seed that leaves the first one where it is."""
    if generator is None:
        return None
    return torch.Generator(generator.device).manual_seed(generator.initial_seed())


class ToraPipeline(_FollowsMotion, CogVideoXPipeline):
    """From text: the film's latents are drawn with the clip's own generator, before the noise, as upstream does."""

    draws_for_flow = True


class ToraImageToVideoPipeline(_FollowsMotion, CogVideoXImageToVideoPipeline):
    """From a picture.

    Upstream draws the film's latents from torch's global generator, so that no two clips of a seed are equal; here
    they are drawn from one beside the clip's own, whose draws for picture and noise stay as they are upstream.
    """

    draws_for_flow = False
