"""Pose files: written, read, and refused in one line where something is wrong with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vitascope.errors import InvalidMedia, NotFound, RequestError
from vitascope.poses import PoseSequence

PERSON = [[0.5, 0.5, 0.9]] * 18


def test_a_file_gives_back_what_was_written(tmp_path: Path) -> None:
    poses = PoseSequence(frames=((PERSON,), ()), fps=30, width=640, height=480)
    file = poses.write(tmp_path / "poses.json")
    read = PoseSequence.read(file)
    assert read.model_dump() == poses.model_dump()
    assert (read.path, poses.path) == (file, None)
    assert poses.shows_somebody()


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"frames": []}, "at least one frame"),
        ({"frames": [[PERSON[:17]]]}, "17 joints; openpose-18 has 18"),
        ({"layout": "body-25"}, "unknown keypoint layout 'body-25'"),
        ({"frames": [[[[float("nan"), 0.5, 0.9]] * 18]]}, "finite number"),
        ({"frames": [[[[float("inf"), 0.5, 0.9]] * 18]]}, "frames.0.0.0.0='inf'"),
        ({"frames": [[[[1e9, 0.5, 0.9]] * 18]]}, "less than or equal to 1000"),
        ({"frames": [[[[0.5, 0.5]] * 18]]}, "frames.0.0.0.2"),
        ({"fps": 0}, "fps='0': Input should be greater than 0"),
        ({"width": -1}, "width='-1'"),
        ({"people": 1}, "people='1'"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)
def test_refuses_in_one_line(fields: dict[str, Any], complaint: str, tmp_path: Path) -> None:
    file = tmp_path / "poses.json"
    file.write_text(json.dumps({"frames": [[PERSON]], **fields}))
    with pytest.raises(InvalidMedia) as caught:
        PoseSequence.read(file)
    message = str(caught.value)
    assert complaint in message
    assert "\n" not in message
    assert len(message) < 400


@pytest.mark.parametrize("content", [b"", b"not JSON", b"[1, 2]", b"\xff\xd8\xff"])
def test_other_files_are_refused(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "poses.json"
    file.write_bytes(content)
    with pytest.raises(RequestError, match="is not a pose file") as caught:
        PoseSequence.read(file)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no pose file"):
        PoseSequence.read(tmp_path / "dance.json")
