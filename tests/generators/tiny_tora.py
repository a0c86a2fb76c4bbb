"""Tiny Toras with random weights."""

from pathlib import Path

import torch

from tests.generators import tiny_cogvideox as cogvideox
from tests.generators.family import Family
from vitascope.task import TrajectoryToVideo


def transformer(variant="5b"):
    """Tora's, whose fusers, untrained, would change nothing."""
    from vitascope.models.tora.transformer import ToraTransformer3DModel

    net = ToraTransformer3DModel(**{**cogvideox.NET, **cogvideox.VARIANTS[variant]}).eval()
    torch.nn.init.normal_(net.proj_out.weight, std=0.5)
    for name, parameter in net.fuser.named_parameters():
        if "temporal" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    return net


def save_tora(folder: Path, variant="5b") -> Path:
    """Save a Tora that starts from text, or, as variant 5b-i2v, from a picture."""
    from vitascope.models.tora.pipelines import ToraImageToVideoPipeline, ToraPipeline

    torch.manual_seed(0)
    cls = ToraImageToVideoPipeline if variant.endswith("i2v") else ToraPipeline
    words = {"tokenizer": cogvideox.tokenizer(), "text_encoder": cogvideox.text_encoder()}
    parts = {**words, "vae": cogvideox.vae(), "scheduler": cogvideox.scheduler()}
    cls(transformer=transformer(variant), **parts).save_pretrained(folder)
    return folder


def save_tora_image_to_video(folder: Path) -> Path:
    """Save a Tora that starts from a picture."""
    return save_tora(folder, "5b-i2v")


FAMILIES = (
    Family("tora", save_tora, TrajectoryToVideo, (32, 32), 9),
    Family("tora", save_tora_image_to_video, TrajectoryToVideo, (32, 32), 9, with_picture=True),
)
