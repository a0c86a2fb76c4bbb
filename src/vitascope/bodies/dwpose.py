"""DWPose: the body, face and hands of everybody in a clip, by two networks in ONNX form.

Source: Yang et al., "Effective Whole-body Pose Estimation with Two-stages Distillation", arXiv 2307.15880;
IDEA-Research/DWPose, Apache-2.0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vitascope.bodies.joints import HEIGHT, NUM_JOINTS, WIDTH, crop_of, joints_in, shown
from vitascope.bodies.people import NUM_CANDIDATES, SIDE, letterboxed, people_in
from vitascope.clip import Clip, Pixels
from vitascope.context import Context
from vitascope.errors import DependencyMissing, InvalidMedia, WeightsMissing
from vitascope.poses import Keypoint, PoseSequence

HUB = "yzd-v/DWPose"
FILES = ("yolox_l.onnx", "dw-ll_ucoco_384.onnx")
_DIGITS = 6  # a hundredth of a pixel at any size, and a third of the file


@dataclass(frozen=True)
class DWPose:
    """The two networks, loaded: one finds people, the other their joints."""

    people: Any
    joints: Any

    def find(self, picture: Pixels) -> tuple[tuple[Keypoint, ...], ...]:
        """Everybody in a picture; where nobody is found the whole picture is looked at as one.

        Shape: H W 3 to P 133 3. Units: fractions of width and height.
        """
        height, width = picture.shape[:2]
        pixels, scale = letterboxed(picture)
        boxes = people_in(_answer(self.people, pixels)[0][0], scale)
        if not len(boxes):
            boxes = np.array([[0, 0, width, height]], np.float32)
        return tuple(self._person(picture, box) for box in boxes)

    def _person(self, picture: Pixels, box: Any) -> tuple[Keypoint, ...]:
        height, width = picture.shape[:2]
        centre, size = crop_of(box)
        simcc_x, simcc_y = _answer(self.joints, shown(picture, centre, size))
        joints = joints_in(simcc_x[0], simcc_y[0], centre, size) / (width, height, 1)
        return tuple((x, y, score) for x, y, score in joints.round(_DIGITS).tolist())


def _answer(network: Any, pixels: Any) -> list[Any]:
    answers: list[Any] = network.run(None, {network.get_inputs()[0].name: pixels})
    return answers


def load_dwpose(folder: Path) -> DWPose:
    """The networks of a folder, on a GPU where onnxruntime has one.

    Raises: DependencyMissing, WeightsMissing naming the file, InvalidMedia for files of other networks.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise DependencyMissing("onnxruntime", "pose", "finding poses") from error
    missing = next((name for name in FILES if not (folder / name).is_file()), None)
    if missing is not None:
        raise WeightsMissing(f"{str(folder)!r} holds no {missing}; DWPose needs {' and '.join(FILES)}")
    wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
    providers = [name for name in wanted if name in onnxruntime.get_available_providers()]
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    people, joints = (_session(folder / name, options, providers) for name in FILES)
    _check(people, folder / FILES[0], (1, 3, SIDE, SIDE), [(1, NUM_CANDIDATES, 85)])
    simcc = [(1, NUM_JOINTS, 2 * side) for side in (WIDTH, HEIGHT)]
    _check(joints, folder / FILES[1], (1, 3, HEIGHT, WIDTH), simcc)
    return DWPose(people, joints)


def _session(file: Path, options: Any, providers: list[str]) -> Any:
    import onnxruntime

    try:
        return onnxruntime.InferenceSession(str(file), options, providers=providers)
    except Exception as error:
        reason = str(error).strip().splitlines()[0]
        raise InvalidMedia(f"{str(file)!r} cannot be read as ONNX: {reason}") from error


def _check(network: Any, file: Path, shown: tuple[int, ...], answered: Sequence[tuple[int, ...]]) -> None:
    """Sides that a network leaves open are names; those that it fixes must be DWPose's. Raises: InvalidMedia."""
    wanted = [shown, *answered]
    inputs, outputs = network.get_inputs(), network.get_outputs()
    found = [tuple(part.shape) for part in (*inputs[:1], *outputs)]
    fits = len(found) == len(wanted) and all(
        len(have) == len(want)
        and all(not isinstance(a, int) or a == b for a, b in zip(have, want, strict=True))
        for have, want in zip(found, wanted, strict=True)
    )
    if not fits:
        raise InvalidMedia(f"{str(file)!r} is no network of DWPose: its sides are {found}, not {wanted}")


def find_poses(clip: Clip, detector: DWPose, context: Context | None = None) -> PoseSequence:
    """The poses of everybody in every frame, in COCO-WholeBody's layout. Raises: JobCancelled."""
    context = context or Context()
    frames = []
    for start, window in clip.windows(16):
        for offset, picture in enumerate(window):
            context.check_cancelled()
            frames.append(detector.find(picture))
            context.progress("poses", start + offset + 1, clip.num_frames)
    return PoseSequence(
        layout="coco-wholebody-133",
        fps=float(clip.fps),
        width=clip.width,
        height=clip.height,
        frames=tuple(frames),
    )
