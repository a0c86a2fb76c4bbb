"""UMT, small, against what the benchmark's code computes with the same weights."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.models.drawn_weights import weights_for
from vitascope.errors import WeightsMissing
from vitascope.models.umt import Umt, load_umt
from vitascope.models.umt.network import UmtSizes

LOGITS = np.load(Path(__file__).parent / "logits.npz")
SMALL = UmtSizes(width=32, heads=4, layers=2, num_classes=12)


@pytest.mark.parametrize("positions", ["of the file", "sines"])
def test_logits_are_upstreams(tmp_path, positions):
    state = weights_for(Umt(SMALL).state_dict())
    if positions == "sines":
        del state["pos_embed"]
    torch.save(state, tmp_path / "umt.pth")
    video = torch.randn(1, 16, 3, 224, 224, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        logits = load_umt(tmp_path / "umt.pth", sizes=SMALL)(video)
    expected = LOGITS["sines" if positions == "sines" else "positions"]
    assert np.ptp(expected) > 1, "the weights tell classes apart"
    np.testing.assert_allclose(logits.numpy(), expected, atol=1e-5)


def test_the_published_size_has_the_checkpoints_shapes():
    with torch.device("meta"):
        shapes = {name: tuple(tensor.shape) for name, tensor in Umt().state_dict().items()}
    assert len(shapes) == 319
    assert shapes["patch_embed.proj.weight"] == (1024, 3, 1, 16, 16)
    assert shapes["pos_embed"] == (1, 3136, 1024)
    assert shapes["blocks.23.attn.qkv.weight"] == (3072, 1024)
    assert shapes["blocks.0.attn.q_bias"] == (1024,) and "blocks.0.attn.qkv.bias" not in shapes
    assert shapes["head.weight"] == (400, 1024)


@pytest.mark.parametrize("content", [{"x": torch.zeros(1)}, [torch.zeros(1)]])
def test_another_file_is_refused_in_one_line(tmp_path, content):
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(WeightsMissing, match="does not hold UMT") as refusal:
        load_umt(tmp_path / "x.pth", sizes=SMALL)
    assert "\n" not in str(refusal.value)
