"""DWPose on two small ONNX networks that really look: one has fixed boxes, one finds the brightest spot."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from vitascope.bodies.dwpose import FILES, find_poses, load_dwpose
from vitascope.bodies.people import NUM_CANDIDATES, letterboxed, people_in
from vitascope.clip import Clip, Image, Pixels
from vitascope.errors import DependencyMissing, InvalidMedia, WeightsMissing

WIDTH, HEIGHT, SPOT = 200, 120, (150, 60)
SCALE = 640 / WIDTH


def row(
    box: tuple[float, float, float, float], score: float, kind: int = 0, cell: int = 0
) -> tuple[int, np.ndarray]:
    """What YOLOX answers in a cell of stride 8 for a box (left, top, right, bottom) of its 640 x 640 input."""
    left, top, right, bottom = box
    answer = np.zeros(85, np.float32)
    answer[:2] = (left + right) / 16 - cell % 80, (top + bottom) / 16 - cell // 80
    answer[2:4] = np.log((right - left) / 8), np.log((bottom - top) / 8)
    answer[4], answer[5 + kind] = 1.0, score
    return cell, answer


def answered(*rows: tuple[int, np.ndarray]) -> np.ndarray:
    output = np.zeros((NUM_CANDIDATES, 85), np.float32)
    for cell, answer in rows:
        output[cell] = answer
    return output


def in_input(left: float, top: float, right: float, bottom: float) -> tuple[float, float, float, float]:
    """A box of the picture as YOLOX sees it."""
    return left * SCALE, top * SCALE, right * SCALE, bottom * SCALE


def saved(graph: onnx.GraphProto, file: Path) -> None:
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), file)


def values(name: str, array: np.ndarray) -> onnx.TensorProto:
    return numpy_helper.from_array(array, name)


def write_people(file: Path, output: np.ndarray, num_candidates: int = NUM_CANDIDATES) -> None:
    """A network that answers the same for every picture, which it reads all the same."""
    nodes = [
        helper.make_node("ReduceMin", ["images"], ["least"], keepdims=0),
        helper.make_node("Mul", ["least", "nothing"], ["zero"]),
        helper.make_node("Add", ["boxes", "zero"], ["output"]),
    ]
    shown = helper.make_tensor_value_info("images", TensorProto.FLOAT, (1, 3, 640, 640))
    told = helper.make_tensor_value_info("output", TensorProto.FLOAT, (1, num_candidates, 85))
    constants = [values("boxes", output[None]), values("nothing", np.float32(0))]
    saved(helper.make_graph(nodes, "people", [shown], [told], constants), file)


def write_joints(file: Path) -> None:
    """A network that puts every joint where the picture is brightest."""
    nodes, constants = [], []
    for name, away, side in (("simcc_x", 2, 288), ("simcc_y", 3, 384)):
        constants += [
            values(f"{name}_wide", np.array([1, side, 2])),
            values(f"{name}_flat", np.array([1, 1, 2 * side])),
            values(f"{name}_all", np.array([1, 133, 2 * side])),
            values(f"{name}_last", np.array([2])),
        ]
        nodes += [
            helper.make_node("ReduceMax", ["input"], [f"{name}_line"], axes=[1, away], keepdims=0),
            helper.make_node("Unsqueeze", [f"{name}_line", f"{name}_last"], [f"{name}_thin"]),
            helper.make_node("Expand", [f"{name}_thin", f"{name}_wide"], [f"{name}_twice"]),
            helper.make_node("Reshape", [f"{name}_twice", f"{name}_flat"], [f"{name}_one"]),
            helper.make_node("Expand", [f"{name}_one", f"{name}_all"], [name]),
        ]
    shown = helper.make_tensor_value_info("input", TensorProto.FLOAT, (1, 3, 384, 288))
    told = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, 133, 2 * side))
        for name, side in (("simcc_x", 288), ("simcc_y", 384))
    ]
    saved(helper.make_graph(nodes, "joints", [shown], told, constants), file)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_people(tmp_path / FILES[0], answered(row(in_input(110, 20, 190, 110), 0.9)))
    write_joints(tmp_path / FILES[1])
    return tmp_path


def spotted(x: int = SPOT[0], y: int = SPOT[1]) -> Pixels:
    picture = np.full((HEIGHT, WIDTH, 3), 30, np.uint8)
    picture[y - 1 : y + 2, x - 1 : x + 2] = 255
    return picture


def test_a_person_is_found_where_it_is(folder: Path) -> None:
    clip = Clip(np.stack([spotted(), spotted(140, 80)]), 30)
    poses = find_poses(clip, load_dwpose(folder))
    assert (poses.layout, poses.fps, poses.width, poses.height) == ("coco-wholebody-133", 30, WIDTH, HEIGHT)
    for (person,), (x, y) in zip(poses.frames, (SPOT, (140, 80)), strict=True):
        found = np.array(person)
        assert found.shape == (133, 3)
        assert np.abs(found[:, 0] * WIDTH - x).max() < 1.5
        assert np.abs(found[:, 1] * HEIGHT - y).max() < 1.5
        assert (found[:, 2] > 0.3).all()


def test_where_nobody_is_found_the_whole_picture_is_looked_at(folder: Path) -> None:
    write_people(folder / FILES[0], answered(row(in_input(110, 20, 190, 110), 0.2)))
    (person,) = load_dwpose(folder).find(spotted(20, 100))
    assert np.abs(np.array(person)[:, :2] * (WIDTH, HEIGHT) - (20, 100)).max() < 2


def test_boxes_that_lie_on_each_other_are_one_person_and_other_things_none() -> None:
    output = answered(
        row((100, 100, 300, 400), 0.8, cell=0),
        row((105, 102, 304, 399), 0.9, cell=81),
        row((400, 100, 500, 300), 0.6, cell=700),
        row((400, 100, 500, 300), 0.95, kind=16, cell=900),
        row((10, 10, 60, 60), 0.25, cell=1500),
    )
    boxes = people_in(output, 2.0)
    assert np.allclose(boxes, [[52.5, 51, 152, 199.5], [200, 50, 250, 150]], atol=1e-3)


def test_a_picture_lies_top_left_on_grey() -> None:
    pixels, scale = letterboxed(np.full((100, 200, 3), 7, np.uint8))
    assert (pixels.shape, pixels.dtype, scale) == ((1, 3, 640, 640), np.float32, 3.2)
    assert (pixels[0, :, :320] == 7).all() and (pixels[0, :, 320:] == 114).all()


def test_what_is_missing_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / FILES[1]).rename(folder / "other.onnx")
    with pytest.raises(WeightsMissing, match=r"holds no dw-ll_ucoco_384\.onnx"):
        load_dwpose(folder)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(DependencyMissing, match=r"vitascope\[pose\]"):
        load_dwpose(folder)


def test_files_of_other_networks_are_refused_in_one_line(folder: Path) -> None:
    (folder / FILES[1]).write_bytes(b"no network")
    with pytest.raises(InvalidMedia, match="cannot be read as ONNX") as caught:
        load_dwpose(folder)
    assert "\n" not in str(caught.value)
    write_joints(folder / FILES[1])
    write_people(folder / FILES[0], np.zeros((100, 85), np.float32), num_candidates=100)
    with pytest.raises(InvalidMedia, match="is no network of DWPose"):
        load_dwpose(folder)


def test_the_command_writes_a_file_for_generate(folder: Path) -> None:
    from typer.testing import CliRunner

    from vitascope.cli.main import app
    from vitascope.media import write, write_image
    from vitascope.poses import PoseSequence

    write(Clip(np.repeat(spotted()[None], 3, axis=0), 10), folder / "dance.mp4")
    write_image(Image(spotted()), folder / "who.png")
    for source, num_frames in (("dance.mp4", 3), ("who.png", 1)):
        words = ["poses", folder / source, "-o", folder / "poses.json", "--weights", folder, "-q"]
        done = CliRunner().invoke(app, [str(word) for word in words])
        assert done.exit_code == 0, done.exception
        assert f"{num_frames} frames, 1 to 1 people" in done.output
        assert PoseSequence.read(folder / "poses.json").num_frames == num_frames
