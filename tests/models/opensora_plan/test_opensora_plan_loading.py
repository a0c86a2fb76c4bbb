"""Published folders as they may come, and folders that are none of ours."""

import json

import pytest
import torch
from safetensors.torch import save_file

from tests.models.opensora_plan.tiny_opensora_plan import (
    LATENT_CHANNELS,
    SIZE,
    tiny_text_encoder,
    tiny_tokenizer,
    tiny_transformer,
    tiny_vae,
)
from tests.models.wf_vae.tiny_wf_vae import UPSTREAM_CONFIG as WF_VAE
from vitascope.errors import InvalidMedia, NoNetwork, WeightsMissing
from vitascope.models.opensora_plan import (
    AutoencoderKLCausalVideo,
    load_pipeline,
    load_transformer,
    load_vae,
)
from vitascope.models.wf_vae import AutoencoderKLWFVAE

SIZES = {
    "num_attention_heads": 2,
    "attention_head_dim": 24,
    "num_layers": 4,
    "cross_attention_dim": 48,
    "caption_channels": 32,
    "in_channels": LATENT_CHANNELS,
    "out_channels": LATENT_CHANNELS,
    "patch_size": 2,
    "patch_size_t": 1,
    "attention_bias": True,
    "activation_fn": "gelu-approximate",
    "norm_elementwise_affine": False,
    "norm_eps": 1e-6,
    "sample_size_t": 2,
    "interpolation_scale_h": 1.0,
    "interpolation_scale_w": 1.0,
    "interpolation_scale_t": 1.0,
}
V1_2 = {"sample_size": [4, 6], "use_rope": True, "norm_type": "ada_norm_single", "attention_mode": "xformers"}
V1_3 = {"sample_size_h": 4, "sample_size_w": 6, "sparse1d": True, "sparse_n": 4}
CONFIGS = {
    "1.2": {"_class_name": "OpenSoraT2V", **SIZES, **V1_2},
    "1.3": {"_class_name": "OpenSoraT2V_v1_3", **SIZES, **V1_3},
}
CAUSAL_VAE = {
    "_class_name": "CausalVAEModel",
    "hidden_size": 32,
    "hidden_size_mult": [1, 1, 1, 1],
    "num_res_blocks": 1,
    "attn_resolutions": [],
    "resolution": 256,
}


def write(folder, config, tensors, name="diffusion_pytorch_model.safetensors"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    if name.endswith(".ckpt"):
        torch.save({"state_dict": {"gen_model": tensors}, "ema_state_dict": {}}, folder / name)
    else:
        save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, folder / name)


def predict(model, latents):
    torch.manual_seed(1)
    text = torch.randn(1, 3, 32)
    with torch.no_grad():
        return model(latents, text, torch.tensor([500]), return_dict=False)[0]


@pytest.mark.parametrize("release", ["1.2", "1.3"])
def test_a_published_denoiser(tmp_path, release):
    original = tiny_transformer(release)
    write(tmp_path / "93x480p", CONFIGS[release], original.state_dict())
    loaded = load_transformer(tmp_path, "93x480p", dtype=torch.float32)
    latents = torch.randn(1, LATENT_CHANNELS, 2, 4, 6)
    assert torch.equal(predict(loaded, latents), predict(original, latents))
    assert loaded.is_sparse == (release == "1.3")
    assert load_transformer(tmp_path, "93x480p").dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("class_name", "extra", "masked_clip"),
    [
        ("OpenSoraInpaint", V1_2, "pos_embed_masked_video"),
        ("OpenSoraInpaint_v1_3", V1_3, "pos_embed_masked_hidden_states"),
    ],
)
def test_a_published_inpainting_denoiser_sums_its_three_inputs(tmp_path, class_name, extra, masked_clip):
    torch.manual_seed(0)
    tensors = dict(tiny_transformer("1.2" if extra is V1_2 else "1.3").state_dict())
    for name, channels in ((masked_clip, LATENT_CHANNELS), ("pos_embed_mask", 4)):
        tensors[f"{name}.0.proj.weight"] = torch.randn(48, channels, 2, 2)
        tensors[f"{name}.0.proj.bias"] = torch.randn(48)
        tensors[f"{name}.1.weight"] = torch.randn(48, 48) / 48**0.5
    write(tmp_path, {"_class_name": class_name, **SIZES, **extra, "vae_scale_factor_t": 4}, tensors)
    loaded = load_transformer(tmp_path, dtype=torch.float32)
    assert loaded.is_for_inpainting
    assert loaded.noise_channels == LATENT_CHANNELS
    x = torch.randn(1, 2 * LATENT_CHANNELS + 4, 4, 6)
    latents, clip, mask = x.split([LATENT_CHANNELS, LATENT_CHANNELS, 4], dim=1)

    def embedded(name, pixels):
        weight, bias = tensors[f"{name}.proj.weight"], tensors[f"{name}.proj.bias"]
        return torch.nn.functional.conv2d(pixels, weight, bias, stride=2).flatten(2).mT

    expected = (
        embedded("pos_embed", latents)
        + embedded(f"{masked_clip}.0", clip) @ tensors[f"{masked_clip}.1.weight"].T
        + embedded("pos_embed_mask.0", mask) @ tensors["pos_embed_mask.1.weight"].T
    )
    assert torch.allclose(loaded.pos_embed(x), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("release", "config", "kind"),
    [("1.2", CAUSAL_VAE, AutoencoderKLCausalVideo), ("1.3", WF_VAE, AutoencoderKLWFVAE)],
)
def test_the_autoencoder_of_each_release(tmp_path, release, config, kind):
    original = tiny_vae(release)
    tensors = {**original.state_dict(), **({"loss.logvar": torch.zeros(1)} if release == "1.2" else {})}
    write(tmp_path / "vae", config, tensors, "checkpoint.ckpt")
    loaded = load_vae(tmp_path, dtype=torch.float32)
    assert type(loaded) is kind
    clip = torch.rand(1, 3, 5, 16, 16)
    with torch.no_grad():
        assert torch.equal(loaded(clip).sample, original(clip).sample)


