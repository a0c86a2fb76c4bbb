"""Metrics of motion: what moves, what flickers, what is smooth."""

import numpy as np
import pytest

from tests.metrics.pictures import flickering, panning, still, texture
from vitascope.clip import Clip
from vitascope.flow.dis import optical_flow
from vitascope.metrics import METRICS, AnalysedClip
from vitascope.metrics._motion import visible_in_both


def value(name, clip, **knobs):
    return METRICS[name](**knobs).score(clip).value


def test_flow_score_is_the_motion_in_the_clips_own_pixels():
    assert value("flow-score-dis", panning(step=3)) == pytest.approx(3, abs=0.1)
    assert value("flow-score-dis", still()) == pytest.approx(0, abs=0.01)
    large = panning(num_frames=3, step=8, size=(512, 640))
    assert AnalysedClip.of(large).working_scale == 0.5
    assert value("flow-score-dis", large) == pytest.approx(8, abs=0.3)


@pytest.mark.parametrize("step, dynamic", [(0, 0.0), (1, 0.0), (4, 1.0)])
def test_dynamic_degree_has_the_benchmarks_threshold(step, dynamic):
    """For a shorter side of 96 the threshold is 6 * 96 / 256 = 2.25 pixels a pair."""
    clip = panning(num_frames=9, step=step) if step else still()
    assert value("dynamic-degree-dis", clip) == dynamic


def test_dynamic_degree_samples_eight_frames_a_second():
    slow = panning(num_frames=17, step=1, fps=24)
    assert value("dynamic-degree-dis", Clip(slow.frames, 8)) == 0
    assert value("dynamic-degree-dis", slow) == 1, "three pixels in each 1/8 s"
    score = METRICS["dynamic-degree-dis"]().score(Clip(slow.frames[:3], 24))
    assert score.value is None and "1/8 s" in score.not_measured


def test_warp_error_tells_flicker_from_motion_where_the_flicker_score_cannot():
    motion, flicker = panning(step=3), flickering(still(), depth=0.04)
    assert value("temporal-flickering", motion) < value("temporal-flickering", flicker)
    assert value("warp-error-dis", motion) < 0.1 * value("warp-error-dis", flicker)


def test_warp_error_without_common_picture_is_not_measured(monkeypatch):
    frames = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    score = METRICS["warp-error-dis"]().score(Clip(frames, 8))
    visible = AnalysedClip.of(Clip(frames, 8)).motion.warp_error
    assert np.isnan(visible).all() == (score.value is None)
    assert score.value is None or score.value > 0.01


def test_uncovered_background_is_not_visible_in_both():
    """A square that moves 8 pixels to the right covers a strip ahead of it."""
    background, square = texture(96, 128, seed=1)[..., 0], texture(96, 128, seed=2)[..., 0]
    first, second = background.copy(), background.copy()
    first[30:66, 40:76], second[30:66, 48:84] = square[30:66, 40:76], square[30:66, 40:76]
    visible = visible_in_both(optical_flow(first, second), optical_flow(second, first))
    assert not visible[40:56, 77:83].any(), "the strip that the square covers"
    assert visible[5:20, 5:120].mean() > 0.9, "still background"


def test_motion_smoothness_is_high_for_even_motion_and_low_for_jerks():
    even = panning(num_frames=9, step=2)
    frames = even.frames.copy()
    frames[3], frames[5] = frames[2], frames[4]
    assert value("motion-smoothness-dis", even) > 0.985
    assert value("motion-smoothness-dis", Clip(frames, 8)) < value("motion-smoothness-dis", even) - 0.005
    assert value("motion-smoothness-dis", still()) == pytest.approx(1, abs=0.002)
