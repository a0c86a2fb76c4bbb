"""Whether things follow the paths that were drawn for them."""

import numpy as np
import pytest

from tests.metrics.pictures import panning, texture
from vitascope.clip import Clip
from vitascope.errors import RequestError
from vitascope.metrics import METRICS
from vitascope.metrics.trajectory_error_klt import resampled
from vitascope.tracks import Trajectories


def error(clip, *paths):
    return METRICS["trajectory-error-klt"](trajectories=Trajectories(paths=paths)).score(clip)


def test_a_followed_path_has_no_error_and_a_missed_one_its_distance():
    clip = panning(num_frames=9, step=2, size=(96, 128))
    start, end = (100 / 128, 0.5), (84 / 128, 0.5)  # the picture moves 16 pixels to the left
    diagonal = np.hypot(128, 96)
    assert error(clip, (start, end)).value == pytest.approx(0, abs=0.3 / diagonal)
    assert error(clip, (start, start)).value == pytest.approx(8 / diagonal, rel=0.05)
    assert error(clip, (start, end), (start, start)).value == pytest.approx(4 / diagonal, rel=0.1)


def test_a_path_is_spread_evenly_over_the_frames():
    assert resampled(((0.0, 0.0), (0.5, 0.2), (1.0, 0.2)), 5).tolist() == pytest.approx(
        np.array([[0, 0], [0.25, 0.1], [0.5, 0.2], [0.75, 0.2], [1, 0.2]])
    )


def test_untrackable_points_are_not_measured():
    rng = np.random.default_rng(3)
    noise = Clip(rng.integers(0, 256, (5, 96, 128, 3), dtype=np.uint8), 8)
    score = error(noise, ((0.5, 0.5), (0.6, 0.5)))
    assert score.value is None and "could be tracked" in score.not_measured


def test_without_paths_there_is_nothing_to_measure():
    score = METRICS["trajectory-error-klt"]().score(Clip(texture()[None].repeat(3, 0), 8))
    assert score.value is None and "no wanted trajectories" in score.not_measured


def test_the_wanted_paths_may_be_a_file(tmp_path):
    (tmp_path / "path.txt").write_text("64,128\n192,128")
    metric = METRICS["trajectory-error-klt"].with_knobs(trajectories=str(tmp_path / "path.txt"))
    assert metric.trajectories.paths == (((0.25, 0.5), (0.75, 0.5)),)
    assert type(metric).model_validate_json(metric.model_dump_json()) == metric
    with pytest.raises(RequestError, match="no trajectory file"):
        METRICS["trajectory-error-klt"].with_knobs(trajectories="gone.txt")
