"""What every family that can be fine-tuned implements."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from torch import Tensor

Encoded = dict[str, Tensor]
"""What is cached of a clip or a prompt, without a batch axis."""


class Family(ABC):
    """How one family's denoiser is trained. Holds no weights; configurations are handed in once.

    A clip is cached as the posterior's `mean` and `std`, scaled and laid out as the denoiser takes its latents.
    `learns` says whether the denoiser predicts the velocity of a diffusion ("diffusion") or that of the straight
    path between noise and data ("flow").
    """

    pipelines: ClassVar[tuple[str, ...]] = ()
    learns: ClassVar[Literal["diffusion", "flow"]] = "diffusion"
    attention: ClassVar[tuple[str, ...]] = ("to_q", "to_k", "to_v", "to_out.0")
    feed_forward: ClassVar[tuple[str, ...]] = ("ff.net.0.proj", "ff.net.2")
    prompt_parts: ClassVar[tuple[str, ...]] = ("text_encoder", "tokenizer")

    def __init__(self, pipeline: str, config: Mapping[str, Any]) -> None:
        self.pipeline, self.config = pipeline, config

    @property
    def from_image(self) -> bool:
        """Whether the denoiser goes on from a picture."""
        return False

    @abstractmethod
    def encode_clip(self, vae: Any, pixels: Tensor) -> Encoded:
        """What is cached of a clip. Shape: (1, 3, T, H, W) in -1..1."""

    @abstractmethod
    def encode_prompt(self, pipeline: Any, prompt: str, max_length: int | None) -> Encoded:
        """What is cached of a caption; `pipeline` has its text encoders."""

    @abstractmethod
    def predict(self, pipeline: Any, noisy: Tensor, level: Tensor, condition: Mapping[str, Tensor]) -> Tensor:
        """The denoiser's prediction. `level`: a timestep of the diffusion, or the share of noise of a flow."""

    @abstractmethod
    def prompt_arguments(
        self, condition: Mapping[str, Tensor], empty: Mapping[str, Tensor]
    ) -> dict[str, Any]:
        """How the pipeline is called with cached captions (without a batch axis) for validation."""

    def flow_target(self, clean: Tensor, noise: Tensor) -> Tensor:
        """What a flow's denoiser predicts."""
        return noise - clean


def posterior(vae: Any, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of the latents of clips. Shape: (B, 3, T, H, W) -> (B, c, t, h, w)."""
    dist = vae.encode(pixels.to(vae.dtype)).latent_dist
    return dist.mean.float(), dist.std.float()
