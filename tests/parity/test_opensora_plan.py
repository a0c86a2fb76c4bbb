"""Open-Sora-Plan 1.2 and 1.3 against upstream's own outputs, and the names in published checkpoints."""

from __future__ import annotations

import pytest
import torch
from tests.parity.golden import Case, cases, compare

from vitascope.models.opensora_plan.causal_autoencoder import AutoencoderKLCausalVideo
from vitascope.models.opensora_plan.convert import (
    config_from_upstream,
    tensors_from_upstream,
    vae_config_from_upstream,
    vae_tensors_from_upstream,
)
from vitascope.models.opensora_plan.tiling import Tiling
from vitascope.models.opensora_plan.transformer import OpenSoraPlanTransformer3DModel

ATOL_DENOISER, ATOL_AUTOENCODER = 1e-5, 2e-5
SYSTEMS = ("open-sora-plan-1.2", "open-sora-plan-1.3")
CASES = [case for system in SYSTEMS for case in cases(system)]


def fixtures(prefix: str) -> list:
    """Every fixture whose name starts so, of every case."""
    return [
        pytest.param(case, name, id=f"{case}/{name}")
        for case in CASES
        for name in case.names
        if name.startswith(prefix)
    ]


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

    actual = {
        "out": predict(given["x"]),
        "out_masked": predict(given["x"], given["attn_mask"]),
        "out_image": predict(given["x"][:, :, :1]),
    }
    expected = case.group(name, "out.")
    assert expected.keys() == actual.keys()
    for output, values in expected.items():
        compare(case, f"{name} {output}", actual[output], values, ATOL_DENOISER)


def rounding(case: Case, name: str, output: str, values: torch.Tensor) -> float:
    """How far a value may be off only because the fixture stores it in float16."""
    return 2**-11 * values.abs().max().item() if case.stored_as_half(name, f"out.{output}") else 0.0


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
    clip, expected = case.group(name, "in.")["x"], case.group(name, "out.")
    latents = expected["moments"].chunk(2, dim=1)[0]
    actual = {
        "moments": vae.encode(clip).latent_dist.parameters,
        "moments_image": vae.encode(clip[:, :, :1]).latent_dist.parameters,
        "decoded": vae.decode(latents).sample,
        "decoded_image": vae.decode(latents[:, :, :1]).sample,
    }
    tiles = described["tiling"]
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
    assert expected.keys() <= actual.keys()
    for output, values in expected.items():
        atol = ATOL_AUTOENCODER + rounding(case, name, output, values)
        compare(case, f"{name} {output}", actual[output], values, atol)
