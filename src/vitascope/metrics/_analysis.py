"""A clip with what its metrics share: one decoding, one scan of its frames, one optical flow a pair."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache, cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from vitascope.clip import Clip, Pixels
from vitascope.flow.likeness import is_cut, is_duplicate
from vitascope.metrics._motion import Motion, measure_motion

#: Flow and tracking see the frames at this shorter side, or as they are where they are smaller.
WORKING_SIDE = 256
_WINDOW = 16
# Red against green, yellow against blue.
_OPPONENT_AXES = np.array([[1, -1, 0], [0.5, 0.5, -1]], np.float32)

Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class FrameStatistics:
    """One value a frame. Shape: (T,) each.

    `sobel_std`, `sharpness` and `brightness` are of the luma 0..255 (BT.601 weights, full range).
    """

    sobel_std: Values
    sharpness: Values
    colourfulness: Values
    brightness: Values
    dark_share: Values
    bright_share: Values
    blockiness: Values


@dataclass(frozen=True, eq=False)
class PairStatistics:
    """One value for each pair of neighbouring frames. Shape: (T - 1,) each.

    `difference` is the mean absolute difference of all channels, `luma_change_std` the standard deviation of
    the luma's change; `repeated` and `cut` are 1 where the second frame repeats the first or starts another
    scene.
    """

    difference: Values
    luma_change_std: Values
    repeated: Values
    cut: Values


class AnalysedClip(Clip):
    """A clip that keeps what was found out about it, so that its metrics decode and track it once.

    It is a `Clip`, and is given to metrics in place of one.
    """

    @classmethod
    def of(cls, clip: Clip) -> AnalysedClip:
        """`clip` itself if it is analysed already, else an analysed view of it."""
        if isinstance(clip, cls):
            return clip
        return cls(**{field.name: getattr(clip, field.name) for field in fields(Clip)})

    @cached_property
    def _scanned(self) -> tuple[FrameStatistics, PairStatistics, Pixels]:
        return _scan(self)

    @property
    def frame_statistics(self) -> FrameStatistics:
        """What each frame shows."""
        return self._scanned[0]

    @property
    def pair_statistics(self) -> PairStatistics:
        """What changes from each frame to the next."""
        return self._scanned[1]

    @property
    def working_frames(self) -> Pixels:
        """All frames, made smaller to a shorter side of 256. Shape: (T, h, w, 3) uint8 RGB."""
        return self._scanned[2]

    @property
    def working_scale(self) -> float:
        """Working pixels a pixel of the clip, at most 1."""
        return self.working_frames.shape[1] / self.height

    @cached_property
    def motion(self) -> Motion:
        """Flow between each frame and the next, forwards and backwards."""
        return measure_motion(self.working_frames)

    @cached_property
    def _samples(self) -> dict[int, list[Pixels]]:
        return {}

    def samples(self, count: int) -> list[Pixels]:
        """At most `count` frames, evenly spaced, first and last among them. Shape: (H, W, 3) each."""
        if count not in self._samples:
            count_here = min(count, self.num_frames)
            places = np.linspace(0, self.num_frames - 1, count_here).round().astype(int)
            self._samples[count] = [self.frames[int(place) : int(place) + 1][0] for place in places]
        return self._samples[count]


def _scan(clip: Clip) -> tuple[FrameStatistics, PairStatistics, Pixels]:
    scale = min(1.0, WORKING_SIDE / min(clip.height, clip.width))
    size = (round(clip.width * scale), round(clip.height * scale))
    frame_rows, pair_rows, small = [], [], []
    before: tuple[Pixels, Pixels] | None = None
    for _, frames in clip.windows(_WINDOW):
        for frame in frames:
            luma = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.uint8, copy=False)
            frame_rows.append(_frame_row(frame, luma))
            if before is not None:
                pair_rows.append(_pair_row(before, (frame, luma)))
            before = frame, luma
            small.append(frame if scale == 1 else cv2.resize(frame, size, interpolation=cv2.INTER_AREA))
    per_frame = np.array(frame_rows, np.float64).reshape(-1, len(fields(FrameStatistics)))
    per_pair = np.array(pair_rows, np.float64).reshape(-1, len(fields(PairStatistics)))
    return FrameStatistics(*per_frame.T), PairStatistics(*per_pair.T), np.stack(small)


def _frame_row(frame: Pixels, luma: Pixels) -> tuple[float, ...]:
    histogram = cv2.calcHist([luma], [0], None, [256], [0, 256]).ravel() / luma.size
    return (
        sobel_std(luma),
        sharpness(luma),
        colourfulness(frame),
        float(histogram @ np.arange(256)),
        float(histogram[:6].sum()),
        float(histogram[250:].sum()),
        blockiness(luma),
    )


def _pair_row(first: tuple[Pixels, ...], second: tuple[Pixels, ...]) -> tuple[float, ...]:
    change = cv2.subtract(second[1], first[1], dtype=cv2.CV_16S)
    return (
        cv2.norm(second[0], first[0], cv2.NORM_L1) / first[0].size,
        float(cv2.meanStdDev(change)[1].item()),
        float(is_duplicate(first[0], second[0])),
        float(is_cut(first[0], second[0])),
    )


def sobel_std(luma: Pixels) -> float:
    """Standard deviation of the Sobel gradient's size, the outermost pixels left out.

    Source: ITU-T P.910 (10/2023), 7.8: spatial information of one frame.
    """
    across = cv2.Sobel(luma, cv2.CV_32F, 1, 0)[1:-1, 1:-1]
    down = cv2.Sobel(luma, cv2.CV_32F, 0, 1)[1:-1, 1:-1]
    return float(cv2.meanStdDev(cv2.magnitude(across, down))[1].item()) if across.size else 0.0


def colourfulness(frame: Pixels) -> float:
    """How colourful a picture is; grey pictures have 0.

    Source: Hasler and Suesstrunk, Measuring colourfulness in natural images, 2003, equation of M(3).
    """
    means, deviations = cv2.meanStdDev(cv2.transform(frame.astype(np.float32), _OPPONENT_AXES))
    return float(np.linalg.norm(deviations) + 0.3 * np.linalg.norm(means))


def sharpness(luma: Pixels) -> float:
    """Variance of the Laplacian; blur lowers it, noise raises it.

    Source: Pech-Pacheco et al., Diatom autofocusing in brightfield microscopy, ICPR 2000.
    """
    return float(cv2.meanStdDev(cv2.Laplacian(luma, cv2.CV_16S))[1].item() ** 2)


def blockiness(luma: Pixels, block: int = 8) -> float:
    """Mean step across the borders of 8 x 8 blocks over the mean step inside them; 1 where there are none.

    Two flat pictures have no steps at all and count as 1.
    """
    levels = luma.astype(np.float32)
    ratios = []
    for axis in (0, 1):
        if levels.shape[axis] <= block:
            continue
        steps = np.abs(np.diff(levels, axis=axis)).mean(axis=1 - axis)
        at_border = _is_border(steps.size, block)
        inside = steps[~at_border].mean()
        ratios.append(steps[at_border].mean() / inside if inside > 0 else 1.0)
    return float(np.mean(ratios)) if ratios else 1.0


@cache
def _is_border(count: int, block: int) -> NDArray[np.bool_]:
    return np.arange(count) % block == block - 1
