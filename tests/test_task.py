"""Tasks refuse what makes no sense, in one line."""

from fractions import Fraction

import numpy as np
import pytest

from vitascope.clip import Clip, Image
from vitascope.errors import RequestError
from vitascope.media import probe
from vitascope.task import ImageToVideo, TextToVideo


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": ""},
        {"prompt": "   \n"},
        {"prompt": "a" * 100_000},
        {"prompt": "a star", "width": 0},
        {"prompt": "a star", "num_frames": -1},
        {"prompt": "a star", "seed": -1},
        {"prompt": "a star", "fps": 0},
        {"prompt": "a star", "fps": float("nan")},
        {"prompt": "a star", "fps": "1/999999999"},
        {"prompt": "a star", "colour": "red"},
    ],
)
def test_refuses_in_one_line(fields):
    with pytest.raises(RequestError) as caught:
        TextToVideo.of(**fields)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("fps", "kept"),
    [
        (29.97, Fraction(2997, 100)),
        ("29.97", Fraction(2997, 100)),
        ("30000/1001", Fraction(30000, 1001)),
        (3.141592653589793, Fraction(3126535, 995207)),
        (8, Fraction(8)),
    ],
)
def test_a_rate_is_one_that_files_can_hold(fps, kept, tmp_path):
    assert TextToVideo.of(prompt="a star", fps=fps).fps == kept
    clip = Clip(np.zeros((2, 16, 16, 3), np.uint8), fps)
    assert clip.fps == kept
    assert abs(probe(clip.save(tmp_path / "clip.mp4")).fps / kept - 1) < 1e-6


def test_describes_itself_without_pixels():
    task = ImageToVideo.of(prompt="it moves", image=Image(np.zeros((4, 6, 3), np.uint8)), fps=Fraction(8))
    described = task.described()
    assert described["kind"] == "image-to-video"
    assert described["image"]["width"] == 6
    assert len(described["image"]["sha256"]) == 64
    assert described["fps"] == "8"
    assert "width" not in described
