"""How well people keep to the poses that drove them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from vitascope.clip import Clip, Pixels
from vitascope.engine.placement import Placement
from vitascope.errors import RequestError, WeightsMissing
from vitascope.metrics.base import Direction, Metric, Score, Tier
from vitascope.poses import PoseSequence

# COCO's 17 joints in the order of each layout's own; OpenPose's has the neck as its second.
_COCO_IN = {
    "coco-17": tuple(range(17)),
    "openpose-18": (0, 15, 14, 17, 16, 5, 2, 6, 3, 7, 4, 11, 8, 12, 9, 13, 10),
    "coco-wholebody-133": tuple(range(17)),
}
_PADDING = 1.25
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
Joints = NDArray[np.float64]


class PoseError(Metric):
    """Mean distance of the joints from where the driving pose has them, as a share of the person's height.

    The height is that of the driving joints' box. Each person is looked for where the driving pose is; joints that
    either side is unsure of (score under `min_score`) do not count.
    """

    unit: ClassVar[str] = "share of the person"
    range: ClassVar[tuple[float | None, float | None]] = (0.0, None)
    direction: ClassVar[Direction] = "lower"
    tier: ClassVar[Tier] = "needs weights"
    source: ClassVar[str] = (
        "keypoint distance to the driving pose; ViTPose (Xu et al., NeurIPS 2022, Apache-2.0) in transformers, "
        "box padded by 1.25, heat map's peak moved a quarter cell towards the higher neighbour; published "
        "figures use DWPose"
    )

    driving: PoseSequence | None = None
    poses: Path | None = None  # the same as a file, where a record cannot be given
    weights: str = "usyd-community/vitpose-base-simple"
    min_score: float = Field(0.3, ge=0, le=1)

    def load(self, placement: Placement) -> Any:
        """The pose network. Raises: WeightsMissing."""
        from transformers import VitPoseForPoseEstimation

        from vitascope.metrics._embedding import missing_weights

        with missing_weights(self.weights):
            network = VitPoseForPoseEstimation.from_pretrained(self.weights, local_files_only=True)
        joints = network.config.num_labels
        if joints != 17:
            raise WeightsMissing(f"{self.weights!r} finds {joints} joints, not COCO's 17")
        return network.eval().to(placement.resolve().device)

    def modules_key(self) -> Any:
        """The network alone."""
        return self.weights

    def score(self, clip: Clip, reference: Clip | None = None, modules: Any = None) -> Score:  # noqa: ARG002
        """Raises: RequestError if clip and poses differ in length, NotFound, InvalidMedia, WeightsMissing."""
        driving = PoseSequence.read(self.poses) if self.driving is None and self.poses else self.driving
        if driving is None:
            return self.unmeasured("no driving poses were given")
        if driving.num_frames != clip.num_frames:
            raise RequestError(
                f"the driving poses have {driving.num_frames} frames and the clip {clip.num_frames}",
                param="driving",
            )
        network = self.load(Placement()) if modules is None else modules
        errors = []
        for start, frames in clip.windows(16):
            for offset, frame in enumerate(frames):
                for wanted in wanted_joints(driving, start + offset, clip.width, clip.height):
                    errors += self._errors(frame, wanted, network)
        if not errors:
            return self.unmeasured("no joint of the driving poses could be found in the clip")
        return self.scored(float(np.mean(errors)))

    def _errors(self, frame: Pixels, wanted: Joints, network: Any) -> list[float]:
        sure = wanted[:, 2] >= self.min_score
        if sure.sum() < 2:
            return []
        low, high = wanted[sure, :2].min(axis=0), wanted[sure, :2].max(axis=0)
        found = find_joints(frame, low, high, network)
        both = sure & (found[:, 2] >= self.min_score)
        distances = np.linalg.norm(found[both, :2] - wanted[both, :2], axis=1)
        return list(distances / max(high[1] - low[1], 1.0))


def wanted_joints(poses: PoseSequence, index: int, width: int, height: int) -> list[Joints]:
    """Each person's COCO joints in pixels, with their scores. Shape: (17, 3)."""
    order = list(_COCO_IN[poses.layout])
    people = [np.array(person, np.float64)[order] for person in poses.frames[index]]
    return [joints * (width, height, 1.0) for joints in people]


def find_joints(frame: Pixels, low: Joints, high: Joints, network: Any) -> Joints:
    """COCO joints of the person in a box, and how sure the network is. Shape: (2,) twice to (17, 3). Units: pixels."""
    import torch

    height, width = network.config.backbone_config.image_size
    centre, size = (low + high) / 2, np.maximum(high - low, 1.0)
    scale = _PADDING * max(size[0] / width, size[1] / height)  # pixels of the frame a pixel of the crop
    corner = centre - scale * np.array([width, height]) / 2
    to_frame = np.array([[scale, 0, corner[0]], [0, scale, corner[1]]])
    crop = cv2.warpAffine(frame, to_frame, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    pixels = (crop.astype(np.float32) / 255 - np.array(_MEAN, np.float32)) / np.array(_DEVIATION, np.float32)
    tensor = torch.from_numpy(pixels.transpose(2, 0, 1)[None]).to(network.device)
    with torch.inference_mode():
        heatmaps = network(tensor).heatmaps[0].float().cpu().numpy()
    cells, scores = heatmap_peaks(heatmaps)
    stride = np.array([width, height]) / np.array(heatmaps.shape[:0:-1])
    return np.column_stack([cells * stride * scale + corner, scores])


def heatmap_peaks(heatmaps: NDArray[Any]) -> tuple[Joints, Joints]:
    """Where each map is highest, x before y, and how high. Shape: (J, h, w) to (J, 2), (J,)."""
    count, height, width = heatmaps.shape
    flat = heatmaps.reshape(count, -1).argmax(axis=1)
    places, scores = [], []
    for heatmap, (y, x) in zip(heatmaps, zip(*np.divmod(flat, width), strict=True), strict=True):
        place = [float(x), float(y)]
        if 0 < x < width - 1 and 0 < y < height - 1:
            place[0] += 0.25 * np.sign(heatmap[y, x + 1] - heatmap[y, x - 1])
            place[1] += 0.25 * np.sign(heatmap[y + 1, x] - heatmap[y - 1, x])
        places.append(place)
        scores.append(heatmap[y, x])
    return np.array(places, np.float64), np.array(scores, np.float64)
