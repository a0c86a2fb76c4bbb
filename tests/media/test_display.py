"""Clips made small for looking at."""

import base64
import re

import numpy as np
import pytest
from sample_clips import numbered_frames, read_number, tone

from vitascope.clip import Clip
from vitascope.errors import RequestError
from vitascope.media import contact_sheet, read, thumbnail, to_html


def embedded(text, folder):
    data = re.search(r'src="data:video/mp4;base64,([A-Za-z0-9+/=]+)"', text).group(1)
    path = folder / "embedded.mp4"
    path.write_bytes(base64.b64decode(data))
    return read(path)


def test_a_notebook_shows_the_clip_playing(tmp_path, clip):
    text = clip._repr_mimebundle_()["text/html"]
    assert all(word in text for word in ("<video", " loop", " autoplay", " muted", 'width="48"'))
    shown = embedded(text, tmp_path)
    assert [read_number(frame) for frame in shown.array()] == list(range(17))
    assert "17 frames" in text


def test_html_is_bounded_in_length_size_and_bytes(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (12, 300, 400, 3), np.uint8)
    text = to_html(Clip(noise, 8, audio=tone(1.0)), max_bytes=200_000)
    assert len(text) <= 200_000
    assert embedded(text, tmp_path).width < 400
    with pytest.raises(RequestError, match="1000 bytes"):
        to_html(Clip(noise, 8), max_bytes=1000)
    long = to_html(Clip(numbered_frames(500, 16, 24), 24))
    assert "first 480 frames" in long
    assert embedded(long, tmp_path).num_frames == 480
    wide = embedded(to_html(Clip(np.zeros((2, 20, 2000, 3), np.uint8), 8)), tmp_path)
    assert (wide.width, wide.height) == (512, 6)


def test_captions_are_text_not_markup(recipe):
    stage = recipe.stages[0].model_copy(update={"name": "<script>alert(1)</script>"})
    clip = Clip(numbered_frames(2), 8, recipe=recipe.model_copy(update={"stages": (stage,)}))
    assert "<script>" not in to_html(clip)


def test_thumbnail_is_the_middle_frame_made_small():
    frames = np.zeros((5, 100, 200, 3), np.uint8)
    frames[2] = 180
    image = thumbnail(Clip(frames, 8), max_side=50)
    assert image.pixels.shape == (25, 50, 3)
    assert (image.pixels == 180).all()
    assert thumbnail(Clip(frames, 8)).pixels.shape == (100, 200, 3)


def test_contact_sheet_has_a_row_a_clip_and_its_label():
    ramp = np.arange(0, 240, 24, dtype=np.uint8)[:, None, None, None]
    clip = Clip(np.broadcast_to(ramp, (10, 40, 60, 3)).copy(), 8)
    sheet = contact_sheet([clip, clip], ["one", "第二"], num_columns=4, max_side=60).pixels
    plain = contact_sheet([clip, clip], num_columns=4, max_side=60).pixels
    assert plain.shape == (2 * 48, 4 * 68, 3)
    assert sheet.shape[0] > plain.shape[0]
    assert [int(plain[24, 34 + 68 * column, 0]) for column in range(4)] == [0, 72, 144, 216]
    assert (sheet[:20] < 128).any(), "the label is written"
    for clips, labels in (([], []), ([clip], ["a", "b"])):
        with pytest.raises(RequestError):
            contact_sheet(clips, labels)
