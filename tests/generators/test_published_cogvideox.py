"""The configuration files of the published CogVideoX models, key by key, built on the meta device."""

import pytest

from vitascope.engine.pipelines import import_class
from vitascope.engine.weights import Configs
from vitascope.generators.cogvideox import CogVideoX

# Source: the JSON files in transformer/, vae/ and scheduler/ of zai-org's repositories.
NET = {
    "_class_name": "CogVideoXTransformer3DModel",
    "_diffusers_version": "0.32.0.dev0",
    "activation_fn": "gelu-approximate",
    "attention_bias": True,
    "attention_head_dim": 64,
    "dropout": 0.0,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "in_channels": 16,
    "max_text_seq_length": 226,
    "norm_elementwise_affine": True,
    "norm_eps": 1e-05,
    "num_attention_heads": 48,
    "num_layers": 42,
    "out_channels": 16,
    "patch_size": 2,
    "sample_frames": 49,
    "sample_height": 60,
    "sample_width": 90,
    "spatial_interpolation_scale": 1.875,
    "temporal_compression_ratio": 4,
    "temporal_interpolation_scale": 1.0,
    "text_embed_dim": 4096,
    "time_embed_dim": 512,
    "timestep_activation_fn": "silu",
    "use_rotary_positional_embeddings": True,
}
LATER = {
    "patch_bias": False,
    "patch_size_t": 2,
    "sample_frames": 81,
    "sample_height": 96,
    "sample_width": 170,
    "use_learned_positional_embeddings": False,
}
LATER_IMAGE = {**LATER, "in_channels": 32, "ofs_embed_dim": 512, "sample_height": 300, "sample_width": 300}
NETS = {
    "cogvideox-2b": {
        **NET,
        "num_attention_heads": 30,
        "num_layers": 30,
        "use_rotary_positional_embeddings": False,
    },
    "cogvideox-5b": NET,
    "cogvideox-5b-i2v": {**NET, "in_channels": 32, "use_learned_positional_embeddings": True},
    "cogvideox-1.5-5b": {**NET, **LATER},
    "cogvideox-1.5-5b-i2v": {**NET, **LATER_IMAGE},
}
# Parameters as the published names say: 2B and 5B.
SIZES = {name: 1.69e9 if "2b" in name else 5.57e9 for name in NETS}
VAE = {
    "_class_name": "AutoencoderKLCogVideoX",
    "_diffusers_version": "0.32.0.dev0",
    "act_fn": "silu",
    "block_out_channels": [128, 256, 256, 512],
    "down_block_types": ["CogVideoXDownBlock3D"] * 4,
    "force_upcast": True,
    "in_channels": 3,
    "invert_scale_latents": False,
    "latent_channels": 16,
    "latents_mean": None,
    "latents_std": None,
    "layers_per_block": 3,
    "norm_eps": 1e-06,
    "norm_num_groups": 32,
    "out_channels": 3,
    "sample_height": 480,
    "sample_width": 720,
    "scaling_factor": 1.15258426,
    "shift_factor": None,
    "temporal_compression_ratio": 4,
    "up_block_types": ["CogVideoXUpBlock3D"] * 4,
    "use_post_quant_conv": False,
    "use_quant_conv": False,
}
SCHEDULER = {
    "_class_name": "CogVideoXDDIMScheduler",
    "_diffusers_version": "0.32.0.dev0",
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "clip_sample": False,
    "clip_sample_range": 1.0,
    "num_train_timesteps": 1000,
    "prediction_type": "v_prediction",
    "rescale_betas_zero_snr": True,
    "sample_max_value": 1.0,
    "set_alpha_to_one": True,
    "snr_shift_scale": 3.0,
    "steps_offset": 0,
    "timestep_spacing": "trailing",
    "trained_betas": None,
}


def read_whole(cls, config):
    """Build on the meta device; every published key must be one that the class knows."""
    from accelerate import init_empty_weights

    with init_empty_weights():
        model, unused = cls.from_config(config, return_unused_kwargs=True)
    assert not {key for key in unused if not key.startswith("_")}
    for key, value in config.items():
        if not key.startswith("_"):
            kept = model.config[key]
            assert (list(kept) if isinstance(value, list) else kept) == value
    return model


@pytest.mark.parametrize("name", NETS)
def test_every_key_of_a_published_transformer_is_read(name):
    net = read_whole(import_class(CogVideoX.denoiser_class), NETS[name])
    count = sum(parameter.numel() for parameter in net.parameters())
    assert count == pytest.approx(SIZES[name], rel=0.02)


def test_every_key_of_the_published_vae_and_scheduler_is_read():
    read_whole(
        import_class("diffusers.models.autoencoders.autoencoder_kl_cogvideox:AutoencoderKLCogVideoX"), VAE
    )
    for where in CogVideoX.schedulers.values():
        config = {**SCHEDULER, "_class_name": where.rpartition(":")[2]}
        import_class(where).from_config(config)
    read_whole(import_class(CogVideoX.schedulers["ddim"]), SCHEDULER)
    read_whole(import_class(CogVideoX.schedulers["dpm"]), SCHEDULER)


@pytest.mark.parametrize("name", NETS)
def test_the_profile_read_from_a_published_configuration_is_the_one_that_we_know(name):
    read = CogVideoX.profile_of(Configs({}, {"transformer": NETS[name], "vae": VAE}))
    known = CogVideoX.profiles[name]
    for field in ("width", "height", "num_frames", "fps", "kinds", "size_multiple", "max_sequence_length"):
        assert getattr(read, field) == getattr(known, field), field
    assert read.only_native_size == known.only_native_size
