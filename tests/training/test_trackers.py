"""Numbers and clips reach whoever shows them; who fails is left behind."""

import json
import sys
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest

from vitascope.clip import Clip
from vitascope.errors import DependencyMissing
from vitascope.training.trackers import open_trackers, tell


@pytest.fixture
def sample(tmp_path):
    clip = Clip(np.zeros((9, 16, 16, 3), np.uint8), Fraction(8))
    return clip.save(tmp_path / "step-000007-2.mp4"), clip


def test_tensorboard_and_the_log_are_told(tmp_path, sample):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    trackers = open_trackers(["tensorboard"], tmp_path, "look", {}, pytest.fail)
    tell(trackers, lambda tracker: tracker.numbers(7, {"loss": 0.5}), pytest.fail)
    tell(trackers, lambda tracker: tracker.clip(7, *sample), pytest.fail)
    tell(trackers, lambda tracker: tracker.close(), pytest.fail)
    assert json.loads((tmp_path / "log.jsonl").read_text()) == {"step": 7, "loss": 0.5}
    seen = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(entry.step, entry.value) for entry in seen.Scalars("train/loss")] == [(7, 0.5)]
    assert seen.Tags()["images"] == ["samples/2"]


def test_wandb_is_given_the_file_and_one_that_fails_is_left_behind(tmp_path, sample, monkeypatch):
    """The module stands in for W&B's, of which this uses init, log, Video and finish."""
    told, opened = [], {}

    def log(values, step):
        told.append((step, values))
        if len(told) == 2:
            raise ConnectionError("no way there\nand more")

    wandb = SimpleNamespace(
        init=lambda **given: opened.update(given),
        log=log,
        Video=lambda path, format: (path, format),
        finish=lambda: None,
    )
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    warned = []
    trackers = open_trackers(["wandb"], tmp_path, "look", {"steps": 3}, warned.append)
    assert (opened["dir"], opened["config"]) == (str(tmp_path), {"steps": 3})
    tell(trackers, lambda tracker: tracker.clip(7, *sample), warned.append)
    assert told == [(7, {"samples/2": (str(sample[0]), "mp4")})]
    for step in (8, 9):
        tell(trackers, lambda tracker, step=step: tracker.numbers(step, {"loss": 1.0}), warned.append)
    assert len(told) == 2
    assert warned == ["a tracker failed and gets nothing more, training goes on: no way there"]
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 2


def test_a_tracker_that_was_asked_for_must_be_there(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "trackio", None)
    with pytest.raises(DependencyMissing, match=r"vitascope\[trackio\]"):
        open_trackers(["trackio"], tmp_path, "look", {}, pytest.fail)
