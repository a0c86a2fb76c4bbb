import numpy as np
import pytest

from vitascope.clip import Clip, FrameReader
from vitascope.errors import ResourceError
from vitascope.flow.spooled_frames import SpooledFrames, spool

FRAMES = [np.full((4, 6, 3), i, np.uint8) for i in range(20)]


def test_few_frames_stay_in_memory(tmp_path):
    kept = spool(iter(FRAMES), tmp_path / "spool")
    assert isinstance(kept, np.ndarray)
    assert not (tmp_path / "spool").exists()


def test_many_frames_go_to_a_file_without_a_name(tmp_path):
    kept = spool(iter(FRAMES), tmp_path / "spool", in_memory_bytes=5 * FRAMES[0].nbytes)
    assert isinstance(kept, SpooledFrames)
    assert isinstance(kept, FrameReader)
    assert kept.shape == (20, 4, 6, 3)
    assert list((tmp_path / "spool").iterdir()) == []
    np.testing.assert_array_equal(kept[7:11], np.stack(FRAMES[7:11]))
    np.testing.assert_array_equal(kept[18:40], np.stack(FRAMES[18:]))
    assert kept[5:5].shape == (0, 4, 6, 3)
    assert Clip(kept, 8).array().flags.writeable


def test_frames_are_not_read_backwards(tmp_path):
    kept = spool(iter(FRAMES), tmp_path, in_memory_bytes=1)
    with pytest.raises(ValueError, match="step -1"):
        kept[::-1]


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ResourceError, match="cannot write frames"):
        spool(iter(FRAMES), tmp_path / "file" / "spool", in_memory_bytes=1)
