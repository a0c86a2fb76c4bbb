"""Metrics read from one scan of the frames, against their definitions written out."""

from itertools import pairwise

import cv2
import numpy as np
import pytest
from scipy import ndimage

from tests.metrics.pictures import flickering, panning, still, texture
from vitascope.clip import Clip
from vitascope.errors import RequestError
from vitascope.metrics import METRICS, AnalysedClip


def value(name, clip, **knobs):
    return METRICS[name](**knobs).score(clip).value


def luma(clip):
    return np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in clip.frames]).astype(float)


def test_temporal_flickering_is_the_benchmarks_formula():
    clip = flickering(panning())
    pairs = zip(clip.frames.astype(np.float32), clip.frames[1:].astype(np.float32), strict=False)
    errors = [np.mean(np.abs(first - second)) for first, second in pairs]
    assert value("temporal-flickering", clip) == pytest.approx((255.0 - np.mean(errors)) / 255.0, abs=1e-6)
    assert value("temporal-flickering", still()) == 1.0


@pytest.mark.parametrize("over_time, pool", [("max", np.max), ("mean", np.mean)])
def test_spatial_and_temporal_information_are_those_of_p910(over_time, pool):
    clip = panning()
    frames = luma(clip)
    gradients = [np.hypot(ndimage.sobel(f, 0), ndimage.sobel(f, 1))[1:-1, 1:-1].std() for f in frames]
    changes = [(after - before).std() for before, after in pairwise(frames)]
    assert value("spatial-information", clip, over_time=over_time) == pytest.approx(pool(gradients), rel=1e-5)
    assert value("temporal-information", clip, over_time=over_time) == pytest.approx(pool(changes), rel=1e-9)


def test_sharpness_falls_with_blur_and_matches_its_definition():
    clip = still(1)
    expected = ndimage.laplace(luma(clip)[0], mode="mirror").var()
    assert value("sharpness", clip) == pytest.approx(expected, rel=1e-9)
    blurred = Clip(cv2.GaussianBlur(clip.frames[0], (0, 0), 2)[None], 8)
    assert value("sharpness", blurred) < 0.5 * expected


def test_colourfulness_of_grey_is_zero_and_matches_its_definition():
    frame = texture(40, 50).astype(float)
    red, green, blue = frame[..., 0], frame[..., 1], frame[..., 2]
    rg, yb = red - green, (red + green) / 2 - blue
    expected = np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean())
    assert value("colourfulness", Clip(frame[None].astype(np.uint8), 8)) == pytest.approx(expected, rel=1e-5)
    grey = np.repeat(texture(40, 50)[None, ..., :1], 3, axis=3)
    assert value("colourfulness", Clip(grey, 8)) == 0


def test_exposure_clipping_is_the_share_of_black_and_white():
    frames = np.full((2, 40, 40, 3), 128, np.uint8)
    frames[:, :10], frames[:, 30:35] = 0, 255
    assert value("exposure-clipping", Clip(frames, 8)) == pytest.approx(0.375)


def test_blockiness_sees_the_borders_of_coded_blocks():
    clean = texture(128, 128)
    coded = cv2.imdecode(cv2.imencode(".jpg", clean, [cv2.IMWRITE_JPEG_QUALITY, 5])[1], cv2.IMREAD_COLOR)
    assert value("blockiness", Clip(clean[None], 8)) == pytest.approx(1, abs=0.1)
    assert value("blockiness", Clip(coded[None], 8)) > 1.5
    assert value("blockiness", Clip(np.full((1, 64, 64, 3), 9, np.uint8), 8)) == 1


def test_freeze_ratio_counts_repeated_frames():
    moving = panning(6).frames
    frames = np.concatenate([moving[:3], moving[2:3], moving[2:3], moving[3:]])
    assert value("freeze-ratio", Clip(frames, 8)) == pytest.approx(2 / 7)
    assert value("freeze-ratio", still(4)) == 1


def test_scene_cuts_counts_hard_cuts_and_not_motion():
    night, day = panning(5).frames // 4, panning(5).frames
    meadow = (day[:, ::-1] * np.array([0.3, 1.0, 0.2])).astype(np.uint8)
    assert value("scene-cuts", Clip(np.concatenate([meadow, night, meadow]), 8)) == 2
    assert value("scene-cuts", panning(9, step=6)) == 0


@pytest.mark.parametrize(
    "name", ["temporal-flickering", "freeze-ratio", "scene-cuts", "motion-smoothness-dis"]
)
def test_a_clip_too_short_is_refused_with_what_it_needs(name):
    with pytest.raises(RequestError, match=f"{name} needs at least . frames; this clip has 1"):
        METRICS[name]().score(still(1))


def test_a_clip_is_decoded_once_for_all_metrics():
    class Counting:
        def __init__(self, frames):
            self.frames, self.read, self.shape = frames, 0, frames.shape

        def __getitem__(self, index):
            self.read += len(self.frames[index])
            return self.frames[index]

    reader = Counting(panning(20).frames)
    clip = AnalysedClip.of(Clip(reader, 8))
    for name in ("temporal-flickering", "spatial-information", "warp-error-dis", "dynamic-degree-dis"):
        METRICS[name]().score(clip)
    assert reader.read == 20
    assert AnalysedClip.of(clip) is clip
