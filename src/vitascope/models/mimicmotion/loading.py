"""Builds MimicMotion's networks from the one file that its authors published and SVD's configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from diffusers.models.unets.unet_spatio_temporal_condition import UNetSpatioTemporalConditionModel
from torch import nn

from vitascope.errors import InvalidMedia, WeightsMissing
from vitascope.models.checkpoints import Tensors, load_exactly, read_tensors
from vitascope.models.mimicmotion.pose_net import PoseNet

PARTS = ("unet", "pose_net", "vae", "image_encoder")


class Networks(NamedTuple):
    """What one file holds: the UNet and pose network, and tensors of SVD's own parts that it puts in their place."""

    unet: UNetSpatioTemporalConditionModel
    pose_net: PoseNet
    overriding: dict[str, Tensors]
    unknown: tuple[str, ...]


def find_file(location: Path, name: str) -> Path:
    """The weights at a path: the file itself, or `name` or the only .pth file in a folder. Raises: WeightsMissing."""
    if location.is_file():
        return location
    if (location / name).is_file():
        return location / name
    found = sorted(location.glob("*.pth"))
    if len(found) == 1:
        return found[0]
    raise WeightsMissing(f"{str(location)!r} holds no {name}, which has MimicMotion's UNet and pose network")


def load_networks(file: Path, unet_config: dict[str, Any], dtype: torch.dtype) -> Networks:
    """The networks of a published file; the UNet is built as `unet_config` (SVD's) says, none of SVD's is kept.

    Raises: InvalidMedia for a file of another model, or of another size than the configuration's.
    """
    parts: dict[str, Tensors] = {part: {} for part in PARTS}
    unknown = []
    for key, tensor in read_tensors(file).items():
        part, _, name = key.partition(".")
        if part in parts and name:
            parts[part][name] = tensor
        else:
            unknown.append(key)
    unet_tensors, pose_tensors = parts.pop("unet"), parts.pop("pose_net")
    if not unet_tensors or not pose_tensors:
        lacking = "unet." if not unet_tensors else "pose_net."
        raise InvalidMedia(
            f"{str(file)!r} is not MimicMotion's: no tensor's name begins with {lacking!r}", param="model"
        )
    with torch.device("meta"):
        unet = UNetSpatioTemporalConditionModel.from_config(unet_config)
        pose_net = PoseNet(unet_config["block_out_channels"][0])
    load_exactly(unet, unet_tensors, dtype)
    load_exactly(pose_net, pose_tensors, dtype)
    overriding = {part: tensors for part, tensors in parts.items() if tensors}
    return Networks(unet.eval(), pose_net.eval(), overriding, tuple(unknown))


def override(module: nn.Module, tensors: Tensors, dtype: torch.dtype) -> None:
    """Put a file's own tensors in the place of a loaded part's. Raises: InvalidMedia if they are not that part's."""
    load_exactly(module, tensors, dtype)
    module.eval()
