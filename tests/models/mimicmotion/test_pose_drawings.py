"""From pose files of any layout to what the pose network sees."""

from __future__ import annotations

import numpy as np
import pytest

from vitascope.models.mimicmotion import FramePose, align, draw_pose, frame_poses
from vitascope.models.mimicmotion.picture import covered, covered_pose
from vitascope.poses import PoseSequence

# OpenPose's joints by their number among COCO's; the neck (1) is between the shoulders.
COCO = {0: 0, 2: 6, 3: 8, 4: 10, 5: 5, 6: 7, 7: 9, 8: 12, 9: 14, 10: 16, 11: 11, 12: 13, 13: 15}
COCO |= {14: 2, 15: 1, 16: 4, 17: 3}  # right eye, left eye, right ear, left ear


def person(joints: int, score: float = 0.9) -> tuple[tuple[float, float, float], ...]:
    """Joints on a line, each at its own place."""
    return tuple((0.1 + 0.8 * joint / joints, 0.2 + 0.6 * joint / joints, score) for joint in range(joints))


def posed(layout: str, *people: tuple[tuple[float, float, float], ...]) -> FramePose:
    (pose,) = frame_poses(PoseSequence(layout=layout, frames=(people,)))
    return pose


@pytest.mark.parametrize(("layout", "joints"), [("coco-17", 17), ("coco-wholebody-133", 133)])
def test_joints_of_coco_come_in_openpose_s_order(layout: str, joints: int) -> None:
    given = np.array(person(joints))
    pose = posed(layout, person(joints))
    for ours, theirs in COCO.items():
        assert np.allclose(pose.candidates[ours], given[theirs, :2])
    assert np.allclose(pose.candidates[1], given[[5, 6], :2].mean(axis=0))
    assert pose.scores[0, 1] == 1
    assert pose.subset.tolist() == [list(range(18))]
    if joints == 133:
        assert np.allclose(pose.faces[0], given[23:91, :2])
        assert np.allclose(pose.hands, [given[91:112, :2], given[112:133, :2]])


def test_all_left_hands_come_before_all_right_ones() -> None:
    first, second = person(133), tuple((x + 0.01, y, score) for x, y, score in person(133))
    pose = posed("coco-wholebody-133", first, second)
    left, right = np.array(first)[91:112, :2], np.array(first)[112:133, :2]
    assert np.allclose(pose.hands[[0, 2]], [left, right])
    assert np.allclose(pose.hands[[1, 3]] - [0.01, 0], [left, right])
    assert pose.subset[1].tolist() == list(range(18, 36))


def test_joints_that_are_not_sure_are_not_drawn_and_less_sure_ones_are_darker() -> None:
    sure, less, not_sure = (
        int(draw_pose(posed("openpose-18", person(18, score)), 64, 64).astype(int).sum())
        for score in (1.0, 0.5, 0.2)
    )
    assert sure > less > 0 == not_sure


def test_nobody_is_black() -> None:
    drawn = draw_pose(posed("coco-17"), 96, 64)
    assert drawn.shape == (3, 96, 64) and not drawn.any()


@pytest.mark.parametrize("size", [(64, 64), (48, 128), (128, 48)])
def test_a_pose_stays_on_the_picture_that_is_cut(size: tuple[int, int]) -> None:
    """A bright spot and a joint on it are still at one place after both are brought to the clip's size."""
    picture = np.zeros((200, 120, 3), np.uint8)
    picture[94:107, 54:67] = 255
    joint = posed("openpose-18", ((60.5 / 120, 100.5 / 200, 0.9),) * 18)
    width, height = size
    cut = covered(picture, width, height)
    assert cut.shape == (height, width, 3)
    rows, columns = np.nonzero(cut[..., 0] > 127)
    x, y = covered_pose(joint, 120, 200, width, height).candidates[0] * size
    assert abs(columns.mean() + 0.5 - x) < 1
    assert abs(rows.mean() + 0.5 - y) < 1


def test_a_walk_in_a_wide_recording_keeps_its_proportions_in_an_upright_picture() -> None:
    """The same pixels in both: a body half as high is half as wide."""
    reference = posed("openpose-18", person(18))
    wide = reference.moved(np.array([0.5 * 100 / 400, 0.5 * 200 / 100]), np.array([0.4, 0.0]))
    alignment = align(reference, [wide], (100, 400), (200, 100))
    assert alignment is not None
    assert np.allclose(alignment.of(wide).candidates, reference.candidates)


@pytest.mark.parametrize("kind", ["nobody in the picture", "unsure", "crowd", "level"])
def test_what_cannot_be_compared_is_not_moved(kind: str) -> None:
    reference, driving = posed("openpose-18", person(18)), posed("openpose-18", person(18))
    if kind == "nobody in the picture":
        reference = posed("openpose-18")
    elif kind == "unsure":
        reference = posed("openpose-18", person(18, 0.1))
    elif kind == "crowd":
        driving = posed("openpose-18", person(18), person(18))
    else:
        driving = posed("openpose-18", ((0.5, 0.5, 0.9),) * 18)
    assert align(reference, [driving], (64, 64), (64, 64)) is None
