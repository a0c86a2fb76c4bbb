"""Control maps: what ControlNets and condition encoders follow, drawn from frames without any weights."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np

from vitascope.clip import Pixels
from vitascope.errors import UnknownName

ControlMap = Literal["given", "canny", "soft-edge", "grey", "tile"]
CANNY_LOW, CANNY_HIGH = 100, 200  # of the ControlNet authors' own demonstration


def control_map(frame: Pixels, kind: ControlMap) -> Pixels:
    """One frame as a map. Shape: (H, W, 3) uint8, in and out.

    "given": it is one already. "canny": thin white edges on black, for canny ControlNets. "soft-edge": how
    steep the brightness is, for soft-edge (HED, PiDi) ones, which were trained on a network's softer lines.
    "grey": brightness alone, for recolouring. "tile": the frame coarsened eight times, for tile ControlNets.
    Poses and depth need weights: make such a clip elsewhere and hand it in as "given".
    Source: Canny 1986 as in OpenCV, thresholds of lllyasviel/ControlNet, gradio_canny2image.py; Scharr filter.
    """
    if kind == "given":
        return frame
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    if kind == "canny":
        return _three(cv2.Canny(grey, CANNY_LOW, CANNY_HIGH))
    if kind == "soft-edge":
        smooth = cv2.GaussianBlur(grey, (0, 0), max(1.0, min(frame.shape[:2]) / 512))
        steep = cv2.magnitude(cv2.Scharr(smooth, cv2.CV_32F, 1, 0), cv2.Scharr(smooth, cv2.CV_32F, 0, 1))
        strongest = max(float(np.percentile(steep, 99.5)), 1.0)
        return _three((255 * np.clip(steep / strongest, 0, 1)).round().astype(np.uint8))
    if kind == "grey":
        return _three(grey)
    if kind == "tile":
        height, width = frame.shape[:2]
        small = cv2.resize(frame, (max(1, width // 8), max(1, height // 8)), interpolation=cv2.INTER_AREA)
        return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)
    raise UnknownName("control map", kind, ("given", "canny", "soft-edge", "grey", "tile"), param="control")


def _three(channel: np.ndarray) -> Pixels:
    return np.repeat(channel[..., None], 3, axis=2)
