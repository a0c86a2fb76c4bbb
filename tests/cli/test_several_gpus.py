"""`vitascope generate --gpus`, on CPU processes: the frames are those of one process."""

import numpy as np
import pytest

import vitascope as package


@pytest.mark.slow
@pytest.mark.parametrize("degrees", [(), ("--set", "cfg_degree=1"), ("--set", "ring_degree=2")])
def test_two_processes_make_the_frames_of_one(vitascope, degrees):
    asked = (
        "generate",
        "a red ball bounces over grass",
        "--steps",
        3,
        "--frames",
        9,
        "--device",
        "cpu",
        "-q",
    )
    for folder, more in (("one/", ()), ("two/", ("--gpus", 2, *degrees))):
        made = vitascope(*asked, "-o", folder, *more)
        assert made.code == 0, made.err
    one, two = (package.read(name).array().astype(int) for name in ("one", "two"))
    assert one.shape == two.shape
    assert (
        np.abs(one - two).max() <= 1
    )  # guidance's two samples one by one round differently from both at once
    assert (one != two).mean() < 1e-3


def test_a_generator_that_cannot_be_shared_says_so(vitascope):
    made = vitascope(
        "generate", "a star", "-m", "colour-bars", "--gpus", 2, "--device", "cpu", "-o", "star.mp4"
    )
    assert made.code == 2 and "colour-bars runs on one GPU, not on gpus=2" in made.err
