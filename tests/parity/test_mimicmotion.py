"""MimicMotion against upstream's own outputs: poses, network, tiles and the whole loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import EulerDiscreteScheduler, UNetSpatioTemporalConditionModel
from torch import Tensor

from tests.parity.golden import Case, cases, compare, say
from vitascope.models.mimicmotion import (
    FramePose,
    PoseNet,
    align,
    denoise_in_tiles,
    draw_pose,
    initial_latents,
    pose_guided,
    tile_weights,
    tiles_of,
)
from vitascope.models.mimicmotion.fusion import guidance_scales
from vitascope.models.mimicmotion.pipeline import MimicMotionPipeline

ATOL = 2e-4
DRAWN_ATOL, DRAWN_MEAN = 2, 0.05  # of 255, where another OpenCV draws
FIXTURES = ("posenet", "unet", "pose", "fusion", "pipeline")
CASES = cases("mimicmotion")


def with_fixture(name: str) -> list[Case]:
    return [case for case in CASES if name in case.names]


def test_what_is_not_there_is_named() -> None:
    for fixture in FIXTURES:
        if not with_fixture(fixture):
            say(f"mimicmotion: no {fixture} in this folder of fixtures, left out")


def pose_net(case: Case) -> PoseNet:
    net = PoseNet(case.config["posenet"]["noise_latent_channels"])
    net.load_state_dict(case.group("posenet", "posenet."))
    return net.eval()


def unet(case: Case) -> UNetSpatioTemporalConditionModel:
    net = UNetSpatioTemporalConditionModel(**case.config["unet"]["unet"])
    net.load_state_dict(case.group("unet", "unet."))
    return net.eval()


@pytest.mark.parametrize("case", with_fixture("posenet"), ids=str)
def test_pose_net(case: Case) -> None:
    with torch.no_grad():
        actual = pose_net(case)(case.group("posenet", "in.")["pose_pixels"])
    compare(case, "pose latents", actual, case.group("posenet", "out.")["pose_latents"], ATOL)


@pytest.mark.parametrize("case", with_fixture("unet"), ids=str)
def test_unet(case: Case) -> None:
    net, given, expected = unet(case), case.group("unet", "in."), case.group("unet", "out.")
    inputs = given["sample"], given["timestep"], given["encoder_hidden_states"], given["added_time_ids"]
    pose_latents = expected["pose_latents"]
    with torch.no_grad(), pose_guided(net) as added:
        if "posenet" in case.names:
            pose_latents = pose_net(case)(given["pose_pixels"])
            compare(case, "unet pose latents", pose_latents, expected["pose_latents"], ATOL)
        compare(case, "unet without poses", net(*inputs).sample, expected["out_nopose"], ATOL)
        added["pose_latents"] = pose_latents
        compare(case, "unet with poses", net(*inputs).sample, expected["out_pose"], ATOL)
    with torch.no_grad():
        compare(case, "unet afterwards", net(*inputs).sample, expected["out_nopose"], ATOL)


def frame_pose(tensors: dict[str, Tensor], name: str) -> FramePose:
    names = ("cand", "subset", "score", "faces", "faces_score", "hands", "hands_score")
    return FramePose(*(tensors[f"{name}.{part}"].double().numpy() for part in names))


@pytest.mark.parametrize("case", with_fixture("pose"), ids=str)
def test_poses_are_aligned_and_drawn(case: Case) -> None:
    config, given, expected = case.config["pose"], exact(case, "in."), exact(case, "out.")
    reference = frame_pose(given, "ref")
    driving = [frame_pose(given, f"frame{index}") for index in range(config["nf"])]
    size = tuple(config["ref_hw"])
    alignment = align(reference, driving, tuple(config["vid_hw"]), size)
    assert alignment is not None
    for index, pose in enumerate(map(alignment.of, driving)):
        parts = {"cand": pose.candidates, "faces": pose.faces, "hands": pose.hands}
        for part, points in parts.items():
            compare(case, f"{part} {index}", torch.from_numpy(points), expected[f"frame{index}.{part}"], 1e-9)
        compare_drawn(case, f"drawing {index}", draw_pose(pose, *size), expected["video_pose_u8"][index])
    compare_drawn(case, "drawing of the picture's", draw_pose(reference, *size), expected["image_pose_u8"])


def exact(case: Case, prefix: str) -> dict[str, Tensor]:
    """The fixture's points in the float64 that they are stored in."""
    from safetensors.torch import load_file

    tensors = load_file(case.path / "pose.safetensors")
    return {key.removeprefix(prefix): t for key, t in tensors.items() if key.startswith(prefix)}


def compare_drawn(case: Case, name: str, actual: np.ndarray, expected: Tensor) -> None:
    drawn = torch.from_numpy(actual).float()
    compare(case, name, drawn, expected.float(), DRAWN_ATOL)
    assert (drawn - expected).abs().mean() < DRAWN_MEAN


