"""Poses found against poses wanted."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from transformers import VitPoseBackboneConfig, VitPoseConfig, VitPoseForPoseEstimation

from vitascope.clip import Clip
from vitascope.engine.placement import Placement
from vitascope.errors import RequestError, WeightsMissing
from vitascope.metrics import METRICS, measure
from vitascope.metrics.pose_error import heatmap_peaks
from vitascope.poses import PoseSequence

WIDTH, HEIGHT = 320, 480
RNG = np.random.default_rng(3)
# Seventeen places a person could have their joints at, far enough apart to be drawn.
PLACES = np.array([(80 + 40 * (j % 5), 80 + 90 * (j // 5)) for j in range(17)], float)
COLOURS = np.array([(40 + 50 * (j % 5), 60 + 60 * (j // 5), 30 + 11 * j) for j in range(17)], np.float32)
COCO_OF_OPENPOSE = [0, None, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3]


def drawn(shift=(0, 0), leave_out=()):
    frame = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for joint, (place, colour) in enumerate(zip(PLACES + shift, COLOURS, strict=True)):
        if joint not in leave_out:
            cv2.circle(frame, (round(place[0]), round(place[1])), 8, colour.tolist(), -1)
    return frame


class ColourFinder:
    """Finds each joint by its colour: a network whose answer is known."""

    config = SimpleNamespace(backbone_config=SimpleNamespace(image_size=[256, 192]))
    device = "cpu"

    def __call__(self, pixels):
        mean, deviation = (
            torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
        )
        levels = (pixels[0] * deviation + mean) * 255
        distance = ((levels[None] - torch.from_numpy(COLOURS)[:, :, None, None]) ** 2).sum(1)
        likeness = torch.nn.functional.avg_pool2d(torch.exp(-distance / 50)[None], 4)
        smooth = torch.nn.functional.avg_pool2d(likeness, 3, 1, 1)
        return SimpleNamespace(heatmaps=smooth / smooth.amax(dim=(2, 3), keepdim=True).clamp(min=0.05))


def poses(layout="coco-17", num_frames=2, unsure=()):
    points = [(*(p / (WIDTH, HEIGHT)), 0.1 if j in unsure else 1.0) for j, p in enumerate(PLACES)]
    if layout == "openpose-18":
        points = [(0.5, 0.2, 0.0) if j is None else points[j] for j in COCO_OF_OPENPOSE]
    return PoseSequence(layout=layout, frames=((tuple(points),),) * num_frames)


@pytest.mark.parametrize("layout", ["coco-17", "openpose-18"])
def test_a_person_out_of_place_has_that_distance_over_their_height(layout):
    metric = METRICS["pose-error"](driving=poses(layout))
    height = np.ptp(PLACES[:, 1])
    there = metric.score(Clip(np.stack([drawn()] * 2), 8), modules=ColourFinder()).value
    moved = metric.score(Clip(np.stack([drawn((18, 24))] * 2), 8), modules=ColourFinder()).value
    assert there * height < 3, "within a cell of the heat map"
    assert moved * height == pytest.approx(30, abs=3)


def test_joints_that_either_side_is_unsure_of_do_not_count():
    frame = drawn((18, 24))
    frame[:100] = drawn()[:100]  # the first row of joints stays where it should be
    clip = Clip(frame[None], 8)
    all_joints = METRICS["pose-error"](driving=poses(num_frames=1)).score(clip, modules=ColourFinder()).value
    rest = poses(num_frames=1, unsure=range(5))
    assert METRICS["pose-error"](driving=rest).score(clip, modules=ColourFinder()).value > all_joints
    empty = Clip(np.zeros((1, HEIGHT, WIDTH, 3), np.uint8), 8)
    nothing = METRICS["pose-error"](driving=poses(num_frames=1)).score(empty, modules=ColourFinder())
    assert nothing.value is None
    assert "no joint" in nothing.not_measured


def test_peaks_lean_towards_the_higher_neighbour():
    heatmap = np.zeros((1, 5, 6))
    heatmap[0, 2, 3], heatmap[0, 2, 4], heatmap[0, 1, 3] = 1, 0.5, 0.25
    places, scores = heatmap_peaks(heatmap)
    assert places.tolist() == [[3.25, 1.75]]
    assert scores.tolist() == [1]


def test_runs_the_network_of_transformers_and_says_what_is_missing(tmp_path):
    backbone = VitPoseBackboneConfig(
        image_size=[64, 48], hidden_size=32, num_hidden_layers=1, num_attention_heads=2, mlp_ratio=2
    )
    config = VitPoseConfig(backbone_config=backbone, num_labels=17, use_simple_decoder=True)
    VitPoseForPoseEstimation(config).save_pretrained(tmp_path / "tiny")
    clip = Clip(np.stack([drawn()] * 2), 8)
    poses().write(tmp_path / "dance.json")
    knobs = {"weights": str(tmp_path / "tiny"), "poses": tmp_path / "dance.json", "min_score": 0}
    score = METRICS["pose-error"](**knobs).score(clip)
    assert score.value is not None and 0 <= score.value < 3
    scores = measure(
        clip, [METRICS["pose-error"](driving=poses()), METRICS["pose-error"](weights=knobs["weights"])]
    )
    assert "hf download usyd-community/vitpose-base-simple" in scores[0].not_measured
    assert "no driving poses" in scores[1].not_measured
    with pytest.raises(RequestError, match="3 frames and the clip 2"):
        METRICS["pose-error"](driving=poses(num_frames=3)).score(clip, modules=ColourFinder())
    wrong = VitPoseConfig(backbone_config=backbone, num_labels=5, use_simple_decoder=True)
    VitPoseForPoseEstimation(wrong).save_pretrained(tmp_path / "five")
    with pytest.raises(WeightsMissing, match="5 joints"):
        METRICS["pose-error"](weights=str(tmp_path / "five")).load(Placement())
