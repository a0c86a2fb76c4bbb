"""AMT-S against what upstream's code computes with the same weights and pictures."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.models.drawn_weights import pictures, weights_for
from vitascope.errors import WeightsMissing
from vitascope.models.amt import SMALLEST_SIDE, Amt, load_amt

BETWEEN = np.load(Path(__file__).parent / "between.npz")["between"]  # of every sixth pixel
CALM = {"decoder1.convblock.2": 0.02, "comb_block.2": 0.02, "flow_head.2": 0.15, "convblock.2": 0.15}


def drawn(state):
    """Weights whose last layers are small, so that most of the picture stays within 0 to 1."""
    return {
        name: value * next((factor for part, factor in CALM.items() if part in name), 1)
        for name, value in weights_for(state).items()
    }


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    file = tmp_path_factory.mktemp("amt") / "amt.pth"
    torch.save({"epoch": 300, "state_dict": drawn(Amt().state_dict())}, file)  # as upstream writes it
    return file


def test_the_frame_between_is_upstreams(file):
    first, second = (picture / 255 for picture in pictures())
    with torch.inference_mode():
        between = load_amt(file)(first, second)
    assert between.shape == first.shape and 0 < BETWEEN.std() < 0.4
    np.testing.assert_allclose(between[..., ::6, ::6].numpy(), BETWEEN, atol=1e-4)


def test_the_smallest_side_is_the_first_that_gives_numbers(file):
    network, first = load_amt(file), pictures()[0] / 255
    with torch.inference_mode():
        for side, whole in ((SMALLEST_SIDE, True), (SMALLEST_SIDE - 1, False)):
            between = network(first[..., :side, :], first[..., :side, :])
            assert bool(between.isfinite().all()) is whole


def test_another_file_is_refused(tmp_path):
    torch.save({"x": torch.zeros(1)}, tmp_path / "x.pth")
    with pytest.raises(WeightsMissing, match="does not hold AMT-S"):
        load_amt(tmp_path / "x.pth")
