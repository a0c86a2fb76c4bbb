"""Tora against upstream's own outputs: paths, film of motion, extractor, fuser, and the whole transformer."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.parity.golden import Case, cases, compare, say
from vitascope.models.tora.colours import film_of
from vitascope.models.tora.fusing import MotionGuidanceFuser, TrajectoryExtractor
from vitascope.models.tora.paths import flow_of, on_picture, per_frame
from vitascope.models.tora.transformer import ToraTransformer3DModel

ATOL = 2e-4
CASES = cases("tora")
KINDS = ("trajectory", "traj_extractor", "mgf", "transformer_weights", "transformer")


def fixtures(kind: str) -> list[tuple[Case, str]]:
    """Every fixture of a kind: `mgf` itself, and `mgf_b` or `mgf2` beside it."""
    return [(case, name) for case in CASES for name in case.starting(kind) if kind_of(name) == kind]


def kind_of(name: str) -> str | None:
    return next((kind for kind in KINDS if name.startswith(kind)), None)


def test_what_is_not_there_is_named() -> None:
    for kind in ("trajectory", "traj_extractor", "mgf", "transformer"):
        if not fixtures(kind):
            say(f"tora: no {kind} in this folder of fixtures, left out")


@pytest.mark.parametrize(("case", "name"), fixtures("trajectory"), ids=str)
def test_paths_become_a_film(case: Case, name: str) -> None:
    config, expected = case.config[name], case.group(name, "out.")
    size = config["frames"], config["width"], config["height"]
    tracks = [[(x, y) for x, y in track] for track in config["tracks"]]
    points = [on_picture(per_frame(track, size[0]), *size[1:]) for track in tracks]
    compare(case, f"{name} points", torch.tensor(points), expected["points"], 0.5)
    flow = flow_of(tracks, *size)
    compare(case, f"{name} flow", torch.from_numpy(flow), expected["flow"], ATOL)
    film, theirs = film_of(flow).int(), expected["flow_image_u8"].int()
    compare(case, f"{name} film", film, theirs, 1)
    compare(case, f"{name} film, mean", (film - theirs).abs().float().mean(), torch.tensor(0.0), 0.05)


@pytest.mark.parametrize(("case", "name"), fixtures("traj_extractor"), ids=str)
@torch.no_grad()
def test_extractor(case: Case, name: str) -> None:
    config = case.config[name]
    extractor = TrajectoryExtractor(
        config["channels"], config["cin"], config["patch_size"], config["patch_size_t"], config["nums_rb"]
    ).eval()
    extractor.load_state_dict(case.group(name, "ext."))
    found = extractor(case.group(name, "in.")["x"])
    expected = case.group(name, "out.")
    assert len(found) == len(expected)
    for index, maps in enumerate(found):
        compare(case, f"{name} map {index}", maps, expected[f"f{index}"], ATOL)


@pytest.mark.parametrize(("case", "name"), fixtures("mgf"), ids=str)
@torch.no_grad()
def test_fuser(case: Case, name: str) -> None:
    config, given = case.config[name], case.group(name, "in.")
    fuser = MotionGuidanceFuser(config["flow_in_channel"], config["out_channels"]).eval()
    fuser.load_state_dict(case.group(name, "mgf."))
    actual = fuser(given["h"], given["flow"], int(given["T"]))
    compare(case, f"{name} tokens", actual, case.group(name, "out.")["h"], ATOL)


@pytest.mark.parametrize(("case", "name"), fixtures("transformer"), ids=str)
@torch.no_grad()
def test_transformer(case: Case, name: str) -> None:
    net = transformer_of(case, name)
    given, expected = case.group(name, "in."), case.group(name, "out.")
    inputs: dict[str, Any] = {
        key: given[key] for key in ("hidden_states", "encoder_hidden_states", "timestep")
    }
    if "rope_cos" in given:
        inputs["image_rotary_emb"] = (given["rope_cos"], given["rope_sin"])
    with net.following(given["video_flow"]):
        followed = net(**inputs).sample
        maps = net.traj_extractor(given["video_flow"].transpose(1, 2))
        again = net(**inputs).sample
    compare(case, f"{name} sample", followed, expected["sample_flow"], ATOL)
    compare(case, f"{name} sample, second step", again, expected["sample_flow"], ATOL)
    compare(case, f"{name} sample, no motion", net(**inputs).sample, expected["sample_noflow"], ATOL)
    for index, found in enumerate(maps):
        compare(case, f"{name} map {index}", found, expected[f"traj_feature{index}"], ATOL)


def transformer_of(case: Case, name: str) -> ToraTransformer3DModel:
    config = case.config[name]
    narrow = type("Narrow", (ToraTransformer3DModel,), {"motion_channels": config["extC"][0]})
    net = narrow(
        num_attention_heads=config["heads"],
        attention_head_dim=config["hd"],
        in_channels=config["in_ch"],
        out_channels=config["out_ch"],
        time_embed_dim=config["ted"],
        text_embed_dim=config["text"],
        num_layers=config["layers"],
        patch_size=config["patch_size"],
        patch_size_t=config["pst"],
        max_text_seq_length=config["max_text_seq_length"],
        sample_width=config["smp"]["w"],
        sample_height=config["smp"]["h"],
        sample_frames=config["smp"]["f"],
        use_rotary_positional_embeddings=config["rope"],
    ).eval()
    upstream: dict[str, Tensor] = {}
    for file in config["weights_files"]:
        upstream |= case.group(file, "transformer.")
    net.load_state_dict(upstream)
    return net