def scheduler_of(config: dict[str, Any]) -> EulerDiscreteScheduler:
    scheduler = EulerDiscreteScheduler(**config["scheduler"])
    scheduler.set_timesteps(config["steps"])
    return scheduler


def compare_start(case: Case, fixture: str, scheduler: EulerDiscreteScheduler) -> None:
    expected = case.group(fixture, "out.")
    compare(case, f"{fixture} timesteps", scheduler.timesteps, expected["timesteps"], ATOL)
    scale = expected["sigmas"].abs().max().item()
    compare(case, f"{fixture} sigmas", scheduler.sigmas, expected["sigmas"], ATOL * max(1.0, scale))
    sigma = torch.as_tensor(scheduler.init_noise_sigma)
    compare(case, f"{fixture} noise scale", sigma, expected["init_noise_sigma"], ATOL * max(1.0, scale))


def compare_steps(case: Case, fixture: str, steps: Sequence[tuple[Tensor, Tensor]]) -> None:
    """Latents begin at a scale of 700, so that they are compared as shares of it."""
    expected = case.group(fixture, "out.")
    for step, (latents, prediction) in enumerate(steps):
        for name, ours, theirs in (
            ("latents", latents, expected["latents_steps"][step]),
            ("prediction", prediction, expected["noise_pred_steps"][step]),
        ):
            scale = max(1.0, theirs.abs().max().item())
            compare(case, f"{fixture} {name} {step}", ours / scale, theirs / scale, ATOL)
    last = expected["latents"]
    scale = max(1.0, last.abs().max().item())
    compare(case, f"{fixture} latents", steps[-1][0] / scale, last / scale, ATOL)


@pytest.mark.parametrize("case", with_fixture("fusion"), ids=str)
def test_fusion(case: Case) -> None:
    config, given, expected = case.config["fusion"], case.group("fusion", "in."), case.group("fusion", "out.")
    num_frames, size = config["N"], config["tile"]
    tiles = tiles_of(num_frames, size, config["overlap"])
    assert tiles == config["tiles"]
    compare(case, "tile weights", tile_weights(size), expected["weight"], ATOL)
    summed = torch.zeros(num_frames)
    for tile in tiles:
        summed[tile] += tile_weights(size)
    compare(case, "summed weights", summed, expected["weight_sum"], ATOL)
    scheduler = scheduler_of(config)
    compare_start(case, "fusion", scheduler)

    steps: list[tuple[Tensor, Tensor]] = []

    def predict(inputs: Tensor, timestep: Tensor, tile: Sequence[int], conditioned: bool) -> Tensor:
        row = 2 * (len(tiles) * len(steps) + tiles.index(list(tile))) + conditioned
        stored = expected["unet_inputs"][row]
        scale = max(1.0, stored.abs().max().item())
        compare(case, f"unet input {row}", inputs[0] / scale, stored / scale, ATOL)
        return given["tile_outputs"][row][None]

    denoise_in_tiles(
        scheduler,
        initial_latents(given["init_noise"] * scheduler.init_noise_sigma, num_frames),
        given["image_latents"],
        predict,
        tiles,
        guidance_scales(config["gmin"], config["gmax"], num_frames, given["init_noise"]),
        lambda step, timestep, latents, prediction: steps.append((latents, prediction)),
    )
    compare_steps(case, "fusion", steps)


WITH_WEIGHTS = [case for case in with_fixture("pipeline") if {"unet", "posenet"} <= set(case.names)]


@pytest.mark.parametrize("case", WITH_WEIGHTS, ids=str)
def test_the_whole_loop(case: Case) -> None:
    config, given = case.config["pipeline"], case.group("pipeline", "in.")
    scheduler, num_frames = scheduler_of(config), config["N"]
    compare_start(case, "pipeline", scheduler)
    tiles = tiles_of(num_frames, config["tile"], config["overlap"])
    assert tiles == config["tiles"]
    pipeline = MimicMotionPipeline(None, None, unet(case), scheduler, None, pose_net(case))
    time_ids = torch.tensor([[config["fps"] - 1, config["mb"], config["na"]]], dtype=torch.float32)
    steps: list[tuple[Tensor, Tensor]] = []

    def keep(_pipeline: Any, _step: int, _timestep: Tensor, said: dict[str, Tensor]) -> None:
        steps.append((said["latents"], said["noise_pred"]))

    with torch.no_grad():
        pipeline.denoise(
            initial_latents(given["init_noise"] * scheduler.init_noise_sigma, num_frames),
            given["image_latents"],
            given["image_embeds"],
            pipeline._pose_latents(given["pose_pixels_u8"], 8),
            time_ids,
            tiles,
            guidance_scales(config["gmin"], config["gmax"], num_frames, given["init_noise"]),
            keep,
        )
    compare_steps(case, "pipeline", steps)
