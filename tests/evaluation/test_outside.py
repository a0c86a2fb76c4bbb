"""Clips from elsewhere as one more algorithm."""

import json

import numpy as np
import pytest

from vitascope.clip import Clip
from vitascope.context import Context
from vitascope.errors import NotFound, RequestError
from vitascope.evaluation.contenders import Contender
from vitascope.evaluation.outside import OutsideClips
from vitascope.evaluation.queued import make_queued
from vitascope.evaluation.runs import SuiteRun, default_metrics, fitted_to
from vitascope.evaluation.suites import Item, Suite
from vitascope.media import write
from vitascope.metrics import METRICS

SUITE = Suite(
    name="two", items=(Item(id="star", prompt="a star, at night"), Item(id="moon", prompt="a moon"))
)


def clip(seed=0):
    return Clip(np.random.default_rng(seed).integers(0, 255, (4, 32, 48, 3), dtype=np.uint8), 8)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "clips").mkdir()
    write(clip(0), tmp_path / "clips" / "star.mp4")
    write(clip(1), tmp_path / "clips" / "a moon-0.mp4")
    return tmp_path / "clips"


@pytest.fixture
def run(tmp_path):
    return SuiteRun(SUITE, tmp_path / "run")


def test_clips_are_found_by_item_or_as_the_benchmark_names_them(run, folder):
    made = OutsideClips.parse(f"theirs={folder}").adopt(run)
    assert [(one.item, one.failed) for one in made] == [("star", None), ("moon", None)]
    again = OutsideClips("theirs", folder).adopt(run)
    assert again == made and run.costs() == []
    measured = run.measure([METRICS["sharpness"]()], Context())
    assert len(measured) == 2 and all(m.value for m in measured)
    write(clip(5), folder / "star.mp4")
    with pytest.raises(RequestError, match="another clip of 'theirs' for 'star'"):
        OutsideClips("theirs", folder).adopt(run)


def test_a_wrong_number_of_clips_is_refused_with_names(run, folder):
    write(clip(2), folder / "sun.mp4")
    (folder / "star.mp4").unlink()
    with pytest.raises(RequestError, match="2 clips for 2 prompts: no clip for star; no item for 'sun'"):
        OutsideClips("theirs", folder).adopt(run)
    assert not run.folder.exists(), "nothing is begun"


def test_a_damaged_clip_is_named_and_the_rest_goes_on(run, folder):
    (folder / "star.mp4").write_bytes(b"no video")
    made = OutsideClips("theirs", folder).adopt(run)
    assert "star.mp4" in made[0].failed and made[0].path is None
    assert made[1].failed is None
    stored = run.folder / made[1].path
    stored.write_bytes(stored.read_bytes()[:300])  # damaged later, on the disk
    assert run.measure([METRICS["sharpness"]()], Context()) == []
    assert all(one.failed for one in run.made())


def test_what_is_no_folder_of_clips_is_refused(run, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("x")
    with pytest.raises(NotFound, match="holds no clip"):
        OutsideClips("theirs", tmp_path / "empty").adopt(run)
    with pytest.raises(NotFound, match="no folder"):
        OutsideClips("theirs", tmp_path / "gone").adopt(run)
    with pytest.raises(RequestError, match="NAME=FOLDER"):
        OutsideClips.parse("clips/")


def test_driving_and_trajectory_items_make_their_tasks_and_fit_their_metrics(tmp_path):
    from PIL import Image

    Image.new("RGB", (32, 24), "red").save(tmp_path / "a.png")
    (tmp_path / "path.json").write_text(json.dumps({"paths": [[[0.1, 0.1], [0.9, 0.9]]]}))
    joints = [[0.5, 0.5, 1.0]] * 17
    (tmp_path / "poses.json").write_text(json.dumps({"layout": "coco-17", "fps": 8, "frames": [[joints]]}))
    moved = Item(id="m", prompt="p", image=tmp_path / "a.png", poses=tmp_path / "poses.json")
    drawn = Item(id="d", prompt="p", trajectories=tmp_path / "path.json")
    both = drawn.model_copy(update={"image": tmp_path / "a.png"})
    assert [item.task_code for item in (moved, drawn, both)] == ["motion", "trajectory-t2v", "trajectory-i2v"]
    assert [item.task().kind for item in (moved, drawn, both)] == [
        "motion-to-video",
        "trajectory-to-video",
        "trajectory-to-video",
    ]
    suite = Suite(name="s", items=(moved, drawn))
    assert suite.task_codes == ("motion", "trajectory-t2v")
    assert "trajectory-error-klt" in {metric.name for metric in default_metrics(suite)}
    assert "trajectory-error-klt" not in {metric.name for metric in default_metrics(SUITE)}
    assert fitted_to(METRICS["trajectory-error-klt"](), drawn).trajectories == drawn.task().trajectories
    assert fitted_to(METRICS["pose-error"](), moved).poses == moved.poses


@pytest.mark.parametrize(
    "fields, complaint",
    [
        ({"poses": "p.json"}, "no image"),
        ({"video": "v.mp4", "image": "i.png"}, "mixes kinds of tasks: image, video"),
        ({"image": "i.png", "poses": "p.json", "trajectories": "t.json"}, "poses, trajectories"),
    ],
)
def test_an_item_is_of_one_kind(fields, complaint):
    with pytest.raises(ValueError, match=complaint):
        Item(id="x", prompt="p", **fields)


def test_what_a_generator_does_not_make_is_written_down_with_a_way_out(tmp_path):
    (tmp_path / "path.json").write_text(json.dumps({"paths": [[[0.1, 0.1], [0.9, 0.9]]]}))
    items = (
        Item(id="drawn", prompt="p", trajectories=tmp_path / "path.json"),
        Item(id="lost", prompt="p", trajectories=tmp_path / "gone.json"),
    )
    run = SuiteRun(Suite(name="paths", items=items), tmp_path / "run")
    made = {one.item: one.failed for one in make_queued(run, [Contender.parse("colour-bars")], Context())}
    assert "not trajectory-to-video; tora can" in made["drawn"]
    assert made["lost"].startswith("no trajectory file") and "--clips" not in made["lost"]
