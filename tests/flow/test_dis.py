import numpy as np
import pytest

from tests.flow.pictures import panning, psnr
from vitascope.flow.dis import DISInterpolator, optical_flow, warp_by_flow


def test_flow_of_a_pan_is_its_step():
    first, second = panning(2, step=5)
    flow = optical_flow(first, second)
    assert flow.shape == (64, 96, 2)
    assert np.median(flow[..., 0]) == pytest.approx(-5, abs=0.3)
    assert np.median(flow[..., 1]) == pytest.approx(0, abs=0.3)


def test_warping_by_the_flow_brings_the_second_frame_back():
    first, second = panning(2, step=5)
    undone = warp_by_flow(second, optical_flow(first, second))
    assert psnr(undone[:, 8:-8], first[:, 8:-8]) > psnr(second[:, 8:-8], first[:, 8:-8]) + 10


@pytest.mark.parametrize("quarter", [1, 2, 3])
def test_frames_between_beat_blending_at_every_time(quarter):
    frames = panning(5, step=2)
    (made,) = DISInterpolator().between(frames[0], frames[4], [quarter / 4])
    blended = np.rint(frames[0] * (1 - quarter / 4) + frames[4] * (quarter / 4)).astype(np.uint8)
    truth = frames[quarter]
    assert psnr(made[:, 10:-10], truth[:, 10:-10]) > psnr(blended[:, 10:-10], truth[:, 10:-10]) + 5


@pytest.mark.parametrize("size", [(1, 1), (7, 200), (31, 33)])
def test_small_frames_work(size):
    first, second = np.full((*size, 3), 10, np.uint8), np.full((*size, 3), 20, np.uint8)
    (middle,) = DISInterpolator("ultrafast").between(first, second, [0.5])
    assert middle.shape == (*size, 3)
    assert (middle == 15).all()
