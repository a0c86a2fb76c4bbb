"""The form in which workflows keep clips between their stages gives the very same clip back."""

from fractions import Fraction

import numpy as np
import pytest
from sample_clips import numbered_frames, tone

from vitascope.clip import Clip
from vitascope.errors import NotFound
from vitascope.media import MappedFrames, probe, read, read_lossless, write_lossless


def test_everything_survives(tmp_path, recipe):
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 255, (9, 31, 47, 3), np.uint8)
    mask = rng.integers(0, 255, (9, 31, 47), np.uint8)
    clip = Clip(frames, Fraction(24000, 1001), tone(1.0, 44100), mask, recipe)
    back = read_lossless(write_lossless(clip, tmp_path / "kept"))
    assert np.array_equal(back.array(), frames)
    assert np.array_equal(back.mask, mask)
    assert np.array_equal(back.audio.samples, clip.audio.samples)
    assert (back.fps, back.audio.sample_rate, back.recipe) == (clip.fps, 44100, recipe)
    assert read(tmp_path / "kept").recipe == recipe
    assert probe(tmp_path / "kept").container == "lossless"


def test_lazy_clips_are_kept_and_old_ones_replaced(tmp_path, clip):
    lazy = clip.with_frames(MappedFrames(clip.frames, lambda frame: frame[4:20, ::-1], 16, 48))
    path = write_lossless(clip, tmp_path / "kept")
    assert write_lossless(lazy, path) == path
    assert np.array_equal(read_lossless(path).array(), clip.array()[:, 4:20, ::-1])
    assert sorted(p.name for p in path.iterdir()) == ["frames.npy", "lossless.json"]


def test_a_clip_read_from_its_own_folder_can_be_written_back(tmp_path, clip):
    path = write_lossless(clip, tmp_path / "kept")
    write_lossless(read_lossless(path), path)
    assert np.array_equal(read_lossless(path).array(), numbered_frames(17))


def test_missing(tmp_path):
    with pytest.raises(NotFound, match="absent"):
        read_lossless(tmp_path / "absent")
