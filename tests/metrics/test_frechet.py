"""The distance of two sets of clips."""

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from tests.metrics.pictures import panning
from vitascope.errors import RequestError, WeightsMissing
from vitascope.metrics import frechet_distance, frechet_video_distance


def by_definition(first, second):
    """As Heusel et al. write it, with SciPy's root of a matrix."""
    a, b = (np.cov(members, rowvar=False) for members in (first, second))
    offset = first.mean(axis=0) - second.mean(axis=0)
    return offset @ offset + np.trace(a + b - 2 * sqrtm(a @ b).real)


@pytest.mark.parametrize(("members", "others", "width"), [(60, 80, 12), (500, 40, 5)])
def test_is_the_definition(members, others, width):
    rng = np.random.default_rng(0)
    first = rng.normal(size=(members, width)) @ rng.normal(size=(width, width))
    second = rng.normal(size=(others, width)) @ rng.normal(size=(width, width)) + 2
    assert frechet_distance(first, second) == pytest.approx(by_definition(first, second), rel=1e-8)


def test_is_exact_where_covariances_are_singular_and_zero_for_one_set():
    rng = np.random.default_rng(1)
    first = rng.normal(size=(6, 40))
    assert frechet_distance(first, first) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(first, first + 3) == pytest.approx(9 * 40)
    assert frechet_distance(first, 2 * first) == pytest.approx(
        (first.mean(axis=0) ** 2).sum() + np.trace(np.cov(first, rowvar=False))
    )
    with pytest.raises(RequestError, match="two or more"):
        frechet_distance(first[:1], first)


class MeanColours(torch.nn.Module):
    """Stands in for I3D behind the same door."""

    def forward(self, clip: torch.Tensor, rescale: bool, resize: bool, return_features: bool) -> torch.Tensor:
        assert return_features and not rescale and not resize
        assert clip.shape == (1, 3, 16, 224, 224)
        return clip.mean(dim=(2, 3, 4))


def test_clips_go_through_the_network_prepared_and_the_file_is_named_if_missing(tmp_path):
    path = tmp_path / "i3d_torchscript.pt"
    torch.jit.script(MeanColours()).save(str(path))
    clips = [panning(18, step=step) for step in range(3)]
    means = np.stack([clip.frames[:16].mean(axis=(0, 1, 2)) / 127.5 - 1 for clip in clips])
    found = frechet_video_distance(clips, clips[::-1] + clips[:1], path)
    assert found == pytest.approx(frechet_distance(means, np.concatenate([means[::-1], means[:1]])), abs=1e-4)
    with pytest.raises(RequestError, match="clip 0 has 8"):
        frechet_video_distance([panning(8)], clips, path)
    with pytest.raises(WeightsMissing, match=r"i3d_torchscript\.pt"):
        frechet_video_distance(clips, clips)
    (tmp_path / "bad.pt").write_bytes(b"x")
    with pytest.raises(WeightsMissing, match="no TorchScript"):
        frechet_video_distance(clips, clips, tmp_path / "bad.pt")
