"""LPIPS with random weights behind the published layout."""

import numpy as np
import pytest
import torch
from torch import nn

from tests.metrics.pictures import flickering, panning, still
from vitascope.clip import Clip
from vitascope.errors import RequestError, WeightsMissing
from vitascope.metrics import METRICS, measure
from vitascope.metrics._natural_scenes import packaged_file


def alexnet():
    """The convolutional half of AlexNet as torchvision lays it out."""
    return nn.Sequential(
        nn.Conv2d(3, 64, 11, 4, 2),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(64, 192, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(192, 384, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1),
        nn.ReLU(),
    )


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lpips")
    torch.manual_seed(0)
    network = alexnet().eval()
    state = {f"features.{name}": value for name, value in network.state_dict().items()}
    torch.save(state, folder / "alexnet-owt-7be5be79.pth")
    widths = (64, 192, 384, 256, 256)
    heads = {f"lin{n}.model.1.weight": torch.rand(1, width, 1, 1) for n, width in enumerate(widths)}
    torch.save(heads, folder / "alex.pth")
    return folder, network, heads


def by_definition(ours, theirs, network, heads):
    """Layer by layer, as the paper has it."""
    pixels = torch.from_numpy(np.stack([ours, theirs])).permute(0, 3, 1, 2) / 127.5 - 1
    x = (pixels - torch.tensor([-0.030, -0.088, -0.188]).view(3, 1, 1)) / torch.tensor(
        [0.458, 0.448, 0.450]
    ).view(3, 1, 1)
    total = 0.0
    with torch.no_grad():
        for place, layer in enumerate(network):
            x = layer(x)
            if place in (1, 4, 7, 9, 11):
                unit = x / x.norm(dim=1, keepdim=True).clamp(min=1e-10)
                head = heads[f"lin{(1, 4, 7, 9, 11).index(place)}.model.1.weight"]
                total += float(((unit[0] - unit[1]) ** 2 * head[0]).sum(0).mean())
    return total


def test_is_the_definition_and_zero_for_equal_clips(files):
    folder, network, heads = files
    clip = panning(2)
    other = flickering(clip, 0.3)
    metric = METRICS["lpips"](backbone=folder / "alexnet-owt-7be5be79.pth", heads=folder / "alex.pth")
    expected = np.mean(
        [by_definition(a, b, network, heads) for a, b in zip(clip.frames, other.frames, strict=True)]
    )
    assert metric.score(clip, other).value == pytest.approx(expected, rel=1e-4)
    assert metric.score(clip, clip).value == 0


def test_finds_the_backbone_in_the_folder_of_metric_weights_and_names_what_is_missing(files, monkeypatch):
    folder, *_ = files
    metric = METRICS["lpips"](heads=folder / "alex.pth")
    (missing,) = measure(still(1), [metric], still(1))
    assert missing.value is None
    assert "needs alexnet-owt-7be5be79.pth" in missing.not_measured
    monkeypatch.setenv("VITASCOPE_METRIC_WEIGHTS", str(folder))
    assert measure(still(1), [metric], still(1))[0].value == 0
    swapped = METRICS["lpips"](backbone=folder / "alex.pth", heads=folder / "alex.pth")
    assert "does not hold LPIPS" in measure(still(1), [swapped], still(1))[0].not_measured
    tiny = Clip(still(1).frames[:, :20, :20], 8)
    with pytest.raises(RequestError, match="31 x 31"):
        metric.score(tiny, tiny)


def test_the_packages_heads_have_the_layout_that_is_read():
    try:
        path = packaged_file("lpips", "weights/v0.1/alex.pth", None, "lpips==0.1.4")
    except WeightsMissing:
        pytest.skip("the package lpips is not installed")
    heads = torch.load(path, map_location="cpu", weights_only=True)
    assert [heads[f"lin{n}.model.1.weight"].shape[1] for n in range(5)] == [64, 192, 384, 256, 256]
