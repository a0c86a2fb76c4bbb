"""A tiny random MimicMotion: the authors' one file; SVD lends the other parts."""

from __future__ import annotations

from pathlib import Path

import torch

from tests.generators import tiny_svd
from tests.generators.family import Family
from vitascope.models.mimicmotion import PoseNet
from vitascope.task import MotionToVideo

NAME = "MimicMotion_1-1.pth"


def tensors() -> dict[str, torch.Tensor]:
    """The tensors of the one file, whose pose network is no longer an identity."""
    torch.manual_seed(2)
    pose_net, unet = PoseNet(32), tiny_svd.unet()
    return {
        **{f"unet.{name}": tensor for name, tensor in unet.state_dict().items()},
        **{f"pose_net.{name}": tensor for name, tensor in pose_net.state_dict().items()},
    }


def save_mimicmotion(folder: Path) -> Path:
    """Write a folder with the authors' file; a tiny SVD lends the other parts."""
    folder.mkdir(parents=True)
    torch.save(tensors(), folder / NAME)
    return folder


FAMILIES = (
    Family(
        *("mimicmotion", save_mimicmotion, MotionToVideo, (64, 64), 4),
        parts={"base": tiny_svd.save_svd},
        reads_prompt=False,
    ),
)
