"""RAFT against what princeton-vl/RAFT computes with the same weights and pictures."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.models.drawn_weights import pictures, weights_for
from vitascope.errors import WeightsMissing
from vitascope.models.raft import Raft, load_raft

FLOW = np.load(Path(__file__).parent / "flow.npz")["flow"]  # of every fourth pixel, four iterations


def test_the_flow_is_upstreams(tmp_path):
    drawn = weights_for(Raft().state_dict())
    # As upstream writes it: from several GPUs, the shortcut's norm twice.
    twice = {key.replace("downsample.1", "norm3"): value for key, value in drawn.items()}
    torch.save({f"module.{key}": value for key, value in {**drawn, **twice}.items()}, tmp_path / "raft.pth")
    with torch.inference_mode():
        flow = load_raft(tmp_path / "raft.pth")(*pictures(), num_iterations=4)
    assert flow.shape == (1, 2, 136, 152), "made up to multiples of 8"
    assert np.abs(FLOW).mean() > 10, "the weights move things"
    np.testing.assert_allclose(flow[..., ::4, ::4].numpy(), FLOW, atol=5e-3)


def test_another_file_is_refused(tmp_path):
    torch.save({"x": torch.zeros(1)}, tmp_path / "x.pth")
    with pytest.raises(WeightsMissing, match="does not hold RAFT") as refused:
        load_raft(tmp_path / "x.pth")
    assert "\n" not in str(refused.value)
