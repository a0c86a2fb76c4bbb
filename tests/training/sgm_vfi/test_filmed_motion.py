import cv2
import numpy as np
import pytest
import torch

from tests.flow.pictures import texture
from vitascope.clip import Clip
from vitascope.errors import InvalidMedia, NotFound
from vitascope.training.sgm_vfi.filmed_motion import FilmedMotion, clips_in, steady_places, textures_from

CPU = torch.device("cpu")


def panned(num_frames, height=48, width=64, step=2):
    """A camera that moves to the right over a picture."""
    picture = texture(height, width + step * num_frames)
    frames = [picture[:, step * i : step * i + width] for i in range(num_frames)]
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).contiguous()


def test_cuts_and_repeated_frames_are_left_out():
    shown = panned(6)
    clip = torch.cat((shown, shown[-1:], 255 - shown))
    assert steady_places(clip, 1) == [1, 2, 3, 4, 8, 9, 10, 11]
    assert steady_places(clip, 2) == [2, 3, 9, 10]


def test_the_middle_lies_between_its_neighbours():
    filmed = FilmedMotion([panned(12)], size=32, batch_size=6).batch(3)
    outer = (filmed.first - filmed.second).abs().mean((1, 2, 3))
    for frame in (filmed.first, filmed.second):
        assert ((frame - filmed.middle).abs().mean((1, 2, 3)) < outer).all()
    assert filmed.middle.shape == (6, 3, 32, 32)
    assert 0 <= filmed.middle.min() <= filmed.middle.max() <= 1


def test_a_seed_gives_its_batch_again_and_another_seed_another():
    films = FilmedMotion([panned(12)], size=32, batch_size=2)
    assert torch.equal(films.batch(1).first, films.batch(1).first)
    assert not torch.equal(films.batch(1).first, films.batch(2).first)


def test_a_clip_smaller_than_wanted_is_enlarged():
    assert FilmedMotion([panned(9, height=20)], size=32, batch_size=1).batch(0).first.shape[2:] == (32, 32)


def test_a_clip_that_stands_still_is_refused():
    with pytest.raises(InvalidMedia, match="moves steadily"):
        FilmedMotion([panned(1).expand(9, -1, -1, -1)], size=32, batch_size=1)


def test_frames_become_textures():
    squares = textures_from([panned(5), panned(4)], side=40, count=3, seed=0)
    assert squares.shape == (6, 3, 40, 40)
    assert squares.float().std() > 10


def test_clips_are_read_from_files_and_large_ones_made_smaller(tmp_path):
    frames = panned(4, height=120, width=1600).permute(0, 2, 3, 1).numpy()
    Clip(np.ascontiguousarray(frames), fps=8).save(tmp_path / "wide.mp4")
    (clip,) = clips_in(tmp_path, CPU)
    assert clip.shape == (4, 3, 72, 960)
    expected = cv2.resize(frames[0], (960, 72), interpolation=cv2.INTER_AREA)
    assert np.abs(clip[0].permute(1, 2, 0).numpy() - expected.astype(float)).mean() < 12


def test_what_is_no_clip_is_told(tmp_path):
    with pytest.raises(NotFound, match="no clips"):
        clips_in(tmp_path, CPU)
    (tmp_path / "broken.mp4").write_bytes(b"nothing")
    with pytest.raises(InvalidMedia, match=r"broken\.mp4"):
        clips_in(tmp_path, CPU)


def test_a_clip_of_two_frames_is_refused(tmp_path):
    Clip(np.ascontiguousarray(panned(2).permute(0, 2, 3, 1).numpy()), fps=8).save(tmp_path / "short.mp4")
    with pytest.raises(InvalidMedia, match="needs 3"):
        clips_in(tmp_path, CPU)
