"""Whether a face stays the same person's."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from vitascope.clip import Clip, Pixels
from vitascope.engine.placement import Placement
from vitascope.errors import DependencyMissing, InvalidMedia
from vitascope.media import read_image
from vitascope.metrics._analysis import AnalysedClip
from vitascope.metrics._natural_scenes import packaged_file
from vitascope.metrics.base import Direction, Metric, Score, Tier

_INSTALL = "face-recognition-models==0.3.0"
Descriptor = NDArray[np.float64]


class FaceModules(NamedTuple):
    """dlib's detector, five landmarks, and the network that describes a face."""

    detector: Any
    landmarks: Any
    network: Any

    def describe(self, frame: Pixels) -> Descriptor | None:
        """The largest face of a picture; None if it shows none. Shape: (H, W, 3) uint8 RGB to (128,)."""
        frame = np.ascontiguousarray(frame)
        faces = self.detector(frame, 0 if min(frame.shape[:2]) >= 400 else 1)
        if not faces:
            return None
        largest = max(faces, key=lambda box: box.area())
        return np.array(self.network.compute_face_descriptor(frame, self.landmarks(frame, largest)))


class IdentityDistanceDlib(Metric):
    """How far the face moves away from the person's: under 0.6 dlib takes two faces for the same person.

    The person is the one of `portrait`, a picture, or else of the first looked-at frame that shows a face.
    Frames without a face do not count; if fewer than two of them (one, with a portrait) show one, there is
    nothing to measure.
    Published figures use ArcFace, whose weights are not for commercial use; they are on another scale.
    """

    unit: ClassVar[str] = "distance"
    range: ClassVar[tuple[float | None, float | None]] = (0.0, None)
    direction: ClassVar[Direction] = "lower"
    tier: ClassVar[Tier] = "needs weights"
    source: ClassVar[str] = (
        "dlib (King, JMLR 2009): HOG face detector, 5 landmarks, dlib_face_recognition_resnet_model_v1 "
        "(CC0), Euclidean distance of its 128 numbers"
    )

    portrait: Path | None = None
    num_frames: int = Field(8, ge=1)
    over_time: Literal["mean", "worst"] = "mean"

    def load(self, placement: Placement) -> FaceModules:  # noqa: ARG002
        """The three models. Raises: DependencyMissing, WeightsMissing."""
        names = ("shape_predictor_5_face_landmarks.dat", "dlib_face_recognition_resnet_model_v1.dat")
        try:
            import _dlib_pybind11 as dlib  # what `import dlib` re-exports, without its own look for CUDA
        except ImportError as error:
            raise DependencyMissing("dlib", "faces", "describing faces") from error
        landmarks, network = (
            packaged_file("face-recognition-models", f"models/{name}", None, _INSTALL) for name in names
        )
        return FaceModules(
            dlib.get_frontal_face_detector(),
            dlib.shape_predictor(str(landmarks)),
            dlib.face_recognition_model_v1(str(network)),
        )

    def modules_key(self) -> Any:
        """One key for every record: they all share the three models."""
        return "dlib"

    def score(self, clip: Clip, reference: Clip | None = None, modules: Any = None) -> Score:  # noqa: ARG002
        """Measure `clip`; a reference is not looked at.

        Raises: NotFound, InvalidMedia for a portrait without a face, DependencyMissing, WeightsMissing.
        """
        models: FaceModules = self.load(Placement()) if modules is None else modules
        frames = AnalysedClip.of(clip).samples(self.num_frames)
        found = [face for frame in frames if (face := models.describe(frame)) is not None]
        person = found.pop(0) if self.portrait is None and found else None
        if self.portrait is not None:
            person = models.describe(read_image(self.portrait).pixels)
            if person is None:
                raise InvalidMedia(f"the portrait {str(self.portrait)!r} shows no face that dlib can find")
        if person is None or not found:
            seen = len(found) + (person is not None and self.portrait is None)
            return self.unmeasured(f"{seen} of {len(frames)} frames show a face that dlib can find")
        distances = np.linalg.norm(np.stack(found) - person, axis=1)
        return self.scored(distances.mean() if self.over_time == "mean" else distances.max())
