"""Files that go on behind their end, or stop before it."""

import numpy as np
import pytest

from vitascope.clip import Clip, Image
from vitascope.media import write, write_image
from vitascope.media._tails import check_end

PICTURE = Image(np.full((8, 8, 3), 90, np.uint8))


@pytest.mark.parametrize("name", ["x.png", "x.jpg", "x.webp", "x.gif", "x.mp4", "x.webm"])
def test_tails_and_cuts_are_seen(tmp_path, name):
    path = tmp_path / name
    if name.endswith(("png", "jpg", "webp")):
        write_image(PICTURE, path)
    else:
        write(Clip(np.zeros((3, 16, 16, 3), np.uint8), 8), path)
    whole = path.read_bytes()
    assert check_end(path) == ""
    path.write_bytes(whole + b"PK\x03\x04<script>")
    assert "follow" in check_end(path)
    path.write_bytes(whole[:-3])
    assert check_end(path) == "it is cut short"
