"""Pictures that the flow tests move about."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


def texture(height: int, width: int, seed: int = 0) -> Pixels:
    """Coloured blobs of several sizes, so that motion can be seen at every scale."""
    rng = np.random.default_rng(seed)
    picture = np.zeros((height, width, 3), np.float32)
    for cells in (4, 8, 16, 32):
        noise = rng.random((cells, cells, 3), np.float32)
        picture += cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC) / cells**0.5
    picture -= picture.min()
    return np.rint(picture / picture.max() * 255).astype(np.uint8)


def panning(num_frames: int, step: int, height: int = 64, width: int = 96, seed: int = 0) -> list[Pixels]:
    """A camera that moves right by `step` pixels a frame."""
    whole = texture(height, width + step * num_frames, seed)
    return [whole[:, i * step : i * step + width].copy() for i in range(num_frames)]


def psnr(first: Pixels, second: Pixels) -> float:
    """Peak signal-to-noise ratio. Units: dB."""
    error = np.mean((first.astype(np.float64) - second) ** 2)
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))
