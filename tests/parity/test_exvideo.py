"""ExVideo against upstream's own outputs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import EulerDiscreteScheduler
from torch import Tensor

from tests.parity.golden import Case, cases, compare, say
from vitascope.models.exvideo import ExVideoUNet, noise_latents, steady_frames, video_to_video_sigmas
from vitascope.models.exvideo.convert import from_upstream, upstream_blocks, upstream_names

ATOL = 2e-4
CASES = cases("exvideo")
SVD_SCHEDULER = {
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "prediction_type": "v_prediction",
    "interpolation_type": "linear",
    "use_karras_sigmas": True,
    "sigma_min": 0.002,
    "sigma_max": 700.0,
    "timestep_spacing": "leading",
    "timestep_type": "continuous",
    "steps_offset": 1,
}


def build(config: dict[str, Any]) -> ExVideoUNet:
    channels, heads = config["C"], config["heads"]
    return ExVideoUNet(
        block_out_channels=(*channels, channels[-1]),
        num_attention_heads=(*heads, heads[-1]),
        addition_time_embed_dim=config["addim"],
        projection_class_embeddings_input_dim=3 * config["addim"],
        cross_attention_dim=config["D"],
        num_frames=config["num_pos"],
    ).eval()


def with_fixture(name: str) -> list[Case]:
    return [case for case in CASES if name in case.names]


def test_what_is_not_there_is_named() -> None:
    for fixture in ("unet", "temporal_block", "scheduler"):
        if not with_fixture(fixture):
            say(f"exvideo: no {fixture} in this folder of fixtures, left out")


@pytest.mark.parametrize("case", with_fixture("unet"), ids=str)
def test_unet(case: Case) -> None:
    unet = build(case.config["unet"])
    upstream: dict[str, Tensor] = {}
    for file in case.config["unet"]["weights_files"]:
        upstream |= case.group(file, "unet.")
    unet.load_state_dict(from_upstream(upstream, unet))
    given = case.group("unet", "in.")
    with torch.no_grad():
        actual = unet(
            given["sample"][None],
            given["timestep"],
            given["encoder_hidden_states"][:, None],
            given["add_time_id"],
        ).sample
    compare(case, "unet sample", actual[0], case.group("unet", "out.")["sample"], ATOL)


@pytest.mark.parametrize("case", with_fixture("temporal_block"), ids=str)
def test_temporal_block(case: Case) -> None:
    config = case.config["temporal_block"]
    unet, index = build(config), config["upstream_block_index"]
    module = next(
        name for at, kind, name in upstream_blocks(unet) if (at, kind) == (index, "temporal attention")
    )
    transformer = unet.get_submodule(module)
    upstream = {
        f"blocks.{index}.{key}": tensor for key, tensor in case.group("temporal_block", "block.").items()
    }
    extension = from_upstream(upstream, unet)
    unet.load_state_dict(extension, strict=False)
    given = case.group("temporal_block", "in.")
    hidden = given["hidden_states"]
    num_frames, _, height, width = hidden.shape
    with torch.no_grad():
        embedding = transformer.time_pos_embed(transformer.time_proj(torch.arange(num_frames)))
        block = transformer.temporal_transformer_blocks[0]
        block.grid = (height, width)
        actual = block(
            hidden.flatten(2).mT + embedding[:, None],
            num_frames,
            given["encoder_hidden_states"].expand(height * width, 1, -1),
        )
    expected = case.group("temporal_block", "out.")["hidden_states"]
    compare(case, "temporal block", actual.mT.unflatten(2, (height, width)), expected, ATOL)


@pytest.mark.parametrize("case", with_fixture("scheduler"), ids=str)
def test_sampling(case: Case) -> None:
    config, given, expected = (
        case.config["scheduler"],
        case.group("scheduler", "in."),
        case.group("scheduler", "out."),
    )
    sigmas = video_to_video_sigmas(config["steps"], config["strength"])
    scheduler = EulerDiscreteScheduler(**SVD_SCHEDULER)
    scheduler.set_timesteps(sigmas=sigmas)
    relative = scheduler.sigmas[:-1] / expected["sigmas"]
    compare(case, "sigmas, relative", relative, torch.ones_like(relative), ATOL)
    compare(case, "timesteps", scheduler.timesteps, expected["timesteps"], ATOL)
    noised = noise_latents(given["latents"], given["noise"], sigmas[0])
    start = noised if config["strength"] < 1 else given["noise"]
    compare(case, "noised latents", start, expected["init"], ATOL)

    latents = start * scheduler.init_noise_sigma
    for step, timestep in enumerate(scheduler.timesteps):
        scheduler.scale_model_input(latents, timestep)
        latents = scheduler.step(given["noise_pred"][step], timestep, latents).prev_sample
        unit = latents / (scheduler.sigmas[step + 1] ** 2 + 1).sqrt()
        compare(case, f"latents after step {step}", unit, expected["latents_steps"][step], ATOL)
    steady = steady_frames(latents[None], config["contrast"])[0]
    compare(case, "steady frames", steady, expected["post"], ATOL)
    compare(case, "contrast alone", latents * config["contrast"], expected["post_nonorm"], ATOL)


def test_every_parameter_has_one_upstream_name() -> None:
    for case in with_fixture("unet"):
        names = upstream_names(build(case.config["unet"]))
        stored = {
            key.removeprefix("unet.")
            for file in case.config["unet"]["weights_files"]
            for key in case.tensors(file)
        }
        assert len(set(names.values())) == len(names)
        assert set(names.values()) == stored
