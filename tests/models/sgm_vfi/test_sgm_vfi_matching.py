import pytest
import torch

from vitascope.models.sgm_vfi.config import SGMVFIConfig
from vitascope.models.sgm_vfi.global_matching import (
    GlobalMatching,
    importance_map,
    key_points,
    match,
    shift_to_time,
)


def one_hot_features(height, width, shift):
    """Every cell has its own code; in the second frame all codes stand `shift` cells further right."""
    codes = torch.eye(height * width).T.view(1, height * width, height, width) * 100
    return torch.cat((codes, codes.roll(shift, dims=3)))


def test_matching_finds_where_each_cell_went():
    moved = match(one_hot_features(6, 8, shift=3), None)
    assert torch.allclose(moved[0, 0, :, :5], torch.full((6, 5), 3.0), atol=1e-4)
    assert torch.allclose(moved[1, 0, :, 3:], torch.full((6, 5), -3.0), atol=1e-4)
    assert moved[:, 1].abs().max() < 1e-4


def test_sparse_matching_says_the_same_at_its_points_and_nothing_elsewhere():
    features = one_hot_features(6, 8, shift=2)
    dense = match(features, None)
    points = torch.tensor([[3, 10, 20], [40, 5, 7]])
    sparse = match(features, points)
    for image in (0, 1):
        known = torch.zeros(48, dtype=torch.bool)
        known[points[image]] = True
        torch.testing.assert_close(sparse[image].flatten(1)[:, known], dense[image].flatten(1)[:, known])
        assert sparse[image].flatten(1)[:, ~known].abs().max() == 0


@pytest.mark.parametrize("time", [0.5, 0.25])
def test_steady_motion_points_back_and_ahead_in_proportion(time):
    matched = torch.zeros(2, 2, 8, 12)
    matched[0, 0], matched[1, 0] = 4.0, -4.0
    to_first, to_second = shift_to_time(matched, time, None)
    torch.testing.assert_close(to_first[0, :, 4:-4], torch.full((8, 4), -4.0 * time))
    torch.testing.assert_close(to_second[0, :, 4:-4], torch.full((8, 4), 4.0 * (1 - time)))


def test_only_the_best_hit_cells_keep_a_value():
    matched = torch.zeros(2, 2, 8, 8)
    matched[:, :, 2:4, 2:4] = 1.0
    assert (shift_to_time(matched, 0.5, 3).abs().sum(1) > 0).flatten(1).sum(1).tolist() == [3, 3]


def test_a_flow_that_explains_everything_leaves_nothing_important():
    whole = torch.rand(1, 3, 32, 72)
    first, second = whole[..., 4:68], whole[..., 8:72]
    right = torch.zeros(1, 4, 32, 64)
    right[:, 0], right[:, 2] = 2.0, -2.0
    wrong = torch.zeros(1, 4, 32, 64)
    inside = (..., slice(8, -8))
    assert importance_map(first, second, right)[inside].mean() < 0.01
    assert importance_map(first, second, wrong)[inside].mean() > 0.3


def test_the_most_important_cells_become_key_points():
    importance = torch.zeros(2, 1, 32, 32)
    importance[0, :, 8:16, 16:24] = 1.0
    importance[1, :, 24:, :8] = 1.0
    assert key_points(importance, (4, 4), 1).tolist() == [[6], [12]]


def test_small_grids_are_matched_densely():
    matching = GlobalMatching(SGMVFIConfig(width=4, matching_channels=16, fusion_channels=16))
    assert matching.num_key_points(32, 100) is None
    assert matching.num_key_points(33, 100) == 1650
    dense = GlobalMatching(SGMVFIConfig(width=4, matching_channels=16, key_point_ratio=None))
    assert dense.num_key_points(100, 100) is None
