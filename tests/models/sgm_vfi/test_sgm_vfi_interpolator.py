import numpy as np
import pytest
import torch

from tests.flow.pictures import texture
from tests.models.sgm_vfi.tiny import TINY
from vitascope.models.sgm_vfi.graphed import GRAPHS_KEPT, GraphedNetwork
from vitascope.models.sgm_vfi.interpolator import SGMVFIInterpolator, _halvings
from vitascope.models.sgm_vfi.network import SGMVFI


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return SGMVFI(TINY).eval()


@pytest.fixture
def interpolator(network):
    return SGMVFIInterpolator(network)


@pytest.mark.parametrize("size", [(32, 32), (37, 53), (1, 1), (300, 40)])
def test_frames_of_any_size(interpolator, size):
    (middle,) = interpolator.between(texture(*size, seed=1), texture(*size, seed=2), [0.5])
    assert middle.shape == (*size, 3)
    assert middle.dtype == np.uint8


def test_quarters_are_the_middles_of_middles(interpolator):
    first, second = texture(32, 32, seed=1), texture(32, 32, seed=2)
    quarter, half, _ = interpolator.between(first, second, [0.25, 0.5, 0.75])
    assert (half == interpolator.between(first, second, [0.5])[0]).all()
    with torch.inference_mode():
        a, b = interpolator._tensor(first), interpolator._tensor(second)
        nested = interpolator.middle(a, interpolator.middle(a, b))
    rounded = (nested[0] * 255).round().byte().permute(1, 2, 0).numpy()
    assert np.abs(quarter.astype(int) - rounded).max() <= 1


@pytest.mark.parametrize(
    ("places", "parts", "evaluations"),
    [([8], 16, 1), ([4, 8, 12], 16, 3), ([2, 4, 6, 8, 10, 12, 14], 16, 7), ([6, 13], 16, 6), ([1], 2, 1)],
)
def test_halving_reaches_every_place_and_does_no_more(places, parts, evaluations):
    known = {0, parts}
    levels = _halvings(places, parts)
    for level in levels:
        for before, after, middle in level:
            assert {before, after} <= known
            assert 2 * middle == before + after
        known |= {middle for _, _, middle in level}
    assert set(places) <= known
    assert sum(map(len, levels)) == evaluations


def test_many_frames_between_two_are_all_different_moments(network):
    class Moments(SGMVFIInterpolator):
        """Stands in for frames: the moment itself, so that rounding shows."""

        def middle(self, first, second):
            return (first + second) / 2

    black, white = np.zeros((32, 32, 3), np.uint8), np.full((32, 32, 3), 255, np.uint8)
    times = [i / 32 for i in range(1, 32)]
    levels = [int(frame[0, 0, 0]) for frame in Moments(network).between(black, white, times)]
    assert levels == [round(255 * time) for time in times]
    rounded = Moments(network).between(black, white, [0.4, 0.8])
    assert [frame[0, 0, 0] / 255 for frame in rounded] == pytest.approx([0.4, 0.8], abs=1 / 32 + 0.01)


def test_large_frames_find_their_motion_on_small_pictures(network):
    interpolator = SGMVFIInterpolator(network, full_flow_pixels=64 * 64)
    assert interpolator.flow_scale(64, 64) == 1
    assert interpolator.flow_scale(65, 64) == 0.5
    assert interpolator.flow_scale(200, 150) == 0.25
    (middle,) = interpolator.between(texture(90, 130, 1), texture(90, 130, 2), [0.5])
    assert middle.shape == (90, 130, 3)


def test_a_pair_in_a_batch_gives_what_it_gives_alone(network):
    first, second = torch.rand(2, 3, 32, 64), torch.rand(2, 3, 32, 64)
    with torch.inference_mode():
        together = network(first, second)
        alone = torch.cat([network(first[i : i + 1], second[i : i + 1]) for i in (0, 1)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


@pytest.mark.gpu
def test_a_recorded_network_gives_what_the_network_gives(network):
    network = network.cuda()
    graphed = GraphedNetwork(network)
    for batch, height in ((1, 64), (2, 64), (1, 288), (1, 64)):
        first, second = torch.rand(2, batch, 3, height, 64, device="cuda")
        for scale in (1.0, 0.5):
            with torch.inference_mode():
                expected = network(first, second, flow_scale=scale)
            torch.testing.assert_close(
                graphed(first, second, flow_scale=scale), expected, atol=1e-5, rtol=1e-4
            )
            again = graphed(first.flip(-1), second.flip(-1), flow_scale=scale)
            assert not torch.equal(again, expected)
    network.cpu()


@pytest.mark.gpu
def test_recorded_sizes_beyond_the_last_few_are_recorded_anew(network):
    graphed = GraphedNetwork(network.cuda())
    sizes = [32 * n for n in range(1, GRAPHS_KEPT + 3)]
    made = [graphed(torch.ones(1, 3, n, n).cuda(), torch.zeros(1, 3, n, n).cuda()) for n in sizes]
    assert len(graphed._kept) == GRAPHS_KEPT
    again = graphed(torch.ones(1, 3, 32, 32).cuda(), torch.zeros(1, 3, 32, 32).cuda())
    torch.testing.assert_close(again, made[0], atol=1e-5, rtol=1e-4)
    network.cpu()
