"""MUSIQ against what pyiqa 0.1.10 computes with the same weights and pictures."""

import pytest
import torch

from tests.models.drawn_weights import pictures, weights_for
from vitascope.errors import WeightsMissing
from vitascope.models.musiq import Musiq, load_musiq


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    file = tmp_path_factory.mktemp("musiq") / "musiq.pth"
    torch.save(weights_for(Musiq().state_dict()), file)
    return file


def test_the_scores_are_upstreams(file):
    network, both = load_musiq(file), torch.cat(pictures()) / 255
    with torch.inference_mode():
        wide, narrow = network(both), network(both[..., :40])
    assert wide.tolist() == pytest.approx([0.9810319542884827, 0.9568090438842773], abs=5e-6)
    assert narrow.tolist() == pytest.approx([0.7204944491386414, 0.8124775290489197], abs=5e-6)


def test_a_picture_as_thin_as_a_line_has_a_score(file):
    with torch.inference_mode():
        assert load_musiq(file)(torch.rand(1, 3, 1, 600)).isfinite().all()


def test_another_file_is_refused_in_one_line(tmp_path):
    torch.save({**Musiq().state_dict(), "head.weight": torch.zeros(10, 384)}, tmp_path / "ava.pth")
    (tmp_path / "page.pth").write_text("<html>")
    for name in ("ava.pth", "page.pth"):
        with pytest.raises(WeightsMissing, match="does not hold MUSIQ with one score") as refused:
            load_musiq(tmp_path / name)
        assert "\n" not in str(refused.value)