@pytest.mark.parametrize("release", ["1.2", "1.3"])
def test_a_whole_release_makes_a_clip(tmp_path, release):
    write(tmp_path / "any", CONFIGS[release], tiny_transformer(release).state_dict())
    vae_config = CAUSAL_VAE if release == "1.2" else WF_VAE
    write(tmp_path / "vae", vae_config, tiny_vae(release).state_dict(), "merged.ckpt")
    tiny_text_encoder().save_pretrained(tmp_path / "mt5")
    tiny_tokenizer().save_pretrained(tmp_path / "mt5")
    pipeline = load_pipeline(tmp_path, "any", text_encoder=tmp_path / "mt5", dtype=torch.float32)
    assert pipeline.release.name == release
    prediction = {"1.2": "epsilon", "1.3": "v_prediction"}[release]
    assert pipeline.scheduler.config.prediction_type == prediction
    frames = pipeline("a red ball", generator=torch.Generator().manual_seed(0), **SIZE).frames
    assert frames.shape == (1, 5, 3, 32, 48)


def test_other_families_are_refused_by_name(tmp_path):
    write(tmp_path / "latte", {"_class_name": "LatteT2V"}, {"a": torch.zeros(1)})
    with pytest.raises(InvalidMedia, match="LatteT2V") as refused:
        load_transformer(tmp_path, "latte")
    assert "\n" not in str(refused.value)
    write(
        tmp_path / "sora",
        {},
        {"spatial_blocks.0.attn.qkv.weight": torch.zeros(1), "fps_embedder.a": torch.zeros(1)},
    )
    with pytest.raises(InvalidMedia, match=r"Open-Sora 1\.2's denoiser"):
        load_transformer(tmp_path, "sora")
    write(tmp_path / "keys", CONFIGS["1.2"], {"a": torch.zeros(1)})
    with pytest.raises(InvalidMedia, match="not the weights of OpenSoraPlanTransformer3DModel"):
        load_transformer(tmp_path, "keys")
    write(tmp_path / "vae", {"_class_name": "AutoencoderKL"}, {"a": torch.zeros(1)})
    with pytest.raises(InvalidMedia, match="AutoencoderKL, not any of"):
        load_vae(tmp_path)


def test_variants_of_the_code_that_were_never_published_are_refused(tmp_path):
    for change in ({"downsampler": "k333_s222"}, {"norm_type": "ada_norm"}):
        write(tmp_path, CONFIGS["1.2"] | change, {"a": torch.zeros(1)})
        with pytest.raises(InvalidMedia, match="no published"):
            load_transformer(tmp_path)


def test_what_is_not_here_is_said(tmp_path):
    with pytest.raises(WeightsMissing, match="no folder"):
        load_transformer(tmp_path, "93x720p")
    with pytest.raises(NoNetwork, match="not in the cache"):
        load_transformer("LanguageBind/Open-Sora-Plan-v1.2.0", "93x720p")
