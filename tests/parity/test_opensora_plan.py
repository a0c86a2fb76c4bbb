"""Open-Sora-Plan 1.2 and 1.3 against upstream's own outputs, and the names in published checkpoints."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.parity.golden import Case, cases, compare, compare_all, released_shapes, say
from vitascope.models.opensora_plan.causal_autoencoder import AutoencoderKLCausalVideo
from vitascope.models.opensora_plan.conditioning import compress_mask
from vitascope.models.opensora_plan.convert import (
    config_from_upstream,
    tensors_from_upstream,
    vae_config_from_upstream,
    vae_tensors_from_upstream,
)
from vitascope.models.opensora_plan.releases import release_called
from vitascope.models.opensora_plan.sampling import denoise, guided
from vitascope.models.opensora_plan.tiling import Tiling
from vitascope.models.opensora_plan.transformer import OpenSoraPlanTransformer3DModel

ATOL_DENOISER, ATOL_AUTOENCODER, ATOL_MASK = 1e-5, 2e-5, 1e-6
RTOL_SAMPLING = 1e-5
SYSTEMS = ("open-sora-plan-1.2", "open-sora-plan-1.3")
CASES = [case for system in SYSTEMS for case in cases(system)]


def fixtures(prefix: str) -> list:
    """Every fixture whose name starts so, of every case."""
    return [pytest.param(case, name, id=f"{case}/{name}") for case in CASES for name in case.starting(prefix)]


def denoiser(case: Case, name: str) -> OpenSoraPlanTransformer3DModel:
    described = case.config[name]
    model = OpenSoraPlanTransformer3DModel(
        **config_from_upstream(described["config"], described["class_name"])
    )
    model.load_state_dict(tensors_from_upstream(case.group(name, "sd.")))
    return model.eval()


@torch.no_grad()
@pytest.mark.parametrize(("case", "name"), fixtures("dit"))
def test_denoiser_predicts_as_upstream(case, name):
    model, given = denoiser(case, name), case.group(name, "in.")
    text, text_mask = given["text"].squeeze(1), given["text_mask"].squeeze(1)

    def predict(latents: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        return model(latents, text, given["timestep"], mask, text_mask, return_dict=False)[0]

    actual = {"out": predict(given["x"]), "out_image": predict(given["x"][:, :, :1])}
    if "attn_mask" in given:
        actual["out_masked"] = predict(given["x"], given["attn_mask"])
    compare_all(case, name, actual, ATOL_DENOISER)


@torch.no_grad()
@pytest.mark.parametrize(
    ("case", "name"),
    [p for p in fixtures("vae") if p.values[0].config[p.values[1]]["class_name"] == "CausalVAEModel"],
)
def test_autoencoder_codes_as_upstream(case, name):
    described = case.config[name]
    vae = AutoencoderKLCausalVideo(**vae_config_from_upstream(described["config"]))
    vae.load_state_dict(vae_tensors_from_upstream(case.group(name, "sd.")))
    vae.eval()
    clip = case.group(name, "in.")["x"]
    latents = case.group(name, "out.")["moments"].chunk(2, dim=1)[0]
    actual = {
        "moments": vae.encode(clip).latent_dist.parameters,
        "moments_image": vae.encode(clip[:, :, :1]).latent_dist.parameters,
        "decoded": vae.decode(latents).sample,
        "decoded_image": vae.decode(latents[:, :, :1]).sample,
    }
    if tiles := described.get("tiling"):
        vae.enable_tiling(
            Tiling(
                sample_size=tiles["tile_sample_min_size"],
                latent_size=tiles["tile_latent_min_size"],
                sample_frames=tiles["tile_sample_min_size_t"],
                latent_frames=tiles["tile_latent_min_size_t"],
                overlap=tiles["tile_overlap_factor"],
            )
        )
        actual["moments_tiled"] = vae.encode(clip).latent_dist.parameters
        actual["decoded_tiled"] = vae.decode(latents).sample
    compare_all(case, name, actual, ATOL_AUTOENCODER)


@pytest.mark.parametrize(("case", "name"), fixtures("mask_compressor"))
def test_masks_are_compressed_as_upstream(case, name):
    temporal, height, width = case.config[name]["stride"]
    assert height == width
    compressed = compress_mask(case.group(name, "in.")["mask"], temporal, height)
    compare(case, f"{name} mask", compressed, case.group(name, "out.")["mask"], ATOL_MASK)


def scheduler_of(case: Case, class_name: str) -> Any:
    """The one of a release's two samplers that a fixture was made with."""
    release = release_called(case.system.removeprefix("open-sora-plan-"))
    samplers = [release.new_scheduler(inpainting=inpainting) for inpainting in (False, True)]
    return next(sampler for sampler in samplers if type(sampler).__name__ == class_name)


