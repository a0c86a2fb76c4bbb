"""Frechet distance between two sets of clips: a number about sets, which no single clip has."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitascope.clip import Clip
from vitascope.engine.placement import Placement
from vitascope.errors import RequestError, WeightsMissing
from vitascope.metrics._weights import weights_file

I3D = "i3d_torchscript.pt"
FVD_FRAMES, _SIDE = 16, 224
Features = NDArray[np.float64]


def frechet_distance(first: Features, second: Features) -> float:
    """Squared Frechet distance of the Gaussians fitted to two sets of features. Shape: (N, D), (M, D).

    Where a set has fewer members than features its covariance is singular; the distance is exact still, and
    biased upwards.
    Raises: RequestError for fewer than two members or different widths.
    Source: Dowson and Landau 1982, as used by Heusel et al., NeurIPS 2017 (FID). The trace of the root of the
    product of covariances is the sum of the singular values of root(A) root(B).
    """
    if min(len(first), len(second)) < 2 or first.shape[1:] != second.shape[1:]:
        raise RequestError(
            f"a Frechet distance needs two or more members a set and features of one width, "
            f"not {first.shape} and {second.shape}"
        )
    # With centred features X / sqrt(N - 1) for root(A), no D x D matrix has to be rooted.
    roots = [
        (members - members.mean(axis=0)) / np.sqrt(len(members) - 1)
        for members in (first.astype(np.float64), second.astype(np.float64))
    ]
    shared = np.linalg.svd(roots[0] @ roots[1].T, compute_uv=False).sum()
    offset = first.mean(axis=0, dtype=np.float64) - second.mean(axis=0, dtype=np.float64)
    spread = sum(float((root**2).sum()) for root in roots)
    return max(0.0, float(offset @ offset) + spread - 2 * float(shared))


def frechet_video_distance(
    clips: Iterable[Clip],
    references: Iterable[Clip],
    weights: Path | None = None,
    placement: Placement | None = None,
) -> float:
    """FVD between generated and real clips, over the first 16 frames of each; 2,048 clips by convention.

    `weights` is the TorchScript file i3d_torchscript.pt of StyleGAN-V, or in the folder of metric weights.
    Raises: WeightsMissing, RequestError for clips of fewer than 16 frames or too few clips.
    Source: Unterthiner et al., arXiv:1812.01717; features and preparation of universome/stylegan-v (I3D trained
    on Kinetics-400, its 400 outputs, frames of 224 x 224 by bilinear interpolation, -1..1).
    """
    network = _i3d(weights, placement or Placement())
    sets = [_features(group, network) for group in (clips, references)]
    return frechet_distance(*sets)


def _i3d(given: Path | None, placement: Placement) -> Any:
    path = weights_file(I3D, given, "StyleGAN-V's I3D", "weights")
    import torch

    try:
        return torch.jit.load(str(path), map_location=placement.resolve().device).eval()
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0]
        raise WeightsMissing(f"{str(path)!r} is no TorchScript network: {reason}") from error


def _features(clips: Iterable[Clip], network: Any) -> Features:
    import torch

    found = []
    with torch.inference_mode():
        for number, clip in enumerate(clips):
            if clip.num_frames < FVD_FRAMES:
                raise RequestError(
                    f"FVD needs {FVD_FRAMES} frames a clip; clip {number} has {clip.num_frames}",
                    param="num_frames",
                )
            frames = torch.from_numpy(np.ascontiguousarray(clip.frames[:FVD_FRAMES]))
            pixels = frames.permute(0, 3, 1, 2).float()
            pixels = torch.nn.functional.interpolate(pixels, (_SIDE, _SIDE), mode="bilinear")
            prepared = (pixels / 127.5 - 1).permute(1, 0, 2, 3)[None]
            # The network's own resizing and scaling stay off: both are done above.
            outputs = network(prepared, rescale=False, resize=False, return_features=True)
            found.append(outputs.float().cpu().numpy().reshape(-1))
    return np.stack(found).astype(np.float64) if found else np.empty((0, 1))
