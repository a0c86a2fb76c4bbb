"""Whether a face stays the same person's, on the one portrait that is always at hand."""

from importlib.util import find_spec
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import pytest

from tests.metrics.pictures import still
from vitascope.clip import Clip, Image
from vitascope.errors import InvalidMedia
from vitascope.media import read_image, write_image
from vitascope.metrics import METRICS, measure

PORTRAIT = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
installed = find_spec("_dlib_pybind11") is not None and find_spec("face_recognition_models") is not None
needs_dlib = pytest.mark.skipif(not installed, reason="needs vitascope[faces] and face-recognition-models")


class Describer:
    """Says of a frame what its corner holds: a face's place on a line, or none."""

    def describe(self, frame):
        place = int(frame[0, 0, 0])
        return None if place == 0 else np.array([place / 100, 0.0])


def clip_of(*places):
    frames = np.zeros((len(places), 16, 16, 3), np.uint8)
    frames[:, 0, 0, 0] = places
    return Clip(frames, 8)


def test_distances_are_to_the_first_face_and_frames_without_one_do_not_count():
    clip = clip_of(0, 100, 130, 0, 150)
    metric = METRICS["identity-distance-dlib"]
    assert metric().score(clip, modules=Describer()).value == pytest.approx(0.4)
    assert metric(over_time="worst").score(clip, modules=Describer()).value == pytest.approx(0.5)
    lonely = metric().score(clip_of(0, 100, 0), modules=Describer())
    assert lonely.value is None
    assert lonely.not_measured == "1 of 3 frames show a face that dlib can find"
    assert metric().score(clip_of(0, 0), modules=Describer()).value is None


def test_a_portrait_says_who_it_is(tmp_path):
    write_image(Image(clip_of(100).frames[0]), tmp_path / "me.png")
    write_image(Image(clip_of(0).frames[0]), tmp_path / "nobody.png")
    metric = METRICS["identity-distance-dlib"]
    score = metric(portrait=tmp_path / "me.png").score(clip_of(120), modules=Describer())
    assert score.value == pytest.approx(0.2)
    assert metric(portrait=tmp_path / "me.png").score(clip_of(0), modules=Describer()).value is None
    with pytest.raises(InvalidMedia, match="shows no face"):
        metric(portrait=tmp_path / "nobody.png").score(clip_of(120), modules=Describer())


@pytest.mark.skipif(installed, reason="dlib is here")
def test_without_dlib_the_extra_is_named():
    (score,) = measure(still(2), [METRICS["identity-distance-dlib"]()])
    assert "vitascope[faces]" in score.not_measured


@needs_dlib
def test_the_same_person_under_other_light_is_near_and_a_distorted_face_is_farther():
    picture = read_image(PORTRAIT).pixels
    darker = np.clip(picture * 0.75, 0, 255).astype(np.uint8)
    mirrored = np.ascontiguousarray(darker[:, ::-1])
    wider = cv2.resize(picture, None, fx=1.25, fy=1)
    metric = METRICS["identity-distance-dlib"](portrait=PORTRAIT)
    same = metric.score(Clip(np.stack([picture, darker, mirrored]), 8)).value
    assert 0 < same < 0.4
    assert metric.score(Clip(picture[None], 8)).value == pytest.approx(0, abs=1e-6)
    assert metric.score(Clip(wider[None], 8)).value > same
    blank = METRICS["identity-distance-dlib"]().score(still(2))
    assert blank.value is None
    assert "0 of 2 frames" in blank.not_measured
