"""Metrics that compare with a reference: PSNR and SSIM."""

import cv2
import numpy as np
import pytest

from tests.metrics.pictures import distorted, panning, still
from vitascope.clip import Clip
from vitascope.errors import RequestError
from vitascope.metrics import METRICS
from vitascope.metrics.ssim import ssim_of


def test_psnr_is_that_of_the_mean_squared_error():
    reference = panning()
    shifted = np.clip(reference.frames.astype(int) + 3, 0, 255).astype(np.uint8)
    clip = Clip(shifted, 8)
    error = ((shifted.astype(float) - reference.frames) ** 2).mean()
    assert METRICS["psnr"]().score(clip, reference).value == pytest.approx(10 * np.log10(255**2 / error))


def test_worst_is_the_worst_frame():
    reference = still(4)
    frames = reference.frames.copy()
    frames[2, 10:20, 10:20] = 0
    clip = Clip(frames, 8)
    assert METRICS["psnr"](over_time="worst").score(clip, reference).value == pytest.approx(
        METRICS["psnr"]().score(clip, reference).value - 10 * np.log10(4)
    )
    assert METRICS["ssim"](over_time="worst").score(clip, reference).value == pytest.approx(
        ssim_of(frames[2], reference.frames[2])
    )


def test_equal_clips_have_no_finite_psnr_and_full_similarity():
    clip = panning()
    score = METRICS["psnr"]().score(clip, clip)
    assert score.value is None and "no finite value" in score.not_measured
    assert METRICS["ssim"]().score(clip, clip).value == pytest.approx(1)


def test_ssim_is_that_of_scikit_image():
    """The expected value is scikit-image 0.26's, with Gaussian weights, population covariance, range 255."""
    picture = distorted()
    assert ssim_of(picture, cv2.GaussianBlur(picture, (0, 0), 1)) == pytest.approx(
        0.497736779574336, abs=1e-9
    )


@pytest.mark.parametrize("name", ["psnr", "ssim"])
def test_a_reference_of_another_shape_or_none_is_refused(name):
    clip = panning()
    with pytest.raises(RequestError, match="none was given"):
        METRICS[name]().score(clip)
    with pytest.raises(RequestError, match=r"differ in frames.*\(9, 96, 128\) and \(8, 96, 128\)"):
        METRICS[name]().score(clip, Clip(clip.frames[:8], 8))


def test_ssim_of_frames_under_its_window_is_refused():
    tiny = Clip(np.zeros((2, 10, 40, 3), np.uint8), 8)
    with pytest.raises(RequestError, match="11 x 11"):
        METRICS["ssim"]().score(tiny, tiny)
