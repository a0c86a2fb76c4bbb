"""What a denoiser is called with in one step, drawn at random: shapes and dtypes as its pipeline hands them over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class StepInputs:
    """Keyword arguments, and what of them costs arithmetic.

    `valid_text`: valid text tokens of each sample, `padded_text`: the length they are padded to; `num_calls`: how
    often a step of the pipeline asks the network so, one prompt after the other.
    """

    arguments: dict[str, Any]
    num_video: int
    valid_text: tuple[int, ...]
    padded_text: int
    num_calls: int = 1


@dataclass(frozen=True)
class _Drawn:
    """Where inputs are drawn. `latents` is (c, t, h, w) of one clip."""

    transformer: Any
    latents: tuple[int, int, int, int]
    text_length: int
    text_width: int
    device: str

    def __post_init__(self) -> None:
        import torch

        object.__setattr__(self, "_generator", torch.Generator(self.device).manual_seed(1))

    def noise(self, *shape: int) -> Any:
        import torch

        dtype = self.transformer.dtype
        return torch.randn(shape, generator=self._generator, device=self.device, dtype=dtype)  # type: ignore[attr-defined]

    def full(self, value: float, *shape: int) -> Any:
        import torch

        dtype = self.transformer.dtype if isinstance(value, float) else torch.int64
        return torch.full(shape, value, device=self.device, dtype=dtype)

    def text(self, samples: int) -> Any:
        return self.noise(samples, self.text_length, self.text_width)

    def mask(self, *valid: int) -> Any:
        import torch

        lengths = torch.tensor(valid, device=self.device)
        return torch.arange(self.text_length, device=self.device) < lengths[:, None]

    def num_video(self, patch: int) -> int:
        return self.latents[1] * (self.latents[2] // patch) * (self.latents[3] // patch)


def _mochi(drawn: _Drawn) -> StepInputs:
    valid = (0, 128)
    arguments = {
        "hidden_states": drawn.noise(2, *drawn.latents),
        "encoder_attention_mask": drawn.mask(*valid),
        "encoder_hidden_states": drawn.text(2),
        "timestep": drawn.full(500.0, 2),
    }
    patch = drawn.transformer.config.patch_size
    return StepInputs(arguments, drawn.num_video(patch), valid, drawn.text_length)


def _cogvideox(drawn: _Drawn) -> StepInputs:
    channels, frames, height, width = drawn.latents
    config = drawn.transformer.config
    num_video = drawn.num_video(config.patch_size)
    tables = drawn.noise(num_video, 2 * config.attention_head_dim).float().clamp(-1, 1).chunk(2, 1)
    arguments = {
        "hidden_states": drawn.noise(2, frames, channels, height, width),
        "image_rotary_emb": tuple(table.contiguous() for table in tables),
        "encoder_hidden_states": drawn.text(2),
        "timestep": drawn.full(500, 2),
    }
    return StepInputs(arguments, num_video, (drawn.text_length,) * 2, drawn.text_length)


def _wan(drawn: _Drawn) -> StepInputs:
    arguments = {
        "hidden_states": drawn.noise(1, *drawn.latents),
        "encoder_hidden_states": drawn.text(1),
        "timestep": drawn.full(500, 1),
    }
    num_video = drawn.num_video(drawn.transformer.config.patch_size[1])
    return StepInputs(arguments, num_video, (drawn.text_length,), drawn.text_length, num_calls=2)


def _hunyuan(drawn: _Drawn) -> StepInputs:
    config = drawn.transformer.config
    arguments = {
        "hidden_states": drawn.noise(1, *drawn.latents),
        "encoder_hidden_states": drawn.text(1),
        "encoder_attention_mask": drawn.mask(64).long(),
        "pooled_projections": drawn.noise(1, config.pooled_projection_dim),
        "timestep": drawn.full(500.0, 1),
        "guidance": drawn.full(6000.0, 1),
    }
    return StepInputs(arguments, drawn.num_video(config.patch_size), (64,), drawn.text_length)


def _hunyuan15(drawn: _Drawn) -> StepInputs:
    import torch

    config = drawn.transformer.config
    _, frames, height, width = drawn.latents
    letters, picture = 256, 729  # tokens of quoted words and of a picture, none of them valid here
    arguments = {
        "hidden_states": drawn.noise(1, config.in_channels, frames, height, width),
        "encoder_hidden_states": drawn.noise(1, drawn.text_length, config.text_embed_dim),
        "encoder_attention_mask": drawn.mask(64).long(),
        "encoder_hidden_states_2": drawn.noise(1, letters, config.text_embed_2_dim),
        "encoder_attention_mask_2": torch.zeros(1, letters, dtype=torch.int64, device=drawn.device),
        "image_embeds": 0 * drawn.noise(1, picture, config.image_embed_dim),
        "timestep": drawn.full(500.0, 1),
    }
    padded = drawn.text_length + letters + picture
    return StepInputs(arguments, drawn.num_video(config.patch_size), (64,), padded, num_calls=2)


def _ltx(drawn: _Drawn) -> StepInputs:
    channels, frames, height, width = drawn.latents
    num_video = drawn.num_video(1)
    arguments = {
        "hidden_states": drawn.noise(2, num_video, channels),
        "encoder_hidden_states": drawn.text(2),
        "encoder_attention_mask": drawn.mask(64, 64).long(),
        "timestep": drawn.full(500.0, 2),
        "num_frames": frames,
        "height": height,
        "width": width,
        "rope_interpolation_scale": (8 / 25, 32, 32),
    }
    return StepInputs(arguments, num_video, (64, 64), drawn.text_length)


INPUTS: dict[str, Callable[[_Drawn], StepInputs]] = {
    "MochiTransformer3DModel": _mochi,
    "CogVideoXTransformer3DModel": _cogvideox,
    "WanTransformer3DModel": _wan,
    "SkyReelsV2Transformer3DModel": _wan,
    "HunyuanVideoTransformer3DModel": _hunyuan,
    "HunyuanVideo15Transformer3DModel": _hunyuan15,
    "LTXVideoTransformer3DModel": _ltx,
}


def draw(
    transformer: Any, latents: tuple[int, int, int, int], text_length: int, text_width: int, device: str
) -> StepInputs:
    """The inputs of one step of a clip whose latents are (c, t, h, w); the same ones every time."""
    drawn = _Drawn(transformer, latents, text_length, text_width, device)
    return INPUTS[type(transformer).__name__](drawn)
