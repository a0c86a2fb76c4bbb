"""Pose sequences as data: where the joints of each person are in each frame."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, model_validator

from vitascope.errors import InvalidMedia, NotFound, invalid_value

# Joints a person has in each layout.
# Source: OpenPose "BODY_18" output format; COCO-WholeBody (Jin et al., ECCV 2020), 133 keypoints.
KEYPOINT_LAYOUTS = {"coco-17": 17, "openpose-18": 18, "coco-wholebody-133": 133}

Finite = Annotated[float, Field(allow_inf_nan=False, ge=-1000, le=1000)]
Keypoint = tuple[Finite, Finite, Finite]  # x, y in 0..1 of width and height, and a score in 0..1
SURE = 0.3  # the score that a joint must be above to count as seen, as in DWPose


class PoseSequence(BaseModel):
    """The keypoints of every person in every frame.

    `width` and `height` of the pictures that they were found in keep bodies in proportion where the poses drive a clip
    of another shape.

    Shape: frames[t][person][joint] = (x, y, score). Range: x, y as fractions of width and height
    (outside 0..1 is off screen), score 0..1. Units: width and height in pixels.
    Raises: InvalidMedia for a wrong number of joints.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    layout: str = "openpose-18"
    fps: float = Field(8.0, gt=0, le=1000)
    width: int | None = Field(None, ge=1, le=16384)
    height: int | None = Field(None, ge=1, le=16384)
    frames: tuple[tuple[tuple[Keypoint, ...], ...], ...]

    _path: Path | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _joints_fit_the_layout(self) -> PoseSequence:
        if self.layout not in KEYPOINT_LAYOUTS:
            raise InvalidMedia(
                f"unknown keypoint layout {self.layout!r}; known: {', '.join(sorted(KEYPOINT_LAYOUTS))}"
            )
        if not self.frames:
            raise InvalidMedia("a pose sequence needs at least one frame")
        joints = KEYPOINT_LAYOUTS[self.layout]
        for index, frame in enumerate(self.frames):
            for person in frame:
                if len(person) != joints:
                    raise InvalidMedia(
                        f"frame {index} has a person with {len(person)} joints; {self.layout} has {joints}"
                    )
        return self

    @property
    def path(self) -> Path | None:
        """The file that it was read from; None for poses from elsewhere."""
        return self._path

    @property
    def num_frames(self) -> int:
        return len(self.frames)

    @property
    def rate(self) -> Fraction:
        return Fraction(self.fps).limit_denominator(1001)

    def shows_somebody(self) -> bool:
        """Whether any joint of any person was seen."""
        return any(joint[2] > SURE for frame in self.frames for person in frame for joint in person)

    @classmethod
    def read(cls, path: str | Path) -> PoseSequence:
        """Read a pose file (JSON, this class's own fields). Raises: NotFound, InvalidMedia."""
        path = Path(path)
        if not path.is_file():
            raise NotFound(f"no pose file at {str(path)!r}")
        try:
            poses = cls.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise InvalidMedia(
                f"{str(path)!r} is not a pose file: {invalid_value(error, 'poses')}"
            ) from error
        poses._path = path
        return poses

    def write(self, path: str | Path) -> Path:
        """Write the sequence as JSON."""
        from vitascope.atomic import write_bytes

        return write_bytes(path, self.model_dump_json().encode())
