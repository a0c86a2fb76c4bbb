import torch

from vitascope.flow.warping import backward_warp, splat_mean, splat_sum


def constant_flow(dx, dy, like):
    flow = torch.zeros(like.shape[0], 2, *like.shape[2:])
    flow[:, 0], flow[:, 1] = dx, dy
    return flow


def test_backward_warp_fetches_from_where_the_flow_points():
    image = torch.rand(1, 3, 8, 10)
    moved = backward_warp(image, constant_flow(2, -1, image))
    torch.testing.assert_close(moved[..., 1:, :8], image[..., :-1, 2:], atol=1e-5, rtol=0)


def test_backward_warp_repeats_the_border():
    image = torch.rand(1, 1, 5, 6)
    moved = backward_warp(image, constant_flow(100, 0, image))
    torch.testing.assert_close(moved, image[..., -1:].expand_as(image))


def test_splatting_throws_to_where_the_flow_points():
    image = torch.rand(2, 3, 8, 10)
    landed = splat_sum(image, constant_flow(3, 2, image))
    torch.testing.assert_close(landed[..., 2:, 3:], image[..., :-2, :-3])
    assert landed[..., :2, :].abs().max() == 0


def test_splatting_keeps_the_sum_of_what_lands_inside():
    image = torch.rand(1, 1, 16, 16)
    flow = torch.rand(1, 2, 16, 16) * 0.9
    inside = torch.zeros_like(image)
    inside[..., :-1, :-1] = image[..., :-1, :-1]
    torch.testing.assert_close(splat_sum(inside, flow).sum(), inside.sum())


def test_what_is_not_finite_is_lost_and_spoils_nothing():
    image = torch.ones(1, 1, 4, 4)
    flow = torch.zeros(1, 2, 4, 4)
    flow[0, 0, 1, 1], flow[0, 1, 2, 2] = float("nan"), float("inf")
    landed = splat_sum(image, flow)
    assert landed[0, 0, 1, 1] == 0
    assert landed[0, 0, 2, 2] == 0
    assert landed.sum() == 14


def test_heavier_pixels_win_where_two_land():
    image = torch.tensor([[[[0.0, 1.0]]]])
    flow = torch.tensor([[[[1.0, 0.0]], [[0.0, 0.0]]]])
    weight = torch.tensor([[[[1.0, 3.0]]]])
    assert abs(splat_mean(image, flow, weight)[0, 0, 0, 1].item() - 0.75) < 1e-5
