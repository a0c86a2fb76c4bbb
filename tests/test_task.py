"""Tasks refuse what makes no sense, in one line."""

from fractions import Fraction

import numpy as np
import pytest

from vitascope.clip import Image
from vitascope.errors import RequestError
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
        {"prompt": "a star", "colour": "red"},
    ],
)
def test_refuses_in_one_line(fields):
    with pytest.raises(RequestError) as caught:
        TextToVideo.of(**fields)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_describes_itself_without_pixels():
    task = ImageToVideo.of(prompt="it moves", image=Image(np.zeros((4, 6, 3), np.uint8)), fps=Fraction(8))
    described = task.described()
    assert described["kind"] == "image-to-video"
    assert described["image"]["width"] == 6
    assert len(described["image"]["sha256"]) == 64
    assert described["fps"] == "8"
    assert "width" not in described
