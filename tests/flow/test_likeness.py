import numpy as np
import pytest

from tests.flow.pictures import panning, texture
from vitascope.flow.likeness import is_cut, is_duplicate, relation


def test_another_picture_is_a_cut():
    assert relation(texture(90, 160, seed=1), texture(90, 160, seed=2) // 3) == "cut"


def test_another_plain_colour_is_a_cut():
    red, blue = np.zeros((48, 64, 3), np.uint8), np.zeros((48, 64, 3), np.uint8)
    red[..., 0], blue[..., 2] = 220, 220
    assert is_cut(red, blue)


@pytest.mark.parametrize("step", [1, 6, 16])
def test_a_pan_is_no_cut(step):
    first, second = panning(2, step=step, height=90, width=160)
    assert relation(first, second) == "continuous"


def test_a_flash_that_keeps_the_picture_is_no_cut():
    picture = texture(90, 160)
    brighter = np.minimum(picture.astype(int) + 60, 255).astype(np.uint8)
    assert not is_cut(picture, brighter)


def test_codec_noise_on_a_still_is_a_duplicate():
    picture = texture(64, 96)
    noisy = picture.copy()
    noisy[::7, ::7] ^= 1
    assert is_duplicate(picture, picture)
    assert is_duplicate(picture, noisy)


def test_a_small_thing_that_moves_is_no_duplicate():
    picture = np.full((256, 256, 3), 90, np.uint8)
    moved = picture.copy()
    picture[100:106, 100:106], moved[100:106, 112:118] = 250, 250
    assert not is_duplicate(picture, moved)


@pytest.mark.parametrize("size", [(1, 1), (3, 500)])
def test_frames_of_any_size_can_be_compared(size):
    dark, bright = np.zeros((*size, 3), np.uint8), np.full((*size, 3), 255, np.uint8)
    assert relation(dark, bright) == "cut"
    assert relation(dark, dark) == "duplicate"
