"""Distortion of pictures, judged by a regression on people's scores."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from vitascope.clip import Pixels
from vitascope.engine.placement import Placement
from vitascope.errors import WeightsMissing
from vitascope.metrics._natural_scenes import fit_asymmetric_gaussian, local_contrast, packaged_file
from vitascope.metrics._sampled import SampledFramesMetric
from vitascope.metrics.base import Direction, Tier

_INSTALL = "brisque==0.2.0"
_BT709 = np.array([0.2125, 0.7154, 0.0721])
Values = NDArray[Any]  # float


class SupportVectors(NamedTuple):
    """A regression by radial kernels. Shape: coefficients (S,), vectors (S, 36), low and high (36,)."""

    gamma: float
    offset: float
    coefficients: Values
    vectors: Values
    low: Values
    high: Values

    def predict(self, features: Values) -> float:
        """The score of one picture's features. Shape: (36,)."""
        scaled = 2 * (features - self.low) / (self.high - self.low) - 1
        kernel = np.exp(-self.gamma * ((self.vectors - scaled) ** 2).sum(axis=1))
        return float(self.coefficients @ kernel - self.offset)


class Brisque(SampledFramesMetric):
    """How distorted the frames look (BRISQUE), about 0 to 100, less is better; needs two parameter files.

    It learnt from photographs with coding, blur and noise: what a generator does wrong is foreign to it.
    """

    unit: ClassVar[str] = "points"
    range: ClassVar[tuple[float | None, float | None]] = (None, None)
    direction: ClassVar[Direction] = "lower"
    tier: ClassVar[Tier] = "needs weights"
    source: ClassVar[str] = (
        "Mittal et al., No-Reference Image Quality Assessment in the Spatial Domain, IEEE TIP 2012; features "
        "and regression of the package brisque 0.2.0 (Apache-2.0), whose half size is not antialiased"
    )
    min_side: ClassVar[int] = 32

    parameters: Path | None = None  # the folder with svm.txt and normalize.pickle

    def load(self, placement: Placement) -> SupportVectors:  # noqa: ARG002
        """The regression. Raises: WeightsMissing."""
        folder = self.parameters
        names = ("svm.txt", "normalize.pickle")
        paths = [
            packaged_file("brisque", f"models/{n}", folder / n if folder else None, _INSTALL) for n in names
        ]
        try:
            return _read_regression(*paths)
        except (ValueError, KeyError, EOFError, pickle.UnpicklingError) as error:
            raise WeightsMissing(
                f"{str(paths[0])!r} and {paths[1].name!r} are no BRISQUE regression: {error}"
            ) from error

    def measure(self, frame: Pixels, parameters: SupportVectors) -> float:
        """The score of one frame."""
        return parameters.predict(brisque_features(frame))


def brisque_features(frame: Pixels) -> Values:
    """Eighteen features at full and at half size. Shape: (H, W, 3) uint8 RGB to (36,)."""
    luma = frame @ _BT709
    half = cv2.resize(luma, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_CUBIC)
    return np.array(_features(luma) + _features(half))


def _features(luma: Values) -> list[float]:
    coefficients = local_contrast(luma)[2]
    shape, _, left, right = _fit(coefficients)
    features = [shape, (left + right) / 2]
    neighbours = (
        (coefficients[:, :-1], coefficients[:, 1:]),
        (coefficients[:-1], coefficients[1:]),
        (coefficients[:-1, :-1], coefficients[1:, 1:]),
        (coefficients[1:, :-1], coefficients[:-1, 1:]),
    )
    for first, second in neighbours:
        features += _fit(first * second)
    return features


def _fit(samples: Values) -> list[float]:
    """Shape, mean and the mean square on either side of zero."""
    row = samples.reshape(1, -1)
    fit = fit_asymmetric_gaussian(row)
    squares = [float((side**2).mean()) if side.size else 0.0 for side in (row[row < 0], row[row >= 0])]
    return [float(fit.shape[0]), float(fit.mean[0]), *squares]


def _read_regression(svm: Path, scaling: Path) -> SupportVectors:
    header, _, body = svm.read_text(encoding="ascii").partition("SV\n")
    settings = dict(line.split(maxsplit=1) for line in header.splitlines())
    coefficients, vectors = [], []
    for line in body.splitlines():
        first, *entries = line.split()
        coefficients.append(float(first))
        vector = np.zeros(36)
        for entry in entries:
            index, _, value = entry.partition(":")
            vector[int(index) - 1] = float(value)
        vectors.append(vector)
    with scaling.open("rb") as stream:
        limits = _NumbersOnly(stream).load()
    low, high = np.array(limits["min_"], float), np.array(limits["max_"], float)
    return SupportVectors(
        float(settings["gamma"]), float(settings["rho"]), np.array(coefficients), np.stack(vectors), low, high
    )


class _NumbersOnly(pickle.Unpickler):
    """Reads lists of numbers; a pickle that wants anything else is refused."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"{module}.{name} is not a number")