@pytest.mark.parametrize(("case", "name"), fixtures("scheduler"))
def test_sampling_walks_as_upstream(case, name, monkeypatch):
    described, given, expected = (
        case.config[name]["config"],
        case.group(name, "in."),
        case.group(name, "out."),
    )
    scheduler = scheduler_of(case, described["cls"])
    assert described["kwargs"].items() <= scheduler.config.items()
    scheduler.set_timesteps(described["steps"])
    predictions, noises = iter(given["preds"]), iter(given["noises"])
    monkeypatch.setattr(
        "diffusers.schedulers.scheduling_euler_ancestral_discrete.randn_tensor", lambda *_, **__: next(noises)
    )
    inputs, walked = [], []

    def predict(scaled: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        inputs.append(torch.cat([scaled, scaled]))
        return guided(next(predictions), described["guidance"])

    def after_step(_: int, __: torch.Tensor, latents: torch.Tensor) -> torch.Tensor:
        walked.append(latents)
        return latents

    denoise(scheduler, predict, given["z0"] * scheduler.init_noise_sigma, after_step=after_step)
    actual = {
        "init_noise_sigma": torch.as_tensor(scheduler.init_noise_sigma),
        "sigmas": torch.as_tensor(getattr(scheduler, "sigmas", ())),
        "timesteps": scheduler.timesteps,
        "model_in": torch.stack(inputs),
        "z": torch.stack(walked),
    }
    for output, values in expected.items():
        if output not in actual:
            say(f"{case.system} {case.name} {name} {output}: left out, we compute nothing like it")
            continue
        atol = RTOL_SAMPLING * max(1.0, values.abs().max().item())
        compare(case, f"{name} {output}", actual[output], values, atol)


@pytest.mark.parametrize(
    ("system", "net"),
    [(system, net) for system in SYSTEMS for net in released_shapes(system) if "dit" in net],
)
def test_every_released_parameter_of_a_denoiser_has_its_place(system, net):
    released = {key: torch.empty(shape, device="meta") for key, shape in released_shapes(system)[net].items()}
    inner_dim, latent_channels = released["pos_embed.proj.weight"].shape[:2]
    is_v1_3 = system.endswith("1.3")
    config = {
        "_class_name": f"OpenSora{'Inpaint' if 'inpaint' in net else 'T2V'}{'_v1_3' if is_v1_3 else ''}",
        "num_attention_heads": 24,
        "attention_head_dim": inner_dim // 24,
        "num_layers": 32,
        "in_channels": latent_channels,
        "out_channels": latent_channels,
        "patch_size": 2,
        "cross_attention_dim": inner_dim,
        "caption_channels": 4096,
        "attention_bias": True,
        "sample_size_t": 24,
        "use_rope": True,
    }
    config |= (
        {"sample_size_h": 80, "sample_size_w": 80, "sparse1d": True, "sparse_n": 4}
        if is_v1_3
        else {"sample_size": [60, 80], "norm_type": "ada_norm_single"}
    )
    with torch.device("meta"):
        model = OpenSoraPlanTransformer3DModel(**config_from_upstream(config))
    ours = {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
    wanted = {key: tuple(tensor.shape) for key, tensor in tensors_from_upstream(released).items()}
    say(f"{system} {net}: {len(released)} tensors upstream, {len(ours)} here")
    assert wanted == ours


@pytest.mark.parametrize("net", [net for net in released_shapes("open-sora-plan-1.2") if "causalvae" in net])
def test_every_released_parameter_of_the_autoencoder_has_its_place(net):
    released = released_shapes("open-sora-plan-1.2")[net]
    with torch.device("meta"):
        vae = AutoencoderKLCausalVideo()
    ours = {key: tuple(tensor.shape) for key, tensor in vae.state_dict().items()}
    say(f"open-sora-plan-1.2 {net}: {len(released)} tensors upstream, {len(ours)} here")
    assert released == ours
