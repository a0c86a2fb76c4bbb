"""Made-up clips and pictures whose motion and distortion are known."""

import cv2
import numpy as np

from vitascope.clip import Clip


def texture(height=160, width=240, seed=0):
    rng = np.random.default_rng(seed)
    picture = cv2.GaussianBlur(rng.integers(0, 256, (height, width, 3), dtype=np.uint8), (0, 0), 3)
    return cv2.normalize(picture, None, 0, 255, cv2.NORM_MINMAX)


def panning(num_frames=9, step=2, fps=8, size=(96, 128)):
    """A camera that moves `step` pixels to the right a frame: the picture moves to the left."""
    height, width = size
    picture = texture(height, width + step * num_frames)
    frames = [picture[:, step * index : step * index + width] for index in range(num_frames)]
    return Clip(np.stack(frames), fps)


def still(num_frames=9, fps=8):
    return Clip(np.repeat(texture(96, 128)[None], num_frames, axis=0), fps)


def flickering(clip, depth=0.06):
    gain = 1 + depth * (-1) ** np.arange(clip.num_frames)
    frames = np.clip(clip.frames * gain[:, None, None, None], 0, 255).astype(np.uint8)
    return Clip(frames, clip.fps)


def distorted():
    """The picture of which `test_blind_quality` knows the features that other implementations give."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[:208, :304]
    disc = (np.hypot(x - 150, y - 100) < 70) * 200 + 20
    picture = np.stack([(x // 24 + y // 24) % 2 * 180 + 20, x * 255 // 303, disc], -1)
    return np.clip(picture + rng.normal(0, 15, picture.shape), 0, 255).astype(np.uint8)
