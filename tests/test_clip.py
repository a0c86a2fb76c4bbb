"""Clip, Audio and Image as data."""

from fractions import Fraction

import numpy as np
import pytest

from vitascope.clip import Clip, Image
from vitascope.errors import InvalidMedia


def clip(num_frames=7, height=4, width=6):
    frames = np.arange(num_frames, dtype=np.uint8)[:, None, None, None]
    return Clip(np.broadcast_to(frames, (num_frames, height, width, 3)).copy(), Fraction(8))


def test_knows_its_size_and_length():
    made = clip()
    assert (made.num_frames, made.height, made.width) == (7, 4, 6)
    assert made.duration_s == pytest.approx(7 / 8)


@pytest.mark.parametrize("shape", [(3, 4, 6), (0, 4, 6, 3), (2, 4, 6, 4), (2, 0, 6, 3)])
def test_refuses_frames_of_another_shape(shape):
    with pytest.raises(InvalidMedia, match="shape"):
        Clip(np.zeros(shape, np.uint8), 8)


def test_refuses_other_dtypes_and_rates():
    with pytest.raises(InvalidMedia, match="uint8"):
        Clip(np.zeros((2, 4, 6, 3), np.float32), 8)
    with pytest.raises(InvalidMedia, match="positive"):
        Clip(np.zeros((2, 4, 6, 3), np.uint8), 0)


@pytest.mark.parametrize(("size", "overlap"), [(3, 0), (3, 1), (4, 2), (7, 3), (10, 0), (1, 0)])
def test_windows_cover_every_frame_once_beyond_the_overlap(size, overlap):
    made = clip()
    seen = []
    for start, frames in made.windows(size, overlap):
        assert len(frames) <= size
        assert frames[0, 0, 0, 0] == start
        fresh = frames if not seen else frames[overlap:]
        assert len(fresh) > 0
        seen.extend(int(frame[0, 0, 0]) for frame in fresh)
    assert seen == list(range(7))


def test_windows_refuses_an_overlap_that_never_ends():
    with pytest.raises(ValueError, match="overlap"):
        list(clip().windows(3, 3))


def test_image_hash_is_of_pixels_not_of_names():
    pixels = np.zeros((2, 3, 3), np.uint8)
    other = pixels.copy()
    other[0, 0, 0] = 1
    assert Image(pixels).sha256 == Image(pixels.copy()).sha256
    assert Image(pixels).sha256 != Image(other).sha256
    assert Image(pixels).sha256 != Image(pixels.reshape(3, 2, 3)).sha256
