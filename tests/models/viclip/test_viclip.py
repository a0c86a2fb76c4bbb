"""ViCLIP, small, against what the benchmark's code computes with the same weights."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.models.drawn_weights import weights_for
from vitascope.errors import WeightsMissing
from vitascope.models.viclip import ViClip, load_viclip
from vitascope.models.viclip.network import ViClipSizes

VECTORS = np.load(Path(__file__).parent / "vectors.npz")
SMALL = ViClipSizes(
    side=56,
    width=64,
    heads=4,
    layers=3,
    text_width=32,
    text_heads=4,
    text_layers=2,
    vocabulary=100,
    embedding=48,
)


def test_videos_and_texts_are_upstreams_vectors(tmp_path):
    state = {**weights_for(ViClip(SMALL).state_dict()), "temp": torch.tensor(0.01)}
    torch.save({"model": state}, tmp_path / "viclip.pth")
    network = load_viclip(tmp_path / "viclip.pth", sizes=SMALL)
    video = torch.randn(1, 8, 3, 56, 56, generator=torch.Generator().manual_seed(3))
    tokens = torch.tensor([[98, 5, 17, 33, 2, 99]])
    with torch.inference_mode():
        np.testing.assert_allclose(network.video(video).numpy(), VECTORS["video"], atol=1e-5)
        np.testing.assert_allclose(network.text(tokens).numpy(), VECTORS["text"], atol=1e-5)
    with pytest.raises(WeightsMissing, match="does not hold ViCLIP") as refused:
        load_viclip(tmp_path / "viclip.pth")
    assert "\n" not in str(refused.value)


def test_the_published_size_has_the_checkpoints_shapes():
    with torch.device("meta"):
        shapes = {name: tuple(tensor.shape) for name, tensor in ViClip().state_dict().items()}
    assert shapes["vision_encoder.conv1.weight"] == (1024, 3, 1, 14, 14)
    assert shapes["vision_encoder.temporal_positional_embedding"] == (1, 8, 1024)
    assert shapes["vision_encoder.transformer.resblocks.23.mlp.c_fc.weight"] == (4096, 1024)
    assert shapes["text_encoder.positional_embedding"] == (32, 768)
    assert shapes["text_encoder.text_projection"] == (768, 768)
