"""Many metrics at once."""

import time

import numpy as np
import pytest

from tests.metrics.pictures import panning, texture
from vitascope.clip import Clip
from vitascope.metrics import METRICS, Metric, measure


def test_scores_come_in_order_and_say_why_one_is_missing():
    clip = panning(num_frames=2)
    names = ["ssim", "motion-smoothness-dis", "flow-score-dis"]
    scores = measure(clip, [METRICS[name]() for name in names])
    assert [score.metric for score in scores] == names
    assert scores[0].not_measured == "needs a reference clip"
    assert "needs at least 3 frames" in scores[1].not_measured
    assert scores[2].value > 0


def test_modules_are_loaded_once_for_metrics_that_share_them():
    loads = []

    class Loading(Metric):
        """Counts how often it is loaded."""

        unit, range, direction, tier, source = "x", (None, None), "neither", "exact", "test"
        knob: int = 0

        def modules_key(self):
            return "same"

        def load(self, placement):
            loads.append(placement)
            return "modules"

        def score(self, clip, reference=None, modules=None):
            assert modules == "modules"
            return self.scored(self.knob)

    scores = measure(panning(), [Loading(knob=1), Loading(knob=2)])
    assert [score.value for score in scores] == [1, 2]
    assert len(loads) == 1


@pytest.mark.slow
def test_all_metrics_without_weights_take_ten_seconds_for_a_native_clip():
    """49 frames of 720 x 480; seconds of one core, so that a busy machine does not fail it."""
    picture = texture(560, 900)
    frames = np.stack([picture[i : 480 + i, 3 * i : 720 + 3 * i] for i in range(49)])
    metrics = [metric() for metric in METRICS if not metric.needs_weights]
    started = time.process_time()
    measure(Clip(frames, 8), metrics)
    assert time.process_time() - started <= 10
