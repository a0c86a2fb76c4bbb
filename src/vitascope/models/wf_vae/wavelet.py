"""Haar wavelet transforms of clips, causal in time.

Source: WF-VAE (Li et al. 2024, arXiv 2411.17459, section 3.1); sub-band order and the rounded constant from
github.com/PKU-YuanGroup/WF-VAE at d858bee8, causalvideovae/model/modules/wavelet.py, Apache-2.0.
"""

from __future__ import annotations

import torch
from torch import Tensor

# The published networks were trained with this rounding of 1 / sqrt(8).
HAAR_3D_GAIN = 0.3536
HAAR_2D_GAIN = 0.5

TIME, ROW, COLUMN = 2, 3, 4


def haar_3d(clip: Tensor, *, starts_clip: bool = True) -> Tensor:
    """Split a clip into eight half-size sub-bands of time, rows and columns.

    `starts_clip` says whether the first frame is a clip's first: it is then repeated in front, so that the
    transform sees no future frame.
    Shape: B C T H W -> B 8C (T+1)/2 H/2 W/2 (T/2 for a later chunk); sub-bands outermost, the low one first,
    then by sign of time, rows and columns, columns fastest.
    Source: see the module.
    """
    if starts_clip:
        clip = torch.cat([clip[:, :, :1], clip], dim=TIME)
    return _analyse(clip, (TIME, ROW, COLUMN), HAAR_3D_GAIN)


def inverse_haar_3d(bands: Tensor, *, starts_clip: bool = True) -> Tensor:
    """Put a clip together from the eight sub-bands of `haar_3d`.

    Shape: B 8C T H W -> B C 2T-1 2H 2W (2T for a later chunk: `starts_clip` false).
    Source: see the module.
    """
    clip = _synthesise(bands, (TIME, ROW, COLUMN), HAAR_3D_GAIN)
    return clip[:, :, 1:] if starts_clip else clip


def haar_2d(clip: Tensor) -> Tensor:
    """Split every frame into four half-size sub-bands.

    Shape: B C T H W -> B 4C T H/2 W/2; sub-bands outermost, rows fastest (the other way round than in 3-D).
    Source: see the module.
    """
    return _analyse(clip, (COLUMN, ROW), HAAR_2D_GAIN)


def inverse_haar_2d(bands: Tensor) -> Tensor:
    """Put every frame together from the four sub-bands of `haar_2d`.

    Shape: B 4C T H W -> B C T 2H 2W.
    Source: see the module.
    """
    return _synthesise(bands, (COLUMN, ROW), HAAR_2D_GAIN)


def _analyse(clip: Tensor, axes: tuple[int, ...], gain: float) -> Tensor:
    """Sums and differences of neighbours along each axis; the last axis' sign runs fastest over the bands."""
    bands = [clip * gain]
    for axis in axes:
        pairs = [band.unflatten(axis, (-1, 2)).unbind(axis + 1) for band in bands]
        bands = [band for first, second in pairs for band in (first + second, first - second)]
    return torch.cat(bands, dim=1)


def _synthesise(bands: Tensor, axes: tuple[int, ...], gain: float) -> Tensor:
    """Undo `_analyse` axis by axis, the last axis first."""
    clips = list((bands * gain).chunk(2 ** len(axes), dim=1))
    for axis in reversed(axes):
        sums_and_differences = zip(clips[::2], clips[1::2], strict=True)
        clips = [
            torch.stack([s + d, s - d], axis + 1).flatten(axis, axis + 1) for s, d in sums_and_differences
        ]
    return clips[0]
