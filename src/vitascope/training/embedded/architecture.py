"""The parts of Sprout, our smallest CogVideoX: stock classes at toy size."""

from __future__ import annotations

from diffusers import AutoencoderKLCogVideoX, CogVideoXDDIMScheduler, CogVideoXTransformer3DModel
from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel

MAX_TEXT = 40
"""Tokens of a prompt that Sprout reads."""

SIZE = 128
NUM_FRAMES = 17
LATENT_CHANNELS = 16


def new_vae(size: int = SIZE) -> AutoencoderKLCogVideoX:
    """An untrained autoencoder: 8x smaller in space, 4x in time, 16 channels."""
    return AutoencoderKLCogVideoX(
        block_out_channels=(16, 48, 80, 80),
        latent_channels=LATENT_CHANNELS,
        layers_per_block=1,
        norm_num_groups=8,
        sample_height=size,
        sample_width=size,
        scaling_factor=1.0,
    )


def new_transformer(
    num_layers: int = 8, num_heads: int = 6, size: int = SIZE, *, from_picture: bool = False
) -> CogVideoXTransformer3DModel:
    """An untrained denoiser; `size` is that of the clips in pixels. `from_picture`: reads a picture's latents too."""
    return CogVideoXTransformer3DModel(
        num_attention_heads=num_heads,
        attention_head_dim=64,
        in_channels=LATENT_CHANNELS * (2 if from_picture else 1),
        out_channels=LATENT_CHANNELS,
        time_embed_dim=64,
        text_embed_dim=192,
        num_layers=num_layers,
        sample_width=size // 8,
        sample_height=size // 8,
        sample_frames=NUM_FRAMES,
        patch_size=2,
        max_text_seq_length=MAX_TEXT,
        spatial_interpolation_scale=1.0,
        use_rotary_positional_embeddings=False,
    )


def new_text_encoder(tokenizer: PreTrainedTokenizerFast) -> T5EncoderModel:
    """An untrained text encoder, to be trained together with the denoiser."""
    return T5EncoderModel(
        T5Config(
            vocab_size=len(tokenizer),
            d_model=192,
            d_kv=32,
            num_heads=6,
            d_ff=512,
            num_layers=3,
            dropout_rate=0.0,
            feed_forward_proj="gated-gelu",
            pad_token_id=0,
            eos_token_id=1,
        )
    )


def new_scheduler() -> CogVideoXDDIMScheduler:
    """The noise schedule that Sprout is trained with: v-prediction, no signal left at the last step."""
    return CogVideoXDDIMScheduler(
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        snr_shift_scale=1.0,
        timestep_spacing="trailing",
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        clip_sample=False,
        set_alpha_to_one=True,
    )
